"""Table 1 marks the benchmarks that are younger than the model, and nothing else changes."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asymgrpo.study.config import ConfigError
from asymgrpo.study.settings import plan_of
from evals.tables.score import SCHEMA as SCORES
from evals.tables.table1 import main, render_markdown, table_1
from tests.workflow.changes import by_command
from workflow import common
from workflow.checks import load

NUMBERS = {
    "metric": "avg_at_n",
    "estimate": 0.5,
    "ci_low": 0.4,
    "ci_high": 0.6,
    "n_problems": 3,
    "n_samples": 3,
    "n_seeds": 1,
}
SHARES = {"truncated_share": 0.0, "unparsed_share": 0.0, "grader_disagreement": 0.0, "selection": "last"}
BENCHMARKS = ("aime24", "aime26", "average", "brumo25")


def scores() -> pa.Table:
    rows = [
        NUMBERS | SHARES | {"model": model, "arm": arm, "benchmark": benchmark}
        for model in ("dated", "undated")
        for arm in ("base", "grpo")
        for benchmark in BENCHMARKS
    ]
    return pa.Table.from_pylist(rows, SCORES)


def heads(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| arm")]


def test_younger_columns_are_marked_for_the_model_that_has_a_cutoff():
    table = table_1(scores(), {})
    text = render_markdown(table, {"dated": "2025-04"})
    assert heads(text) == [
        "| arm | seeds | AIME24 | AIME26 † | BRUMO25 | average |",
        "| arm | seeds | AIME24 | AIME26 | BRUMO25 | average |",
    ]
    assert (
        text.count("† younger than the model: problems became public after 2025-04, the model's knowledge cut-off.")
        == 1
    )
    everything = render_markdown(table, {"dated": "2023-12"})
    assert heads(everything)[0] == "| arm | seeds | AIME24 † | AIME26 † | BRUMO25 † | average † |"


def test_without_a_mark_the_table_is_as_it_was():
    table = table_1(scores(), {})
    assert render_markdown(table, {"dated": "2026-06"}) == render_markdown(table, {}) == render_markdown(table)
    assert "†" not in render_markdown(table)


def test_the_numbers_do_not_depend_on_the_cutoff(tmp_path):
    pq.write_table(scores(), tmp_path / "scores.parquet")
    for name, cutoffs in (("without", "{}"), ("with", '{"dated": "2025-04"}')):
        main(tmp_path / "scores.parquet", tmp_path / f"{name}.parquet", tmp_path / f"{name}.md", cutoffs=cutoffs)
    assert (tmp_path / "without.parquet").read_bytes() == (tmp_path / "with.parquet").read_bytes()
    assert "AIME26 †" in (tmp_path / "with.md").read_text()


def test_the_cutoff_of_a_model_is_told_to_table_1_only():
    plain, dated = (
        load(by_command(*entries)) for entries in ([], ['models={"tiny": {"knowledge_cutoff": "2025-05"}}'])
    )
    assert plan_of(plain) == plan_of(dated)
    assert common.cutoffs_option(plain) == ""
    assert common.cutoffs_option(dated) == """--cutoffs '{"tiny":"2025-05"}'"""
    with pytest.raises(ConfigError, match=r"models\.tiny\.knowledge_cutoff = 'May 2025'"):
        load(by_command('models={"tiny": {"knowledge_cutoff": "May 2025"}}'))
