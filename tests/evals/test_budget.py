"""Score against tokens: what answers and training cost, comparisons at equal cost, and the figure of both."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.estimates.cells import GRADED
from evals.figures import budget_curves, drawn
from evals.io import DataError, write_json, write_table
from evals.tables import budget
from evals.tables.budget import ACCURACY, EQUAL, GAIN, MAJORITY, Trained, at_budget, spent, votes_needed
from evals.tables.options import SeedVarianceRule

LENGTHS = {"base": 10, "grpo": 20}
"""Tokens of every answer of an arm."""


def graded(arm: str, seed: int, extracted: list[str]) -> pa.Table:
    """The same answers to each problem, of which "7" is right."""
    run = {"model": "m", "arm": arm, "train_seed": seed, "step": 0 if arm == "base" else 4, "benchmark": "b"}
    rows = [
        run
        | {"problem_id": f"p{p}", "sample_id": i, "extracted": text, "verdict": "correct" if text == "7" else "wrong"}
        | {"correct": text == "7", "second_correct": text == "7", "n_tokens": LENGTHS[arm]}
        for p in range(4)
        for i, text in enumerate(extracted)
    ]
    return pa.Table.from_pylist(rows, GRADED)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("budget")
    write_table(graded("base", 0, ["7", "8", "9", "7"]), home / "graded/base.parquet", {})
    for seed in (0, 1):
        run = {"model": "m", "arm": "grpo", "train_seed": seed}
        write_table(graded("grpo", seed, ["7", "7", "7", "8"]), home / f"graded/grpo{seed}.parquet", run)
        write_json([run | {"selection": "last", "step": 4}], home / f"selection{seed}.json")
        lengths = pa.array([2.0 + seed] * 4)
        groups = pa.array([[0, 1, 0]] * 4, pa.list_(pa.int32()))
        metrics = pa.table({"step": [1, 2, 3, 4], "response_tokens_mean": lengths, "groups_by_correct": groups})
        write_table(metrics, home / f"metrics/{seed}.parquet", run)
        accuracy = [0.25, 0.75 + seed / 4]
        write_table(
            pa.table({"step": [2, 4], "set": ["validation"] * 2, "accuracy": accuracy}),
            home / f"eval/{seed}.parquet",
            run,
        )
    made(home, home / "budget.parquet")
    return home


def made(home: Path, out: Path, **other) -> None:
    files = {
        "graded": sorted(home.glob("graded/*.parquet")),
        "selection": sorted(home.glob("selection*.json")),
        "metrics": sorted(home.glob("metrics/*.parquet")),
        "evaluations": sorted(home.glob("eval/*.parquet")),
    }
    how = {"k": [1, 2, 4], "seed_variance": SeedVarianceRule.own, "draws": 200, "seed": 0}
    budget.main(**(files | how | other), out=out, markdown=out.with_suffix(".md"))


def test_votes_stand_beside_the_tokens_of_all_answers(home):
    rows = budget.read_budget(home / "budget.parquet").to_pylist()
    found = {(row["arm"], row["k"]): row for row in rows if row["metric"] == MAJORITY}
    assert {key: row["tokens"] for key, row in found.items()} == {
        (arm, k): k * length for arm, length in LENGTHS.items() for k in (1, 2, 4)
    }
    # two of four votes for 7, one for each other answer; without votes half of the answers are right
    assert {k: found["base", k]["estimate"] for k in (1, 2, 4)} == pytest.approx({1: 0.5, 2: 0.5, 4: 1.0})
    assert found["grpo", 1]["estimate"] == pytest.approx(0.75)
    assert "| 20.0 | 75.0" in (text := (home / "budget.md").read_text())
    assert "4 (40 tokens)" in text, "the base model reaches one answer of GRPO with four votes"


def test_votes_are_compared_at_equal_tokens(home):
    rows = budget.read_budget(home / "budget.parquet").to_pylist()
    gains = {row["k"]: (row["tokens"], row["estimate"]) for row in rows if row["metric"] == GAIN}
    # two votes of the base model pay for one answer of GRPO (3/4 right against 1/2), four for two (3/4 against 1), one for none
    assert gains == {2: (20, pytest.approx(0.25)), 4: (40, pytest.approx(-0.25))}


def test_training_is_compared_after_equal_tokens(home):
    rows = [row for row in budget.read_budget(home / "budget.parquet").to_pylist() if row["kind"] == "training"]
    at = {row["step"]: row for row in rows if row["metric"] == ACCURACY}
    assert [at[step]["tokens"] for step in (2, 4)] == [2 * 2 * 2.5, 4 * 2 * 2.5]
    assert at[4]["estimate"] == pytest.approx(0.875)
    (equal,) = (row for row in rows if row["metric"] == EQUAL)
    assert equal["tokens"] == 16, "what the run with shorter answers sampled"
    # the other run has 12 tokens at step 2 and 24 at step 4: a third of the way
    assert equal["estimate"] == pytest.approx((0.75 + 0.25 + 0.75 / 3) / 2)
    assert (equal["n_seeds"], equal["ci_low"] <= equal["estimate"] <= equal["ci_high"]) == (2, True)


def test_metrics_must_be_of_the_same_runs(home, tmp_path):
    with pytest.raises(DataError, match="the metrics of this run were not given"):
        made(home, tmp_path / "out.parquet", metrics=[home / "metrics/0.parquet"])


def test_the_tokens_that_a_run_counted_come_before_ours():
    groups = pa.array([[1, 0, 1], [0, 2, 0]])
    table = pa.table({"response_tokens_mean": [3.0, 5.0], "groups_by_correct": groups})
    assert spent(table).tolist() == [12, 32]
    assert spent(table.append_column("sampled_tokens_total", pa.array([20, 44]))).tolist() == [20, 44]


@given(
    st.lists(st.tuples(st.integers(1, 99), st.floats(0, 1)), max_size=6, unique_by=lambda point: point[0]),
    st.floats(0, 1),
)
def test_votes_needed_are_the_fewest_that_reach_it(curve, level):
    found = votes_needed(curve, level)
    enough = [k for k, score in curve if score >= level]
    assert found == (min(enough) if enough else None)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5), st.floats(0, 1))
def test_between_candidates_accuracy_is_on_a_line(accuracy, where):
    tokens = 10.0 * np.arange(1, len(accuracy) + 1)
    item = Trained(0, np.arange(len(accuracy)), tokens, np.array(accuracy), tokens[-1])
    assert [at_budget(item, each) for each in tokens] == accuracy
    between = at_budget(item, 10 + 10 * where)
    assert min(accuracy[:2]) - 1e-12 <= between <= max(accuracy[:2]) + 1e-12
    assert np.isnan(at_budget(item, 9.0)), "before the first candidate nothing is known"


def test_the_figure_has_tokens_on_its_axes(home, tmp_path):
    found = budget_curves.draw(home / "budget.parquet")
    shown = [axis for axis in found.figure.axes if axis.get_visible()]
    assert [axis.get_xlabel() for axis in shown] == [
        "tokens of all k answers to a problem",
        "tokens sampled in training (thousands)",
    ]
    points = {tuple(line.get_xdata()) for line in shown[0].get_lines()}
    assert {(10, 20, 40), (20, 40, 80)} <= points
    drawn.save("budget_curves", found, budget_curves, tmp_path / "figure")
    about = json.loads((tmp_path / "figure.json").read_text())
    assert "maj@4 of the base model 100.0" in about["finding"]
