"""Overlap counts of the paper's data, and the index against the definition."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from evals.tables.contamination import TrainingIndex, count_pairs, overlap, token_grams

DATA = Path(os.environ.get("ASYMGRPO_DATA", Path(__file__).parents[2] / "../shared/datasets"))
BENCHMARKS = {
    "math500": "math500",
    "aime24": "aime24",
    "aime25": "aime25",
    "amc23": "amc23",
    "olympiadbench": "olympiadbench",
    "minerva": "minerva_math",
    "gsm8k": "gsm8k_test",
    "hmmt_feb25": "hmmt_feb25",
    "aime26": "aime26",
    "brumo25": "brumo25",
    "cmimc25": "cmimc25",
}


def problems(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"problem_id": r["id"], "problem": r["problem"], "answer": r["answer"]} for r in rows]


def test_math_train_overlaps_as_documented() -> None:
    train = problems(pq.read_table(DATA / "math_train.parquet").to_pylist())
    benchmarks = {
        name: problems([json.loads(line) for line in (DATA / f"{file}.jsonl").read_text().splitlines()])
        for name, file in BENCHMARKS.items()
    }
    pairs = overlap(train, benchmarks, 0.6)
    counts = {row["benchmark"]: row for row in count_pairs(pairs, {n: len(b) for n, b in benchmarks.items()})}
    found = {name: tuple(row.values())[2:6] for name, row in counts.items()}
    assert found["math500"] == (0, 0, 2, 20)
    assert counts["math500"]["of these, same answer"] == 3
    assert found["olympiadbench"][:2] == (0, 1)
    for name in ("aime24", "aime25", "amc23", "hmmt_feb25", "aime26", "brumo25", "cmimc25", "minerva", "gsm8k"):
        assert found[name] == (0, 0, 0, 0)
    same = [row for row in pairs.to_pylist() if row["normalised"]]
    assert [(row["problem_id"], row["train_id"]) for row in same] == [("olympiadbench/2791", "math/train/04487")]


words = st.lists(st.sampled_from(["a", "b", "c", "1", "+"]), min_size=1, max_size=12).map(" ".join)


@given(st.lists(words, min_size=1, max_size=6), words)
def test_the_index_finds_the_nearest_by_definition(texts: list[str], text: str) -> None:
    train = [{"problem_id": str(i), "problem": t, "answer": ""} for i, t in enumerate(texts)]

    def jaccard(other: str) -> float:
        one, two = token_grams(text), token_grams(other)
        return len(one & two) / len(one | two) if one & two else 0.0

    found, exact, normalised, value = TrainingIndex(train).match(text)
    assert exact == (text in texts)
    assert normalised >= exact
    if normalised:
        assert train[found]["problem"].replace(" ", "") == text.replace(" ", "")
    else:
        assert value == max(map(jaccard, texts))
        assert found == -1 or jaccard(texts[found]) == value


def test_a_planted_copy_and_a_template_are_told_apart() -> None:
    train = [
        {"problem_id": "t0", "problem": "Find the sum of 3 and 4 and 5 and 6 and 7 and 8.", "answer": "33"},
        {"problem_id": "t1", "problem": "What is $x^{2}$ if $x = 3$?  [asy] draw(); [/asy]", "answer": "9"},
    ]
    bench = [
        {"problem_id": "b0", "problem": "Find the sum of 3 and 4 and 5 and 6 and 7 and 9.", "answer": "34"},
        {"problem_id": "b1", "problem": "What is $x^2$ if $x=3$?", "answer": "9"},
        {"problem_id": "b2", "problem": "Something else entirely, with no common words.", "answer": "1"},
    ]
    rows = {row["problem_id"]: row for row in overlap(train, {"bench": bench}, 0.6).to_pylist()}
    assert rows["b0"]["train_id"] == "t0"
    assert not rows["b0"]["normalised"]
    assert not rows["b0"]["same_answer"]
    assert rows["b1"]["normalised"]
    assert not rows["b1"]["exact"]
    assert "b2" not in rows
