"""What became of samples: five shares that sum to 1, wrong answers told from missing ones, differences from the base model."""

from pathlib import Path

import pyarrow as pa
import pytest

from evals.estimates.cells import GRADED
from evals.io import read_table, write_json, write_table
from evals.tables import answers
from evals.tables.answers import OF, WRONG
from evals.tables.options import SeedVarianceRule

BECAME = {
    ("base", 0): ["correct", "unparsed", "truncated", "timeout"],
    ("grpo", 0): ["correct", "wrong", "wrong", "wrong"],
    ("grpo", 1): ["correct", "correct", "wrong", "unparsed"],
}
"""(arm, seed) -> verdicts of the samples of each problem."""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("answers")
    for (arm, seed), verdicts in BECAME.items():
        run = {"model": "m", "arm": arm, "train_seed": seed, "step": 0 if arm == "base" else 5}
        rows = [
            run
            | {"benchmark": name, "problem_id": f"{name}/{p}", "sample_id": i, "verdict": verdict, "extracted": "1"}
            | {"correct": verdict == "correct", "second_correct": verdict == "correct", "n_tokens": 3}
            for name in ("b1", "b2")
            for p in range(5)
            for i, verdict in enumerate(verdicts)
        ]
        write_table(pa.Table.from_pylist(rows, GRADED), home / f"{arm}{seed}.parquet", run)
        if arm != "base":
            write_json([run | {"selection": "last"}], home / f"{arm}{seed}.json")
    how = {"seed_variance": SeedVarianceRule.own, "draws": 200, "seed": 0}
    files = {"graded": sorted(home.glob("*.parquet")), "selection": sorted(home.glob("*.json"))}
    answers.main(**files, **how, out=home / "answers.parquet", markdown=home / "answers.md")
    return home


def test_shares_are_those_of_the_verdicts_and_sum_to_one(home):
    rows = answers.read_answers(home / "answers.parquet").to_pylist()
    found = {(row["arm"], row["benchmark"], row["metric"]): row for row in rows}
    assert len(found) == len(rows) == 2 * 3 * len(OF)
    for arm in ("base", "grpo"):
        given = [verdict for (name, _), some in BECAME.items() if name == arm for verdict in some]
        for benchmark in ("b1", "b2", "average"):
            mine = {name: found[arm, benchmark, name] for name in OF}
            assert {name: row["estimate"] for name, row in mine.items()} == pytest.approx(
                {name: given.count(name) / len(given) for name in OF}
            )
            assert all(row["ci_low"] <= row["estimate"] <= row["ci_high"] for row in mine.values())


def test_a_wrong_answer_in_place_of_none_is_a_difference_from_the_base_model(home):
    rows = read_table(home / "answers.parquet").to_pylist()
    mine = {row["arm"]: row for row in rows if (row["benchmark"], row["metric"]) == ("average", WRONG)}
    assert (mine["base"]["estimate"], mine["base"]["difference"]) == (0.0, None)
    assert mine["grpo"]["difference"] == pytest.approx(0.5)
    assert "| GRPO | 37.5" in (home / "answers.md").read_text()
