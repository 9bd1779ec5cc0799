"""Outcomes against doses: slopes and rank correlations are what textbooks say, and every row says if its dose was declared."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from asymgrpo.errors import DataError
from asymgrpo.files import sha256_file, write_json, write_table
from asymgrpo.method.arms import get_arm
from asymgrpo.method.conventions import describe
from asymgrpo.study.stored import load_study
from evals.claims.effects import Measured
from evals.claims.measures import SCHEMA as MEASURES
from evals.figures import dose_response as figure
from evals.io import read_table
from evals.protocol import content, dose, files
from evals.protocol.compare import DECLARED
from evals.protocol.dose import OUTCOMES
from evals.tables import dose_fit, dose_response
from evals.tables.doses import Doses, afterwards, declared

ROOT = Path(__file__).parents[2]
COUNTS = [5, 3, 1, 4, 1, 5, 9, 2, 6]
ARMS = ("grpo", "asymgrpo", "positive_only", "beta_pos_0p25", "grpo_clip_higher", "random_reward")
SEEDS = 4
X = {"a": 0.25, "b": 0.3, "c": 0.41, "d": 0.5}
RNG = np.random.default_rng(5)
RUNS = {arm: Measured(dict(enumerate(4 * x + RNG.normal(size=5)))) for arm, x in X.items()}
MEANS = [float(np.mean(list(mine.values.values()))) for mine in RUNS.values()]


def test_the_slope_is_that_of_least_squares_with_the_errors_of_runs_or_of_arms() -> None:
    line = stats.linregress(list(X.values()), MEANS)
    found = dose_fit.over_runs(X, RUNS, pool=set(X))
    assert found is not None
    assert found.estimate == pytest.approx(0.1 * line.slope)
    weights = np.array(list(dose_fit.slope_weights(X).values()))
    variance = np.mean([np.var(list(mine.values.values()), ddof=1) for mine in RUNS.values()])
    assert found.std_error == pytest.approx(np.sqrt(variance / 5 * (weights**2).sum()))
    assert found.degrees == 16
    arms = dose_fit.over_arms(list(X.values()), MEANS, 0.95)
    half = stats.t.ppf(0.975, 2) * line.stderr
    assert (arms.value, arms.low, arms.high) == pytest.approx([0.1 * (line.slope + s * half) for s in (0, -1, 1)])


def test_the_rank_correlation_is_spearmans_with_ties() -> None:
    x, y = np.array([1.0, 2, 2, 4, 5]), RNG.normal(size=(3, 5)).round(1)
    expected = [stats.spearmanr(x, row).statistic for row in y]
    assert dose_fit.rank_correlation(x, y).tolist() == pytest.approx(expected)


def test_its_interval_holds_the_truth_where_means_are_sure_and_widens_with_noise() -> None:
    def ends(noise: float) -> tuple[float, float]:
        runs = [x + noise * np.array([-1.0, 1.0, 0.5, -0.5]) for x in X.values()]
        found = dose_fit.spearman(list(X.values()), runs, 0.95, seed=1, draws=500)
        assert found.value == 1.0
        assert found.low is not None
        assert found.high is not None
        return found.low, found.high

    assert ends(0.001) == (1.0, 1.0)
    assert ends(1.0)[0] < 0.5


def test_what_is_in_the_fit_and_what_is_left_out_by_name() -> None:
    doses = Doses(X | {"e": 0.4, "f": None, "g": 0.45, "h": 0.2}, {"e": ["clip_high"]}, DECLARED)
    more = {"e": RUNS["a"], "f": RUNS["a"], "g": Measured({0: 1.0, 1: 2.0, 2: 3.0}, diverged={3: 7})}
    rows = list(dose_response.rows_of(doses, "accuracy", RUNS | more, seed=0, draws=50))
    arms = {row["arm"]: row for row in rows if row["part"] == "arm"}
    assert {arm for arm, row in arms.items() if row["in_fit"]} == set(X)
    assert "h" not in arms  # not run
    assert (arms["e"]["besides"], arms["f"]["dose"]) == ("clip_high", None)
    fits = {row["quantity"]: row for row in rows if row["part"] == "fit"}
    assert fits.keys() == {"slope", "slope_over_arms", "spearman"}
    assert {(row["n_arms"], row["n_seeds"], row["left_out"]) for row in fits.values()} == {(4, 20, "g")}
    assert fits["slope"]["estimate"] == pytest.approx(fits["slope_over_arms"]["estimate"], abs=1e-9)
    two = Doses({"a": 0.25, "b": 0.3}, {}, DECLARED)
    assert [r for r in dose_response.rows_of(two, "accuracy", RUNS, 0, 50) if r["part"] == "fit"] == []


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a few arms: metrics, conventions and measures."""
    home = tmp_path_factory.mktemp("doses")
    rows: list[dict[str, Any]] = []
    for number, arm in enumerate(ARMS):
        for seed in range(SEEDS):
            folder = home / f"runs/tiny/{arm}/seed{seed}"
            about = {"model": "tiny", "arm": arm, "train_seed": seed, "settings": {"protocol": "p"}}
            groups = pa.table({dose.COUNTS: pa.array([COUNTS], pa.list_(pa.int64()))})
            write_table(groups, folder / "metrics.parquet", about)
            write_json({"arm": describe(get_arm(arm)), "train": {}}, folder / "conventions.json")
            run = {"model": "tiny", "arm": arm, "train_seed": seed}
            rows += [run | {"measure": name, "value": 0.1 * number + 0.01 * seed**2} for name in OUTCOMES]
    write_table(pa.Table.from_pylist(rows, MEASURES), home / "measures.parquet", {"data_hash": "x"})
    return home


