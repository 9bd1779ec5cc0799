"""Claims on synthetic studies: silent on noise, right on planted effects, honest with few seeds."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from scipy.stats import binom, nct, t, ttest_1samp

from asymgrpo.method.arms import ARMS, BETA_NEG, BETA_POS, get_arm
from evals.claims.decide import ALPHA, BASE, Conclusion, Effect, Measured, decide, effect, holm_level, interval, p_value
from evals.claims.decided import SCHEMA, claim_rows, decide_claims, render
from evals.claims.measures import MEASURES, cov_correlation, measure_runs, training_measures
from evals.claims.table import BONUSES, CLAIMS
from evals.estimates.stats import holm
from evals.io import DataError, write_table

MAIN_SEEDS, OTHER_SEEDS = 8, 5
NEEDED = {arm for claim in CLAIMS for weights in claim.parts for arm in weights}
MAIN = {"reinforce", "grpo", "grpo_entropy", "grpo_clip_higher", "dr_grpo", "asymgrpo", "asymgrpo_clip_higher"}


Study = dict[str, dict[str, Measured]]


def study(rng: np.random.Generator, shift: Mapping[tuple[str, str], float], noise: float = 1.0) -> Study:
    """Measures of a study of config/study.yaml's size: a share of each seed's luck is common to all its arms.

    shift: (measure, arm) -> planted mean. Units are the standard deviation of an arm's own luck.
    """
    measures: Study = {}
    for measure in MEASURES:
        luck = rng.normal(size=MAIN_SEEDS)
        measures[measure] = {BASE: Measured({0: 0.3 * rng.normal() + shift.get((measure, BASE), 0.0)}, 0.3)}
        for arm in sorted(NEEDED - {BASE}):
            n = MAIN_SEEDS if arm in MAIN else OTHER_SEEDS
            values = shift.get((measure, arm), 0.0) + luck[:n] + noise * rng.normal(size=n)
            measures[measure][arm] = Measured(dict(enumerate(values)))
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
    return {name: decision.verdict for name, decision in decide_claims(CLAIMS, measures).items()}


def test_every_arm_of_a_claim_exists_and_every_measure_is_known() -> None:
    assert len(CLAIMS) == len({claim.id for claim in CLAIMS}) >= 12
    for claim in CLAIMS:
        assert claim.measure in MEASURES
        for weights in claim.parts:
            assert set(weights) <= {*ARMS, BASE}, claim.id
            one_arm = len(weights) == 1
            assert one_arm or sum(weights.values()) == pytest.approx(0, abs=1e-12), f"{claim.id} is no contrast"
    assert MEASURES.keys() == {claim.measure for claim in CLAIMS}, "a measure that no claim uses"


@pytest.mark.parametrize(("levels", "swept"), [(BETA_POS, "beta_pos"), (BETA_NEG, "beta_neg")])
def test_the_exponents_of_the_sweeps_are_those_of_the_arms(levels: Mapping[str, float], swept: str) -> None:
    for arm, beta in levels.items():
        if arm == "grpo":
            assert beta == 0.5  # what standardising by the population's deviation is (docs/method.md)
            continue
        parameters = get_arm(arm).advantage_parameters
        assert parameters[swept] == beta
        assert parameters["beta_neg" if swept == "beta_pos" else "beta_pos"] == 0.5


def test_the_committed_study_runs_the_arms_of_every_claim() -> None:
    plan = yaml.safe_load((Path(__file__).parents[2] / "config/study.yaml").read_text())["study"]
    assert NEEDED - {BASE} <= {*plan["arms"], *plan["analyses"]}
    assert set(BONUSES) <= NEEDED


def test_noise_supports_a_claim_in_at_most_one_study_of_twenty() -> None:
    """Any claim of a study, over studies without any effect; the exact binomial bound is passed in one run of 200 at a true 5 %.

    The arms differ by nothing but luck; what is measured of one arm alone (covariance, entropy lost) is 0 on average too.
    """
    rng, studies = np.random.default_rng(0), 1000
    supported = rejected = 0
    for _ in range(studies):
        found = decide_claims(CLAIMS, study(rng, {}))
        supported += any(d.verdict is Conclusion.SUPPORTED for d in found.values())
        rejected += any(d.p_holm <= ALPHA for d in found.values())
    bound = binom.ppf(0.995, studies, 0.05)
    assert supported <= rejected <= bound
    assert rejected > 0, "a family-wise level of 5 % that never rejects in 1000 studies is another one"


@pytest.mark.parametrize("n_seeds", [3, 5, 8])
def test_one_claim_alone_is_falsely_rejected_at_exactly_its_level(n_seeds: int) -> None:
    """Student's law, not the normal one: 1.96 standard errors would reject 12 % of the time with 5 seeds."""
    rng, trials = np.random.default_rng(n_seeds), 4000
    values = rng.normal(size=(trials, n_seeds))
    wrong = sum(
        decide([[Effect(v.mean(), v.std(ddof=1) / math.sqrt(n_seeds), n_seeds - 1, n_seeds)]], [1.0])[0].p_holm <= ALPHA
        for v in values
    )
    assert binom.ppf(0.001, trials, ALPHA) <= wrong <= binom.ppf(0.999, trials, ALPHA)


