"""Seeds and effects of `asymgrpo power` against the noncentral t and against drawn studies."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binom, nct, t

from evals.claims import power
from evals.claims.decide import ALPHA, interval
from evals.claims.effects import Measured, effect
from evals.claims.measures import SCHEMA
from evals.claims.power import POWER, Noise, hours_of_a_run, noise, noisiest
from evals.claims.table import POOL, TESTS
from evals.io import DataError, write_table

ARMS = sorted(POOL - {"base"})
WEIGHTS = {"asymgrpo": 1.0, "grpo": -1.0}


def drawn(rng: np.random.Generator, n: int, shift: float = 0.0) -> dict[str, Measured]:
    found = {arm: Measured(dict(enumerate(rng.normal(size=n)))) for arm in ARMS}
    found["asymgrpo"] = Measured({seed: value + shift for seed, value in found["asymgrpo"].values.items()})
    return found


@pytest.mark.parametrize("n", [3, 8, 36])
def test_the_smallest_effect_has_exactly_the_power_that_is_said(n: int) -> None:
    one = Noise(2.0, 0.1, len(ARMS))
    degrees = len(ARMS) * (n - 1)
    found = one.smallest(n, len(TESTS))
    critical = t.ppf(1 - ALPHA / len(TESTS), degrees)
    assert nct.sf(critical, degrees, found / math.sqrt(2 / n + 0.1)) == pytest.approx(POWER, abs=1e-6)


def test_studies_find_that_effect_as_often_as_is_said() -> None:
    n, trials, rng = 6, 600, np.random.default_rng(0)
    size = Noise(2.0, 0.0, len(ARMS)).smallest(n, len(TESTS))
    level, hits = 1 - 2 * ALPHA / len(TESTS), 0
    for _ in range(trials):
        found = effect(WEIGHTS, drawn(rng, n, size), pool=POOL)
        assert found is not None
        hits += interval([found], level)[0] > 0
    assert binom.ppf(1e-3, trials, POWER) <= hits <= binom.ppf(1 - 1e-3, trials, POWER)


def test_the_seeds_are_the_fewest() -> None:
    one = Noise(2.0, 0.0, len(ARMS))
    for size in (0.2, 0.5, 2.0):
        n = one.seeds_for(size, len(TESTS))
        assert n is not None
        assert one.smallest(n, len(TESTS)) <= size < (one.smallest(n - 1, len(TESTS)) if n > 2 else math.inf)
    assert one.seeds_for(1e-3, len(TESTS)) is None
    assert Noise(2.0, 1.0, 20).seeds_for(1.0, 1) is None, "more seeds do not make the base model's answers more"


def test_noise_is_that_of_the_effect_that_is_decided() -> None:
    arms = drawn(np.random.default_rng(1), 7)
    arms["random_reward"] = Measured(dict(enumerate(10 * np.random.default_rng(2).normal(size=7))))
    for weights in (WEIGHTS, {"grpo": 1.0, "random_reward": -1.0}):
        found, decided = noise(weights, arms), effect(weights, arms, pool=POOL)
        assert found is not None
        assert decided is not None
        assert math.sqrt(found.per_seed / 7) == pytest.approx(decided.std_error)
    several = next(claim for claim in TESTS if claim.id == "synergy")
    assert noisiest(several, arms) == noise(several.parts[0], arms)
    assert noise({"grpo": 1.0, "random_reward": -1.0}, drawn(np.random.default_rng(3), 7)) is None
    assert noise(WEIGHTS, drawn(np.random.default_rng(3), 1)) is None


def test_hours_are_those_of_a_runs_own_jobs() -> None:
    rows = [
        ("train", "a", 3600.0),
        ("train", "b", 7200.0),
        ("sample", "a", None),
        ("sample", "base", 9e9),
        ("figure", None, 9e9),
    ]
    jobs = pd.DataFrame([{"rule": r, "model": "m", "arm": a, "seconds": 1800.0, "cpu_seconds": s} for r, a, s in rows])
    assert hours_of_a_run(jobs, "m") == pytest.approx(1.5 + 0.5)
    assert hours_of_a_run(jobs, "other") is None


def test_the_command_prints_a_line_for_every_claim_that_runs_can_tell_of(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(DataError, match=r"measures\.parquet: no such file; run snakemake tables"):
        power.main(tmp_path)
    rng, rows = np.random.default_rng(4), []
    for arm in ("grpo", "asymgrpo"):
        rows += [
            {"model": "m", "arm": arm, "train_seed": s, "measure": "accuracy", "value": float(rng.normal())}
            for s in range(4)
        ]
    write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "measures.parquet", {})
    power.main(tmp_path, [4, 9])
    said = capsys.readouterr().out
    assert "| claim | found with 4 seeds | found with 9 seeds | margin |" in said
    assert said.count("\n| ") == sum(claim.measure == "accuracy" for claim in TESTS) + 1
    write_table(
        pa.Table.from_pylist([row for row in rows if row["train_seed"] == 0], SCHEMA), tmp_path / "measures.parquet", {}
    )
    power.main(tmp_path)
    assert "No arm has two finished seeds" in capsys.readouterr().out