def metrics(results: Path) -> list[Path]:
    return sorted(results.glob("runs/*/*/*/metrics.parquet"))


def conventions(results: Path) -> list[Path]:
    return sorted(results.glob("runs/*/*/seed0/conventions.json"))


def test_doses_after_the_fact_are_those_that_a_protocol_would_declare(results: Path) -> None:
    found = afterwards(metrics(results), conventions(results))["tiny"]
    expected = {arm: dose.dose_of(get_arm(arm), COUNTS) for arm in ARMS}
    assert found.arms == pytest.approx(expected)
    assert found.declared.startswith("exploratory")
    assert found.alone.keys() == {"grpo", "asymgrpo", "positive_only", "beta_pos_0p25"}


def test_declared_doses_are_taken_and_runs_that_do_not_state_the_protocol_are_named(tmp_path: Path) -> None:
    study = load_study([ROOT / "tests/workflow/mini.yaml"])
    groups = {"tiny": dose.Groups(np.arange(1.0, study.train.group_size + 2))}
    protocol = content.protocol(study, groups)
    path = tmp_path / "protocol.json"
    files.write(protocol, path)
    digest = sha256_file(path)
    found = declared(path, {("tiny", "grpo", 0): digest})["tiny"]
    assert (found.arms, found.declared) == (protocol["dose"]["models"]["tiny"]["arms"], DECLARED)
    assert declared(path, {("tiny", "grpo", 3): None})["tiny"].declared.endswith("without this protocol: grpo seed 3")
    files.write(content.protocol(study), tmp_path / "none.json")
    assert declared(tmp_path / "none.json", {}) == {}


def test_the_command_writes_the_table_and_its_figure(results: Path, tmp_path: Path) -> None:
    out, markdown = tmp_path / "dose_response.parquet", tmp_path / "dose_response.md"
    given = (results / "measures.parquet", metrics(results), 100, 1, out, markdown)
    dose_response.main(*given, None, conventions(results))
    rows = read_table(out).to_pylist()
    assert {row["measure"] for row in rows} == set(OUTCOMES)
    assert "| AsymGRPO | 0." in markdown.read_text()
    assert "(GRPO on random rewards) | –" in markdown.read_text()
    drawn = figure.draw(out)
    assert "over 4 arms (tiny)" in drawn.notes["finding"]
    assert "exploratory" in drawn.notes["caption"]
    lines = [axis.get_lines()[-1].get_ydata() for axis in drawn.figure.axes]
    assert all(len(line) == 50 and np.isfinite(line).all() for line in lines)
    with pytest.raises(DataError, match="no arm of these runs has a dose"):
        dose_response.main(*given, None, None)