def test_planted_effects_are_found_with_the_power_that_theory_says() -> None:
    """Every claim true by the same multiple of its own standard deviation; each must be found as often as Bonferroni's power."""
    size, studies = 8.0, 60
    single = {claim.id: claim for claim in CLAIMS if len(claim.parts) == 1 and BASE not in claim.parts[0]}
    rng = np.random.default_rng(1)
    found = dict.fromkeys(single, 0)
    for _ in range(studies):
        effects = []
        for claim in single.values():
            n = MAIN_SEEDS if set(claim.parts[0]) <= MAIN else OTHER_SEEDS
            values = size + rng.normal(size=n)
            effects.append([Effect(values.mean(), values.std(ddof=1) / math.sqrt(n), n - 1, n)])
        for name, decision in zip(single, decide(effects, [0.1] * len(effects)), strict=True):
            found[name] += decision.verdict is Conclusion.SUPPORTED
    for name, claim in single.items():
        n = MAIN_SEEDS if set(claim.parts[0]) <= MAIN else OTHER_SEEDS
        critical = t.ppf(1 - ALPHA / 2 / len(single), n - 1)
        power = nct.sf(critical, n - 1, size * math.sqrt(n))
        assert power > 0.6
        assert found[name] >= binom.ppf(1e-4, studies, power), f"{name}: {found[name]} of {studies}, power {power:.2f}"


def test_a_planted_study_is_read_as_it_was_planted() -> None:
    """AsymGRPO better than all others, Clip-higher worse than GRPO, the rest equal; effects of 30 standard deviations."""
    shift = {("accuracy", arm): -30.0 for arm in NEEDED} | {
        ("accuracy", "asymgrpo"): 0.0,
        ("accuracy", "grpo_clip_higher"): -60.0,
    }
    got = verdicts(study(np.random.default_rng(2), shift))
    for name in ("asym_grpo", "asym_reinforce", "asym_dr", "asym_bonus", "asym_clip"):
        assert got[name] is Conclusion.SUPPORTED, name
    assert got["clip_grpo"] is Conclusion.NOT_SUPPORTED
    assert got["synergy"] is Conclusion.NOT_SUPPORTED, "better than Clip-higher, but worse than AsymGRPO"
    assert got["dr_grpo"] in (Conclusion.INCONCLUSIVE, Conclusion.NOT_SUPPORTED)


def test_an_effect_too_small_to_matter_is_not_supported_rather_than_inconclusive() -> None:
    measures = study(np.random.default_rng(3), {}, noise=1e-5)
    got = verdicts(measures)
    assert got["asym_grpo"] is Conclusion.NOT_SUPPORTED
    assert got["unsolved"] is Conclusion.NOT_SUPPORTED


def test_a_claim_of_two_parts_needs_both() -> None:
    good, bad = Effect(5.0, 0.1, 7.0, 8), Effect(-5.0, 0.1, 7.0, 8)
    assert decide([[good, good]], [1.0])[0].verdict is Conclusion.SUPPORTED
    for parts in ([good, bad], [bad, good]):
        decision = decide([parts], [1.0])[0]
        assert decision.verdict is Conclusion.NOT_SUPPORTED
        assert decision.estimate == -5.0


@pytest.mark.parametrize("others", [0.0, 20.0])
def test_the_interval_of_a_two_part_claim_covers_the_smaller_part(others: float) -> None:
    """At the boundary (one part 0, the other far up) and where both are 0, the worst case of the upper end."""
    rng, trials, n = np.random.default_rng(4), 3000, 5
    covered_low = covered_high = 0
    for _ in range(trials):
        samples = rng.normal(size=(2, n)) + np.array([[0.0], [others]])
        parts = [Effect(s.mean(), s.std(ddof=1) / math.sqrt(n), n - 1, n) for s in samples]
        low, high = interval(parts, 0.9)
        covered_low += low <= 0
        covered_high += high >= 0
    assert min(covered_low, covered_high) >= binom.ppf(0.001, trials, 0.95)


