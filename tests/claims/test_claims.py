"""Claims as rows: the table of claims, verdicts of planted studies, what is not tested and why, and the measures behind them."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from asymgrpo.method.arms import ARMS, BETA_NEG, BETA_POS, get_arm
from evals.claims import checks
from evals.claims.claim import Check
from evals.claims.decide import decide
from evals.claims.decided import SCHEMA, claim_rows, decide_claim, sensitivity_rows
from evals.claims.effects import BASE, Effect, Measured
from evals.claims.measures import MEASURES, TRAINING, measure_runs
from evals.claims.readings import RANGES, SWEEPS, readings
from evals.claims.table import ANALYSES, BONUSES, CLAIMS, CONTROLS, MAIN_TABLE, POOL, TESTS, positive
from evals.claims.training import cov_correlation, entropy_at, mixed_correlation, training_measures
from evals.claims.verdict import Conclusion
from evals.claims.words import render
from evals.estimates.stats import holm
from evals.io import DataError, write_table

MAIN_SEEDS, OTHER_SEEDS = 8, 5
NEEDED = {arm for claim in TESTS for arm in claim.arms}
MAIN = {"reinforce", "grpo", "grpo_entropy", "grpo_clip_higher", "dr_grpo", "asymgrpo", "asymgrpo_clip_higher"}
ENOUGH = {"clip_high": 5.0, "mixed_share": 5.0, "update_norm": 5.0}
"""Levels at which every manipulation check passes."""

Study = dict[str, dict[str, Measured]]


def study(rng: np.random.Generator, shift: Mapping[tuple[str, str], float], noise: float = 1.0) -> Study:
    """Measures of a study of config/study.yaml's size.

    shift: (measure, arm) -> planted mean. Units are the standard deviation of an arm's own luck.
    """
    measures: Study = {}
    for measure in MEASURES:
        measures[measure] = {
            BASE: Measured({0: 0.1 * noise * rng.normal() + shift.get((measure, BASE), 0.0)}, 0.1 * noise)
        }
        for arm in sorted(NEEDED - {BASE}):
            n = MAIN_SEEDS if arm in MAIN else OTHER_SEEDS
            middle = shift.get((measure, arm), ENOUGH.get(measure, 0.0))
            scale = 0.01 if measure in ENOUGH else noise
            measures[measure][arm] = Measured(dict(enumerate(middle + scale * rng.normal(size=n))))
    return measures


def frame(measures: Study) -> pd.DataFrame:
    """The same as rows of evals.claims.measures.SCHEMA."""
    rows = [
        {
            "model": "m",
            "arm": arm,
            "train_seed": seed,
            "measure": name,
            "value": value,
            "sampling_sd": found.sampling_sd,
        }
        for name, arms in measures.items()
        for arm, found in arms.items()
        for seed, value in found.values.items()
    ]
    return pd.DataFrame(rows).assign(selection="validation")


def verdicts(measures: Study) -> dict[str, Conclusion]:
    found = {claim.id: decide_claim(claim, measures) for claim in TESTS}
    return {name: Conclusion.NOT_TESTED if isinstance(one, str) else one.verdict for name, one in found.items()}


def test_every_arm_of_a_claim_exists_and_every_measure_is_known() -> None:
    assert len(CLAIMS) == len({claim.id for claim in CLAIMS}) >= 40
    for claim in CLAIMS:
        assert bool(claim.parts) == bool(claim.measure) == (claim.margin is not None) == (not claim.untested), claim.id
        assert claim.version in ("v1", "v2", "v1, v2", "ours"), claim.id
        assert claim.place
        assert claim.reading
    for claim in TESTS:
        assert claim.measure in MEASURES
        assert claim.margin is not None
        assert claim.margin.value > 0
        assert claim.margin.source, claim.id
        for weights in claim.parts:
            assert set(weights) <= {*ARMS, BASE}, claim.id
            one_arm = len(weights) == 1
            assert one_arm or sum(weights.values()) == pytest.approx(0, abs=1e-12), f"{claim.id} is no contrast"
    every = [*TESTS, *(reading.claim for claim in TESTS for reading in readings(claim))]
    used = {claim.measure for claim in every} | {"clip_high", "mixed_share", "update_norm"}
    assert MEASURES.keys() == used, "a measure that no claim, reading or check uses"


def test_margins_of_the_main_table_are_the_papers_own_effects() -> None:
    by_id = {claim.id: claim.margin for claim in MAIN_TABLE}
    assert len(by_id) == 10
    expected = {
        "asym_grpo": 0.0286,
        "asym_clip": 0.0061,
        "grpo_reinforce": 0.0279,
        "synergy": 0.0096,
        "bonus_grpo": 0.0102,
    }
    assert {name: by_id[name].value for name in expected} == pytest.approx(expected)
    assert "(60.32 − 59.36)" in by_id["synergy"].source


def test_both_versions_of_the_paper_are_there() -> None:
    of_v2 = {claim.id for claim in CLAIMS if "v2" in claim.version}
    assert of_v2 >= {
        "difficulty_hard",
        "difficulty_easy",
        "displacement_rise",
        "backbones",
        "five_benchmarks",
        "independent",
    }
    assert len([claim for claim in CLAIMS if "v1" in claim.version]) > 25


@pytest.mark.parametrize(("levels", "swept"), [(BETA_POS, "beta_pos"), (BETA_NEG, "beta_neg")])
def test_the_exponents_of_the_sweeps_are_those_of_the_arms(levels: Mapping[str, float], swept: str) -> None:
    for arm, beta in levels.items():
        if arm == "grpo":
            assert beta == 0.5  # what standardising by the population's deviation is (docs/method.md)
            continue
        parameters = get_arm(arm).advantage_parameters
        assert parameters[swept] == beta
        assert parameters["beta_neg" if swept == "beta_pos" else "beta_pos"] == 0.5


def test_trends_leave_out_the_exponent_whose_reading_is_a_choice() -> None:
    """0^0 puts a jump at beta = 0; the other readings have it, both ways."""
    assert 0 not in positive(BETA_POS).values()
    for claim in ANALYSES:
        if claim.id in SWEEPS:
            assert not {"positive_only", "negative_only"} & set(claim.arms)
            arms = {reading.name: set(reading.claim.arms) for reading in readings(claim)}
            assert {"positive_only", "negative_only"} & arms["exponent 0 too, 0^0 = 1"]
            assert {"positive_only_zero", "negative_only_zero"} & arms["exponent 0 too, 0^0 = 0"]


def test_the_committed_study_runs_the_arms_of_the_papers_table_and_analyses() -> None:
    plan = yaml.safe_load((Path(__file__).parents[2] / "config/study.yaml").read_text())["study"]
    needed = {arm for claim in (*MAIN_TABLE, *ANALYSES) for arm in claim.arms}
    assert needed - {BASE} <= {*plan["arms"], *plan["analyses"]}
    assert set(BONUSES) <= needed


def test_a_planted_study_is_read_as_it_was_planted() -> None:
    """AsymGRPO better than all others, Clip-higher worse than GRPO, the rest equal; effects of 30 standard deviations."""
    shift = {("accuracy", arm): -30.0 for arm in NEEDED} | {
        ("accuracy", "asymgrpo"): 0.0,
        ("accuracy", "grpo_clip_higher"): -60.0,
    }
    got = verdicts(study(np.random.default_rng(2), shift))
    for name in ("asym_grpo", "asym_reinforce", "asym_dr", "asym_bonus", "asym_clip", "independent"):
        assert got[name] is Conclusion.SUPPORTED, name
    assert got["clip_grpo"] is Conclusion.CONTRADICTED
    assert got["synergy"] is Conclusion.CONTRADICTED, "better than Clip-higher, but worse than AsymGRPO"
    assert got["dr_grpo"] is Conclusion.INCONCLUSIVE


def test_no_effect_and_much_precision_is_equivalence() -> None:
    got = verdicts(study(np.random.default_rng(3), {}, noise=1e-5))
    assert set(got.values()) == {Conclusion.EQUIVALENT}


def test_a_claim_of_two_parts_needs_both() -> None:
    good, bad = Effect(5.0, 0.1, 7.0, 8), Effect(-5.0, 0.1, 7.0, 8)
    assert decide([good, good], 1.0, 25).verdict is Conclusion.SUPPORTED
    for parts in ([good, bad], [bad, good]):
        decision = decide(parts, 1.0, 25)
        assert decision.verdict is Conclusion.CONTRADICTED
        assert decision.estimate == -5.0


def rows_of(measures: pd.DataFrame) -> dict[str, dict]:
    return {row["id"]: row for row in claim_rows(CLAIMS, measures)}


def test_too_few_seeds_or_missing_arms_are_not_tested() -> None:
    measures = frame(study(np.random.default_rng(7), {}))
    few = measures[(measures["train_seed"] < 2) & (measures["arm"] != "dr_grpo")]
    rows = rows_of(few)
    assert {row["verdict"] for row in rows.values()} == {Conclusion.NOT_TESTED}
    assert rows["asym_grpo"]["why_not"] == "training seeds: 2, at least 3 are needed"
    assert rows["asym_dr"]["why_not"] == "not run: Dr.GRPO"
    table = pa.Table.from_pylist(list(rows.values()), SCHEMA).to_pylist()
    assert "Nothing could be tested" in render(table, list(sensitivity_rows(CLAIMS, few)))


def test_a_seed_without_the_measure_is_not_passed_over() -> None:
    measures = frame(study(np.random.default_rng(10), {}))
    gap = (measures["measure"] == "accuracy") & (measures["arm"] == "grpo") & (measures["train_seed"] == 3)
    row = rows_of(measures[~gap])["asym_grpo"]
    assert row["why_not"] == f"nothing to measure in GRPO (seed 3): {MEASURES['accuracy'].about}"


def test_a_failed_manipulation_check_is_not_tested_and_says_why() -> None:
    rng = np.random.default_rng(11)
    inert = rows_of(frame(study(rng, {("clip_high", "grpo"): 0.0})))
    why = inert["clip_grpo"]["why_not"]
    assert why.startswith("Clip-higher hardly acts: ")
    assert why.endswith("of the tokens of GRPO meet the upper bound, at least 1 % are asked for")
    assert inert["clip_grpo"]["verdict"] == Conclusion.NOT_TESTED
    assert {name for name, row in inert.items() if "Clip-higher hardly acts" in str(row["why_not"])} == {
        *("asym_clip", "clip_grpo", "synergy")
    }
    silent = rows_of(frame(study(rng, {("mixed_share", "dr_grpo"): 0.0})))
    assert silent["asym_dr"]["why_not"].startswith("hardly any group has a signal: ")
    assert silent["asym_grpo"]["why_not"] is None
    sized = rows_of(frame(study(rng, {("update_norm", "reinforce"): 20.0})))
    assert sized["asym_reinforce"]["why_not"] == (
        "the arms differ in step size: the norms of their updates by a factor of 4.0"
    )
    assert sized["asym_grpo"]["checks"].endswith("update norms within a factor of 1.0")


def test_runs_that_lack_a_check_say_so() -> None:
    measures = frame(study(np.random.default_rng(12), {}))
    old = measures[~measures["measure"].isin(["update_norm", "clip_high", "hard_weight"])]
    rows = rows_of(old)
    assert rows["clip_grpo"]["why_not"].startswith("not checked: ")
    assert rows["asym_grpo"]["checks"].endswith("size of updates not measured")
    assert rows["difficulty_weight"]["why_not"].startswith("not measured in these runs (AsymGRPO, GRPO): ")


def test_controls_are_asked_for_no_signal_and_share_no_variance() -> None:
    collapse = next(claim for claim in TESTS if claim.id == "collapse")
    assert set(collapse.arms) & CONTROLS
    assert checks.checks_of(collapse) == [Check("mixed_share", "grpo", checks.MIXED, "hardly any group has a signal")]
    assert not POOL & CONTROLS


def test_every_tested_claim_has_its_other_analyses_and_readings_beside_it() -> None:
    measures = frame(study(np.random.default_rng(13), {}))
    others = list(sensitivity_rows(CLAIMS, measures))
    for claim in TESTS:
        mine = [row for row in others if row["id"] == claim.id]
        assert [row["other"] for row in mine if row["kind"] == "analysis"] == ["welch", "paired", "trimmed"]
        assert [row["other"] for row in mine if row["kind"] == "reading"] == [one.name for one in readings(claim)]
    assert {row["other"] for row in others if row["id"] == "covariance"} >= set(RANGES["covariance"])
    untested = {row["why_not"] for row in others if row["other"] == "0^0 = 0"}
    assert all(str(why).startswith("not run: ") for why in untested), "the study has no such arm"
    text = render([*claim_rows(CLAIMS, measures)], others)
    assert text.count("training reward, later half of the steps: ") == sum(
        claim.measure == "accuracy" for claim in TESTS
    )


def test_every_claim_has_a_sentence_with_its_verdict_in_words() -> None:
    rows = rows_of(frame(study(np.random.default_rng(14), {("accuracy", "asymgrpo"): 9.0})))
    for row in rows.values():
        assert row["sentence"].startswith(f'"{row["claim"]}"')
        assert row["sentence"].endswith(".")
    assert "was not tested: " in rows["backbones"]["sentence"]
    assert "holds here: " in rows["asym_grpo"]["sentence"]
    assert "and above 2.9 points, the smallest effect that matters" in rows["asym_grpo"]["sentence"]


def test_holm_is_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(8)
    for size in (1, 2, 9, 25):
        p = rng.uniform(size=size) ** 3
        p[: size // 3] = p[0]  # ties
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_measures_are_what_they_say(tmp_path) -> None:
    groups = [[1, 0, 1], [0, 2, 0], [0, 1, 1], [2, 0, 0]]
    metrics = pd.DataFrame(
        {
            "step": [1, 2, 3, 4],
            "entropy": [0.4, 0.3, 0.2, 0.1],
            "none_solved_share": [0.5, 0.0, 0.0, 1.0],
            "logp_change_correct": [None, 0.02, None, 0.04],
            "groups_by_correct": groups,
            "cov_by_correct": [[0.0, None, 0.0], [None, 1.0, None], [None, 2.0, 0.0], [0.0, None, None]],
        }
    )
    found = training_measures(metrics)
    assert found["entropy_late"] == pytest.approx(math.log(0.15))
    assert found["entropy_lost"] == pytest.approx(math.log(0.4 / 0.15))
    assert found["none_solved"] == 0.5
    assert found["logp_gain"] == pytest.approx(0.03)
    assert math.isnan(found["cov_mixed"]), "with two rollouts there is one mixed share"
    assert found["mixed_share"] == 3 / 8
    assert all(math.isnan(found[name]) for name in ("reward_late", "clip_high", "hard_weight", "update_norm"))
    assert found.keys() == set(TRAINING)

    scores = pd.DataFrame(
        [
            {"model": "m", "arm": "grpo", "train_seed": 0, "selection": "validation", "benchmark": b, "metric": metric, "k": k,
             "value": value, "sampling_sd": 0.1}
            for b, metric, k, value in [
                ("average", "avg_at_n", None, 0.5), ("average", "pass_at_k", 2, 0.6), ("average", "pass_at_k", 4, 0.7),
                ("one", "avg_at_n", None, 0.1), ("two", "avg_at_n", None, 0.9),
            ]
        ]
    )  # fmt: skip
    path = tmp_path / "metrics.parquet"
    table = pa.Table.from_pandas(metrics, preserve_index=False)
    write_table(table, path, {"model": "m", "arm": "grpo", "train_seed": 0})
    rows = {row["measure"]: row for row in measure_runs([path], scores, "validation").to_pylist()}
    assert rows["accuracy"]["value"] == 0.5
    assert rows["pass_at_max"]["value"] == 0.7
    assert rows["accuracy"]["selection"] == "validation"
    assert rows["entropy_late"]["selection"] is None
    assert "cov_mixed" not in rows, "what a run does not have is left out"
    write_table(table, path, {})
    with pytest.raises(DataError, match=r"metrics\.parquet.*model, arm, train_seed"):
        measure_runs([path], scores, "validation")


def pairs(groups: np.ndarray, covariance: np.ndarray, shares: range) -> np.ndarray:
    """One (p, covariance) for every group."""
    found = [(k / 8, covariance[s, k]) for s in range(len(groups)) for k in shares for _ in range(int(groups[s, k]))]
    return np.array(found).T


def test_covariance_correlation_weighs_groups_and_keeps_unanimous_ones() -> None:
    rng = np.random.default_rng(9)
    groups = rng.integers(0, 4, size=(30, 9)).astype(float)
    covariance = np.where(groups > 0, rng.normal(size=groups.shape), np.nan)
    covariance[:, [0, 8]] = np.where(groups[:, [0, 8]] > 0, 0.0, np.nan)
    for ends, shares in (
        ((0, 1), range(9)),
        ((1 / 8, 1), range(1, 9)),
        ((0.5, 1), range(4, 9)),
        ((1 / 8, 0.5), range(1, 5)),
    ):
        expected = np.corrcoef(pairs(groups, covariance, shares))[0, 1]
        assert cov_correlation(groups, covariance, *ends) == pytest.approx(expected)
    assert mixed_correlation(groups, covariance) == pytest.approx(
        np.corrcoef(pairs(groups, covariance, range(1, 8)))[0, 1]
    )


def test_a_covariance_that_rises_and_falls_is_told_from_one_that_rises() -> None:
    """sqrt(p (1 - p)), GRPO's factor, has no correlation with p over all groups; each half has its own."""
    p = np.arange(9) / 8
    metrics = pd.DataFrame(
        {
            "entropy": [0.2, 0.1],
            "groups_by_correct": [np.ones(9)] * 2,
            "cov_by_correct": [np.sqrt(p * (1 - p))] * 2,
        }
    )
    found = training_measures(metrics)
    assert found["cov_every"] == pytest.approx(0, abs=1e-12)
    assert found["cov_rise"] > 0.9
    assert found["cov_fall"] > 0.8


def test_entropy_at_a_level_is_read_where_the_reward_first_passes_it() -> None:
    steps = np.arange(100.0)
    reward, entropy = steps / 100, 2 - steps / 100
    assert entropy_at(0.5, reward, entropy) == pytest.approx(1.5)
    assert math.isnan(entropy_at(0.99, reward, entropy)), "never reached"
    assert math.isnan(entropy_at(0.01, reward, entropy)), "already above"
    assert entropy_at(0.5, np.concatenate([reward, reward[::-1]]), np.concatenate([entropy, entropy])) == pytest.approx(
        1.5
    )
