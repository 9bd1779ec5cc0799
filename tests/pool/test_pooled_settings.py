"""Settings of one study: which differences are declared and which are refused, and the setting as a random effect."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from parts import COMMITTED, SEEDS, Edit, edited_json, edited_metadata, part

from asymgrpo.study.config import ConfigError
from asymgrpo.study.keys import KeyUnknown
from asymgrpo.study.layout import CONFIGURATION, PROTOCOL
from evals.artifacts.bundle_files import Bundle, open_bundle
from evals.claims.claim import Claim
from evals.claims.decide import Decision
from evals.claims.decided import decide_claim
from evals.claims.measures import SCHEMA
from evals.claims.table import CLAIMS
from evals.io import read_metadata, read_table
from evals.pool import agreement, settings, tables
from evals.pool.__main__ import check
from evals.pool.claims import Pool, claim_rows
from evals.pool.factor import Factor
from evals.pool.laboratories import Laboratory, opened
from evals.pool.scores import rows
from workflow import bundle as of_workflow

SETTING = Factor("setting", settings=True)
RATE, BASE_SEED = "train.learning_rate", "models.tiny.spec.seed"
SLOW: Edit = edited_json(CONFIGURATION, "config", "train", "learning_rate", value=0.0002)
BOTH = (["grpo", "asymgrpo"], [])


@pytest.fixture(scope="module")
def committed() -> Bundle:
    return open_bundle(COMMITTED)


@pytest.fixture(scope="module")
def bundles(committed: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The study with four arms, and a setting of two of them that says that it has another rate."""
    home = tmp_path_factory.mktemp("settings")
    arms = (["reinforce", "grpo", "asymgrpo"], ["maxrl"])
    study = part(committed, home / "study.zip", SEEDS[:3], SEEDS[:3], arms)
    slow = part(committed, home / "slow.zip", SEEDS[3:6], (), BOTH, SLOW)
    return [str(study), str(slow)]