def test_an_interval_leaves_out_zero_exactly_if_holm_rejects() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        claims = [
            [Effect(rng.normal() * 4, rng.uniform(0.3, 2), n - 1, n) for _ in range(rng.integers(1, 4))]
            for n in rng.integers(3, 9, size=7)
        ]
        for decision in decide(claims, [1.0] * len(claims)):
            assert (decision.ci_low > 0 or decision.ci_high < 0) == (decision.p_holm <= ALPHA)


def test_the_t_test_is_scipys_and_pairs_the_seeds() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=8), rng.normal(size=8) + 0.5
    arms = {"a": Measured(dict(enumerate(a))), "b": Measured(dict(enumerate(b)))}
    found = effect({"a": 1, "b": -1}, arms)
    assert found is not None
    expected = ttest_1samp(a - b, 0)
    assert p_value([found]) == pytest.approx(expected.pvalue)
    assert interval([found], 0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_only_shared_seeds_are_compared() -> None:
    a = Measured({0: 1.0, 1: 2.0, 2: 3.0, 3: 100.0})
    b = Measured({1: 1.0, 2: 2.5, 0: 0.0, 9: -100.0})
    found = effect({"a": 1, "b": -1}, {"a": a, "b": b})
    assert found is not None
    assert found.n_seeds == 3
    assert found.estimate == pytest.approx((1 + 1 + 0.5) / 3)


def test_the_base_models_sampling_noise_widens_the_interval() -> None:
    grpo = Measured(dict(enumerate([0.1, 0.2, 0.3, 0.4])))
    exact, noisy = (effect({BASE: 1, "grpo": -1}, {BASE: Measured({0: 0.9}, sd), "grpo": grpo}) for sd in (0.0, 0.5))
    assert exact is not None
    assert noisy is not None
    assert exact.estimate == noisy.estimate == pytest.approx(0.65)
    assert noisy.std_error == pytest.approx(math.hypot(exact.std_error, 0.5))
    assert noisy.degrees > exact.degrees == 3


def test_too_few_seeds_or_missing_arms_are_not_tested() -> None:
    measures = frame(study(np.random.default_rng(7), {}))
    few = measures[(measures["train_seed"] < 2) & (measures["arm"] != "dr_grpo")]
    rows = {row["id"]: row for row in claim_rows(CLAIMS, few)}
    assert {row["verdict"] for row in rows.values()} == {Conclusion.NOT_TESTED}
    assert rows["asym_grpo"]["why_not"] == "training seeds in common: 2"
    assert rows["asym_dr"]["why_not"] == "not run: Dr.GRPO"
    assert "Nothing could be tested" in render(pa.Table.from_pylist(list(rows.values()), SCHEMA).to_pylist())


def test_equal_runs_decide_nothing() -> None:
    """Arms that came out the same in every seed give no error to judge by; they must not count as certain."""
    same = [[Effect(0.0, 0.0, 4.0, 5)], [Effect(0.3, 0.0, 4.0, 5)]]
    assert {d.verdict for d in decide(same, [0.01, 0.01])} == {Conclusion.INCONCLUSIVE}


def test_holm_is_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(8)
    for size in (1, 2, 9, 25):
        p = rng.uniform(size=size) ** 3
        p[: size // 3] = p[0]  # ties
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm_level(np.array([0.001, 0.02, 0.03])) == 0.95, "all rejected: the last step tests one"


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
    assert math.isnan(found["cov_correlation"]), "with two rollouts there is one mixed share"

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
    assert "cov_correlation" not in rows, "what a run does not have is left out"
    write_table(table, path, {})
    with pytest.raises(DataError, match=r"metrics\.parquet.*model, arm, train_seed"):
        measure_runs([path], scores, "validation")


def test_covariance_correlation_weighs_groups_and_leaves_out_unanimous_ones() -> None:
    rng = np.random.default_rng(9)
    groups = rng.integers(0, 4, size=(30, 9)).astype(float)
    covariance = np.where(groups > 0, rng.normal(size=groups.shape), np.nan)
    covariance[:, [0, 8]] = 50.0  # must not count
    pairs = [(k / 8, covariance[s, k]) for s in range(30) for k in range(1, 8) for _ in range(int(groups[s, k]))]
    assert cov_correlation(groups, covariance) == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1])
