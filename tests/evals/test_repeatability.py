"""Repeated evaluations: nothing changes where nothing should, what was planted is found, and what is no repetition is refused."""

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.io import DataError, read_table, write_table
from evals.repeatability import __main__ as command
from evals.repeatability import table
from evals.repeatability.compare import compare
from evals.repeatability.table import footnote, repeatability_rows
from evals.report.sections import noise


def graded(right: list[bool], texts: list[str], seed: int = 0) -> pa.Table:
    """One answer to each problem, of two benchmarks in turn."""
    rows = [
        {
            **{
                "model": "m",
                "arm": "base",
                "train_seed": 0,
                "step": 0,
                "benchmark": f"b{i % 2}",
                "problem_id": f"p{i}",
            },
            **{"sample_id": 0, "sample_seed": seed + i, "response": text, "correct": correct},
        }
        for i, (correct, text) in enumerate(zip(right, texts, strict=True))
    ]
    return pa.Table.from_pylist(rows)


FIRST = graded([True, False, True, False], ["a", "b", "c", "d"])


def test_equal_files_do_not_differ_in_any_order():
    for row in compare(FIRST, FIRST.take([3, 1, 0, 2])):
        assert (row["changed_texts"], row["changed_share"], row["gained"], row["lost"], row["difference"]) == (
            0,
            0,
            0,
            0,
            0,
        )


def test_a_planted_flip_is_found_where_it_is():
    rows = {row["benchmark"]: row for row in compare(FIRST, graded([True, True, True, False], ["a", "B", "c", "d"]))}
    assert rows.keys() == {"b0", "b1", "all"}
    assert (rows["b0"]["changed_texts"], rows["b0"]["gained"], rows["b0"]["lost"]) == (0, 0, 0)
    assert (rows["b1"]["changed_share"], rows["b1"]["gained"], rows["b1"]["difference"]) == (0.5, 1, 0.5)
    assert (rows["all"]["flip_share"], rows["all"]["first_score"], rows["all"]["second_score"]) == (0.25, 0.5, 0.75)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_difference_is_what_was_gained_less_what_was_lost(pairs):
    texts = ["x"] * len(pairs)
    rows = compare(graded([one for one, _ in pairs], texts), graded([other for _, other in pairs], texts))
    swapped = compare(graded([other for _, other in pairs], texts), graded([one for one, _ in pairs], texts))
    for row, back in zip(rows, swapped, strict=True):
        assert row["difference"] == pytest.approx(row["second_score"] - row["first_score"])
        assert (row["gained"], row["lost"], row["flip_share"]) == (back["lost"], back["gained"], back["flip_share"])
    assert rows[-1]["n_samples"] == len(pairs)


def test_samples_that_were_not_graded_or_have_no_texts_say_so():
    (*_, row) = compare(FIRST.drop_columns(["correct"]), FIRST.drop_columns(["correct"]))
    assert (row["changed_share"], row.get("difference")) == (0.0, None)
    bare = FIRST.set_column(7 + 1, "response", pa.array(["a", None, None, None]))
    (*_, row) = compare(FIRST, bare)
    assert (row["n_texts"], row["changed_share"]) == (1, 0.0)
    assert compare(FIRST, FIRST.drop_columns(["response"]))[-1]["changed_share"] is None


def test_what_is_no_repetition_is_refused():
    with pytest.raises(DataError, match="other random numbers"):
        compare(FIRST, graded([True] * 4, ["a"] * 4, seed=9))
    with pytest.raises(DataError, match=r"hold other samples .for one, .*problem_id p3"):
        compare(FIRST, FIRST.slice(0, 3))
    with pytest.raises(DataError, match="no sampled or graded table"):
        compare(FIRST, FIRST.drop_columns(["sample_id"]))


def test_the_command_compares_two_files(tmp_path, capsys):
    second = graded([True, True, True, False], ["a", "B", "c", "d"])
    paths = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for path, one in zip(paths, (FIRST, second), strict=True):
        write_table(one, path, {})
    command.main(*paths, out=tmp_path / "found.parquet")
    assert read_table(tmp_path / "found.parquet").to_pylist()[-1]["gained"] == 1
    assert "| second file | all | 4 | 25.0 % | 1 | 0 | 75.0 | +25.0 |" in capsys.readouterr().out


def stored(variants: dict[str, pa.Table], path: Path) -> Path:
    parts = []
    for name, one in variants.items():
        for column, value in (("variant", name), ("engine", "torch"), ("batch", 4)):
            one = one.append_column(column, pa.array([value] * one.num_rows))
        parts.append(one)
    write_table(pa.concat_tables(parts), path, {})
    return path


def test_variants_are_compared_with_the_first(tmp_path):
    flipped = graded([True, True, True, False], ["a", "B", "c", "d"])
    path = stored({"first": FIRST, "again": FIRST, "batch 2": flipped}, tmp_path / "m.parquet")
    table.main([path], tmp_path / "out.parquet", tmp_path / "out.md")
    rows = table.read_repeatability(tmp_path / "out.parquet").to_pylist()
    overall = {row["variant"]: row["difference"] for row in rows if row["benchmark"] == "all"}
    assert overall == {"again": 0.0, "batch 2": 0.25}
    assert "again: 0.0 % of the texts changed, 0 of 4 verdicts, no score; batch 2: 25.0 %" in footnote(rows)
    results = SimpleNamespace(table={"repeatability": read_table(tmp_path / "out.parquet")}.get)
    assert noise(results, "m") == footnote(rows), "below Table 1 of the report"
    assert noise(SimpleNamespace(table={}.get), "m") == ""
    with pytest.raises(DataError, match="no evaluation named 'first'"):
        list(repeatability_rows(read_table(path).filter(pa.array([False] * 4 + [True] * 8))))