@pytest.fixture(scope="module")
def made(bundles: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pooled")
    tables.make_of_settings(opened(bundles), [RATE], out)
    return out


def test_a_setting_is_a_study_with_its_declared_difference_and_its_own_arms(made: Path, bundles: list[str]) -> None:
    told = json.loads((made / tables.SETTINGS).read_text())
    assert {name: one["values"] for name, one in told["settings"].items()} == {
        "study": {RATE: 0.0004},
        "slow": {RATE: 0.0002},
    }
    for name in tables.TABLES:
        assert read_metadata(made / f"{name}.parquet")["settings_differ"] == [RATE]
    frame = read_table(made / "by_laboratory.parquet").to_pandas()
    late = frame[frame["measure"] == "accuracy_late"].set_index(["laboratory", "arm"])
    assert late["n_seeds"].to_dict() == {
        **{("study", arm): 3 for arm in ("asymgrpo", "grpo", "maxrl", "reinforce")},
        **{("slow", arm): 3 for arm in ("asymgrpo", "grpo")},
    }
    claims = read_table(made / "pooled_claims.parquet").to_pandas().set_index("id")
    assert claims.loc["asym_grpo", "n_seeds"] == 6
    assert claims.loc["asym_reinforce", "n_seeds"] == 3, "an arm of one setting is compared through that setting"
    assert claims.loc["asym_dr", "why_not"] == "not run: Dr.GRPO"
    of_base = [claim.id for claim in CLAIMS if "base" in claim.arms]
    assert of_base
    assert set(claims.loc[of_base, "why_not"]) == {"not pooled: each setting has base answers of its own"}
    text = (made / "pooled.md").read_text()
    assert "| `train.learning_rate` | 0.0004 | 0.0002 |" in text
    assert "new seeds in new settings" in text
    assert "laborator" not in text


Differences = Mapping[str, tuple[Edit, list[str]]]
UNDECLARED: Differences = {
    f"{RATE} is 0.0004 in study and 0.0002 in other": (SLOW, [BASE_SEED]),
    "evaluation.bootstrap_draws is 10000 in study and 500 in other": (
        edited_json(CONFIGURATION, "config", "evaluation", "bootstrap_draws", value=500),
        [RATE],
    ),
    "arms.grpo.arm.clip_high is 0.2 in study and 0.28 in other": (
        edited_json(f"grpo/seed{SEEDS[3]}/conventions.json", "arm", "fields", "clip_high", value=0.28),
        ["train"],
    ),
    'verifier.version is "2" in study and "3" in other': (
        edited_metadata(f"grpo/seed{SEEDS[3]}.parquet", "verifier_version", "3"),
        ["train"],
    ),
}


def other(committed: Bundle, home: Path, edit: Edit, more: Mapping[str, bytes] | None = None) -> list[Laboratory]:
    one = part(committed, home / "study.zip", [SEEDS[0]], [], (["grpo"], []))
    two = part(committed, home / "other.zip", [SEEDS[3]], [], (["grpo"], []), edit, more)
    return opened([str(one), str(two)])


@pytest.mark.parametrize("phrase", UNDECLARED)
def test_what_was_not_declared_is_refused_by_name_with_both_values(
    committed: Bundle, tmp_path: Path, phrase: str
) -> None:
    edit, differ = UNDECLARED[phrase]
    with pytest.raises(agreement.PoolError) as refused:
        settings.require(other(committed, tmp_path, edit), differ)
    assert f"the settings cannot be pooled: {phrase}; name the keys" in str(refused.value)
    with pytest.raises(KeyUnknown, match=r"unknown key 'train\.rate'"):
        settings.require(other(committed, tmp_path, edit), ["train.rate"])


def test_other_content_is_refused_where_it_should_be_the_same_and_only_there(committed: Bundle, tmp_path: Path) -> None:
    """Two settings with one base model must have the same weights; two base models need not."""
    weights = edited_metadata(f"grpo/seed{SEEDS[3]}/metrics.parquet", "model_sha256", {"model.safetensors": "ff"})
    seed = edited_json(CONFIGURATION, "config", "models", "tiny", "spec", "seed", value=7)
    for name, edit in (("same", weights), ("other", lambda path, content: seed(path, weights(path, content)))):
        (tmp_path / name).mkdir()
        found = settings.differences(other(committed, tmp_path / name, edit), [BASE_SEED])
        assert [one.key for one in found] == (["base_weights.tiny.model.safetensors"] if name == "same" else [])


def test_settings_have_protocols_of_their_own_with_the_same_claims(committed: Bundle, tmp_path: Path) -> None:
    def declared(margin: float, seeds: list[int]) -> bytes:
        return json.dumps({"claims": {"a": margin}, "analysis": {"m": 1}, "seeds": {"grpo": seeds}}).encode()

    one = part(
        committed, tmp_path / "one.zip", [SEEDS[0]], [], (["grpo"], []), more={PROTOCOL: declared(0.01, [SEEDS[0]])}
    )
    for margin, found in ((0.01, []), (0.02, ["protocol.claims.a"])):
        more = {PROTOCOL: declared(margin, [SEEDS[3]])}
        two = part(committed, tmp_path / "two.zip", [SEEDS[3]], [], (["grpo"], []), SLOW, more)
        pair = opened([str(one), str(two)])
        assert [difference.key for difference in settings.differences(pair, [RATE])] == found
        assert settings.differences(pair, [RATE, "protocol"]) == []


def test_check_prints_what_differs_and_says_what_agrees(bundles: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    check(bundles, [RATE])
    assert capsys.readouterr().out == "2 settings agree; runs: study 12, slow 6\n"
    with pytest.raises(agreement.PoolError):
        check(bundles, [BASE_SEED])
    assert f"{RATE} is 0.0004 in study and 0.0002 in slow\n" in capsys.readouterr().out


def test_a_setting_twice_shares_its_random_numbers(bundles: list[str]) -> None:
    with pytest.raises(agreement.PoolError, match="give each setting seeds of its own"):
        settings.require(opened([bundles[0], f"again={bundles[0]}"]), [RATE])


def planted(
    level: float, apart: float, n_settings: int = 4, seeds: int = 8, factor: Factor = SETTING, centred: bool = False
) -> tuple[Pool, pd.DataFrame]:
    """Runs with a standard deviation of 0.01. `level`: how far settings are apart in all arms; `apart`: in AsymGRPO alone.

    AsymGRPO is 0.03 above GRPO; REINFORCE, 0.04 below it, was run in the last setting alone. `centred`: chance does not move the
    mean of an arm in a setting.
    """
    rng, found, labs = np.random.default_rng(5), [], {}
    for index in range(n_settings):
        for arm, effect in {"grpo": 0.0, "asymgrpo": 0.03, "reinforce": -0.04}.items():
            if arm == "reinforce" and index < n_settings - 1:
                continue
            noise = 0.01 * rng.normal(size=seeds)
            for seed, chance in zip(
                range(100 * index, 100 * index + seeds), noise - centred * noise.mean(), strict=True
            ):
                labs["m", arm, seed] = f"s{index}"
                moved = level * index + apart * (-1) ** index * (arm == "asymgrpo")
                about = {"model": "m", "arm": arm, "train_seed": seed, "selection": "last", "sampling_sd": 0.01}
                found.append(about | {"measure": "accuracy", "value": 0.3 + effect + moved + chance})
                found += [about | {"measure": "mixed_share", "value": 0.6}]
    frame = pa.Table.from_pylist(found, SCHEMA).to_pandas()
    return Pool(frame, "m", labs, factor=factor), frame


CLAIM: Claim = next(claim for claim in CLAIMS if claim.id == "asym_grpo")


def decided(pool: Pool, name: str = "asym_grpo") -> Decision:
    found = pool.decide(next(claim for claim in CLAIMS if claim.id == name))
    assert not isinstance(found, str), found
    return found


def test_a_study_in_parts_is_the_study_itself() -> None:
    pool, _ = planted(0.0, 0.0, centred=True)
    whole, found = decide_claim(CLAIM, pool.measures), decided(pool)
    assert not isinstance(whole, str)
    assert [found.estimate, found.std_error, found.degrees] == pytest.approx(
        [whole.estimate, whole.std_error, whole.degrees]
    )
    of_laboratories, _ = planted(0.0, 0.0, factor=Factor(), centred=True)
    assert vars(decided(of_laboratories)) == vars(found)


def test_what_settings_differ_in_as_a_whole_moves_no_difference_of_arms() -> None:
    pool, frame = planted(0.2, 0.0)
    flat, _ = planted(0.0, 0.0)
    assert decided(pool).estimate == pytest.approx(decided(flat).estimate, abs=1e-4)
    assert decided(pool).std_error == pytest.approx(decided(flat).std_error, rel=0.05)
    in_last = frame[(frame["measure"] == "accuracy") & (frame["train_seed"] >= 300)].groupby("arm")["value"].mean()
    own = in_last["asymgrpo"] - in_last["reinforce"]
    naive = decide_claim(next(c for c in CLAIMS if c.id == "asym_reinforce"), pool.measures)
    assert not isinstance(naive, str)
    assert decided(pool, "asym_reinforce").estimate == pytest.approx(own, abs=0.01)
    assert naive.estimate < own - 0.2, "means over all runs compare settings, not arms"


def test_a_planted_difference_between_settings_is_found_and_a_planted_null_is_not() -> None:
    (apart, _), (alike, _) = planted(0.2, 0.05), planted(0.2, 0.0)
    for pool, found in ((apart, True), (alike, False)):
        row = next(row for row in claim_rows(pool) if row["id"] == "asym_grpo")
        p = pool.differ(CLAIM)
        assert p is not None
        assert (p < 0.001) == found
        assert (row["sd_laboratory_arm"] > 0.02) == found
        assert (row["verdict"], row["verdict_without"]) == (
            ("inconclusive", "supported") if found else ("supported", "supported")
        )


def test_settings_need_not_have_the_same_benchmarks_and_each_has_an_average_of_its_own() -> None:
    about = {"model": "m", "selection": "last", "metric": "avg_at_n", "k": None, "sampling_sd": 0.01}
    labs = {("m", "grpo", seed): lab for lab, seeds in (("sums", (1, 2)), ("lcm", (3, 4))) for seed in seeds}
    values = {"chain3": {1: 0.4, 2: 0.5}, "lcm2": {3: 0.2, 4: 0.3}, "average": {1: 0.5, 2: 0.6, 3: 0.2, 4: 0.3}}
    scores = pd.DataFrame(
        [
            about | {"arm": "grpo", "benchmark": name, "train_seed": seed, "value": value}
            for name, mine in values.items()
            for seed, value in mine.items()
        ]
    )
    found = {row["benchmark"]: row for row in rows(scores, labs)}
    assert {name: (row["n_seeds"], row["n_laboratories"]) for name, row in found.items()} == {
        **{"chain3": (2, 1), "lcm2": (2, 1), "average": (4, 2)},
    }
    told = {one["laboratory"]: one["mean"] for one in found["average"]["laboratories"]}
    assert told == {"sums": pytest.approx(0.55), "lcm": pytest.approx(0.25)}


def test_the_workflow_pools_settings_and_makes_nothing_else_of_them(bundles: list[str]) -> None:
    given: dict[str, Any] = {"bundles": bundles, "differ": [RATE], "factor": "rate"}
    found = of_workflow.bundle_of(given)
    assert found is not None
    assert not of_workflow.is_pool(found)
    named = of_workflow.settings_of(given)
    assert named == (tuple(bundles), (RATE,), "rate")
    assert named is not None
    assert of_workflow.need_pool(found, named) == []
    config = of_workflow.configuration(found, {}, given)
    assert config["results"] == "results-study-settings"
    assert not {"bundles", "differ", "factor"} & config.keys()
    assert json.loads(of_workflow.settings_text(named))["factor"] == "rate"
    with pytest.raises(ConfigError, match="pooled and not joined"):
        of_workflow.need_one_study(named)
    for wrong, phrase in (
        ({"differ": RATE}, "differ is 'train.learning_rate'; give a list"),
        ({"differ": None}, "say what"),
    ):
        with pytest.raises(ConfigError, match=phrase):
            of_workflow.bundle_of(given | wrong)
