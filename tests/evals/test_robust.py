"""Robust aggregates: the definitions against scipy, and how they behave."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binom, mannwhitneyu, trim_mean

from evals.estimates.robust import interquartile_mean, probability_above, profile, stratified_interval
from evals.io import DataError, read_table, write_table
from evals.tables import robust
from evals.tables.run_scores import SCHEMA

RNG = np.random.default_rng(0)
A, B = RNG.uniform(size=(8, 4)), RNG.uniform(size=(5, 4)).round(1)


def test_interquartile_mean_is_the_trimmed_mean_of_all_scores() -> None:
    assert interquartile_mean(A) == pytest.approx(trim_mean(A.ravel(), 0.25))
    assert interquartile_mean(B) == pytest.approx(trim_mean(B.ravel(), 0.25))
    far = A.copy()
    far[np.unravel_index(far.argmax(), far.shape)] = 100.0
    assert interquartile_mean(far) == interquartile_mean(A), "one far score moves nothing"


def test_probability_above_is_mann_whitneys_and_the_two_sides_sum_to_one() -> None:
    by_benchmark = [mannwhitneyu(A.round(1)[:, t], B[:, t]).statistic / (len(A) * len(B)) for t in range(4)]
    assert probability_above(A.round(1), B) == pytest.approx(np.mean(by_benchmark))
    assert probability_above(A, B) + probability_above(B, A) == pytest.approx(1)
    assert probability_above(A, A) == pytest.approx(0.5)
    assert probability_above(B + 1, B) == 1


def test_a_profile_falls_from_one_to_zero_and_its_area_is_the_mean() -> None:
    grid = np.linspace(-0.01, 1.01, 5001)
    points = np.array([profile(A, t) for t in grid])
    assert points[0] == 1
    assert points[-1] == 0
    assert np.all(np.diff(points) <= 0)
    assert np.trapezoid(points, grid) - 0.01 == pytest.approx(A.mean(), abs=1e-3)


def test_draws_have_their_own_axis_and_agree_with_single_ones() -> None:
    many = np.stack([A, A[::-1], A * 0.5])
    assert interquartile_mean(many) == pytest.approx([interquartile_mean(x) for x in many])
    assert profile(many, 0.3) == pytest.approx([profile(x, 0.3) for x in many])
    others = np.stack([B, B, B])
    assert probability_above(many, others) == pytest.approx([probability_above(x, B) for x in many])


def test_the_bootstrap_draws_whole_runs() -> None:
    """Scores of a run that go up and down together: the interval is that of as many runs, not of as many scores."""
    runs = RNG.normal(size=(20, 1)) * np.ones((20, 6))
    found = stratified_interval(lambda x: x.mean(axis=(-2, -1)), [runs], seed=1, draws=4000)
    assert found is not None
    half = (found[1] - found[0]) / 2
    assert half == pytest.approx(1.96 * runs[:, 0].std() / np.sqrt(20), rel=0.1)
    assert stratified_interval(interquartile_mean, [runs[:1]], seed=1, draws=10) is None


def test_the_interval_of_p_covers_one_half_nearly_as_often_as_it_says() -> None:
    rng, trials, covered = np.random.default_rng(2), 200, 0
    for trial in range(trials):
        a, b = rng.normal(size=(2, 10, 1))
        low, high = stratified_interval(probability_above, [a, b], seed=trial, draws=300) or (0, 0)
        covered += low <= 0.5 <= high
    assert covered >= binom.ppf(0.001, trials, 0.9)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    rows = [
        {"model": "m", "arm": arm, "train_seed": seed, "selection": "last", "benchmark": name, "metric": "avg_at_n",
         "value": None if (arm, seed) == ("asymgrpo", 2) else float(A[seed, t]) + 0.01 * (arm == "asymgrpo"),
         "sampling_sd": 0.0, "diverged_at": 3 if (arm, seed) == ("asymgrpo", 2) else None}
        for arm in ("grpo", "asymgrpo", "base")
        for seed in range(1 if arm == "base" else 3)
        for t, name in enumerate(("chain3", "chain4", "average"))
    ]  # fmt: skip
    table = pd.DataFrame(rows).reindex(columns=SCHEMA.names)
    path = tmp_path / "run_scores.parquet"
    write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False), path, {})
    return path


def test_the_table_has_every_arm_and_leaves_out_averages_and_diverged_runs(written: Path, tmp_path: Path) -> None:
    out, markdown = tmp_path / "robust.parquet", tmp_path / "robust.md"
    robust.main(written, 200, 0, out, markdown, "grpo")
    rows = read_table(out).to_pylist()
    iqm = {row["arm"]: row for row in rows if row["quantity"] == "iqm"}
    assert {arm: row["n_seeds"] for arm, row in iqm.items()} == {"base": 1, "grpo": 3, "asymgrpo": 2}
    assert {row["n_benchmarks"] for row in rows} == {2}
    assert iqm["grpo"]["estimate"] == pytest.approx(trim_mean(A[:3, :2].ravel(), 0.25))
    assert iqm["base"]["ci_low"] is None
    assert {row["arm"] for row in rows if row["quantity"] == "p_above"} == {"base", "asymgrpo"}
    assert all(row["ci_low"] <= row["estimate"] <= row["ci_high"] for row in rows if row["ci_low"] is not None)
    text = markdown.read_text()
    assert "| AsymGRPO | 2; diverged (1 of 3 seeds, step 3) |" in text
    assert {row["arm"]: row["n_diverged"] for row in rows} == {"base": 0, "grpo": 0, "asymgrpo": 1}
    assert "P(above GRPO)" in text


def test_an_unknown_arm_to_compare_with_is_answered_with_the_known_ones(written: Path, tmp_path: Path) -> None:
    out, markdown = tmp_path / "r.parquet", tmp_path / "r.md"
    with pytest.raises(
        DataError, match=rf"^{written}: no arm 'grpoo' in it; choose --against from base, grpo, asymgrpo$"
    ):
        robust.main(written, 50, 0, out, markdown, "grpoo")
    assert not out.exists()
    assert not markdown.exists()
    robust.main(written, 50, 0, out, markdown)
    assert {row["quantity"] for row in read_table(out).to_pylist()} == {"iqm", "profile"}
    assert "P(above" not in markdown.read_text().split("Of avg@n")[0]


def test_an_arm_of_which_every_run_diverged_is_named(written: Path, tmp_path: Path) -> None:
    frame = read_table(written).to_pandas()
    lost = frame["arm"] == "asymgrpo"
    frame.loc[lost, "value"], frame.loc[lost, "diverged_at"] = None, 2
    write_table(pa.Table.from_pandas(frame, SCHEMA, preserve_index=False), written, {})
    robust.main(written, 50, 0, tmp_path / "r.parquet", tmp_path / "r.md", "grpo")
    (row,) = (row for row in read_table(tmp_path / "r.parquet").to_pylist() if row["arm"] == "asymgrpo")
    assert (row["estimate"], row["n_seeds"], row["n_diverged"]) == (None, 0, 3)
    assert "| AsymGRPO | 0; diverged (3 of 3 seeds, step 2) | – | – |  |" in (tmp_path / "r.md").read_text()


@pytest.mark.parametrize(("runs", "others", "benchmarks"), [(2, 5, 1), (7, 7, 3), (22, 4, 7)])
def test_looking_at_each_run_once_gives_the_same_digits(runs: int, others: int, benchmarks: int) -> None:
    """The statistics of runs by number are those of evals.estimates.robust, ties and every digit of an interval included."""
    rng = np.random.default_rng(benchmarks)
    a, b = (rng.integers(0, 9, size=(number, benchmarks)) / 8 for number in (runs, others))
    for threshold in (0.3, 0.5):
        share = robust.share_of_runs(a, threshold)
        assert _both(share, [robust.numbers(a)]) == _both(lambda x, t=threshold: profile(x, t), [a])
    wins = robust.wins_of_runs(a, b)
    assert _both(wins, [robust.numbers(a), robust.numbers(b)]) == _both(probability_above, [a, b])


def _both(statistic, arms):
    return float(statistic(*arms)), stratified_interval(statistic, arms, seed=3, draws=200)
