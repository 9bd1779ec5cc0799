"""A trace finds its way from a number to the run behind it, and names the file that does not fit."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals.artifacts.bundle_files import open_bundle
from evals.artifacts.trace import trace
from evals.io import DataError, read_metadata, read_table, write_table

pytestmark = pytest.mark.slow

RUN = "runs/tiny/grpo/seed0"
WANTED = {"arm": "grpo", "benchmark": "chain4", "metric": "pass_at_k", "k": 2, "selection": "validation", "model": None}


@pytest.mark.parametrize("changes", [{}, {"arm": "base"}, {"benchmark": "average", "metric": "avg_at_n", "k": None}])
def test_a_true_number_is_traced_to_its_commit(results, changes):
    found = trace(results, results / "table1.parquet", WANTED | changes)
    assert found.faults == []
    assert found.checks > 10
    text = "\n".join([*found.lines, found.summary()])
    base = changes.get("arm") == "base"
    for words in (
        "graded/tiny/",
        "samples/tiny/",
        "weights ",
        "data/chain4.parquet",
        "computed again",
        "made at commit",
    ):
        assert words in text
    assert base or "run " in text


def test_an_unclear_or_unknown_number_is_asked_back(results):
    with pytest.raises(DataError, match="say which with --selection"):
        trace(results, results / "table1.parquet", WANTED | {"selection": None})
    with pytest.raises(DataError, match=r"no row with arm grpoo.*grpo"):
        trace(results, results / "table1.parquet", WANTED | {"arm": "grpoo"})


def rewrite(path: Path, column: str, change) -> None:
    """Change a column of a Parquet file and leave what it states of itself."""
    table = read_table(path)
    values = change(table[column].to_pylist())
    place = table.column_names.index(column)
    write_table(
        table.set_column(place, column, pa.array(values, table.schema.field(column).type)), path, read_metadata(path)
    )


def edit_json(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def candidates(folder: Path) -> list[Path]:
    return sorted((folder / RUN / "candidates").rglob("*.safetensors"))


def another_step(folder: Path) -> None:
    """Make the evaluations prefer a step that was not selected."""
    path = folder / RUN / "eval.parquet"
    rows = json.loads((folder / RUN / "selection.json").read_text())
    (chosen,) = (row["step"] for row in rows if row["selection"] == WANTED["selection"])
    steps = read_table(path)["step"].to_pylist()
    assert set(steps) > {chosen}
    rewrite(path, "accuracy", lambda values: [float(step != chosen) for step in steps])


TAMPERED = {
    "the table's number": (
        lambda f: rewrite(f / "table1.parquet", "estimate", lambda v: [x + 0.01 for x in v]),
        "table1.parquet",
    ),
    "a score": (lambda f: rewrite(f / "scores.parquet", "estimate", lambda v: [x + 0.01 for x in v]), "scores.parquet"),
    "a verdict": (
        lambda f: rewrite(f / "graded/tiny/grpo/seed0.parquet", "correct", lambda v: [not x for x in v]),
        "graded/tiny/grpo/seed0.parquet",
    ),
    "a response": (
        lambda f: rewrite(f / "samples/tiny/grpo/seed0/chain4.parquet", "response", lambda v: ["", *v[1:]]),
        "samples/tiny/grpo/seed0/chain4.parquet",
    ),
    "the weights": (lambda f: [flip(path) for path in candidates(f)], f"{RUN}/candidates"),
    "the base model": (lambda f: flip(f / "models/tiny/base/model.safetensors"), "models/tiny/base"),
    "the evaluations": (another_step, f"{RUN}/eval.parquet"),
    "the run": (
        lambda f: edit_json(f / RUN / "done.json", lambda v: v["train"].update(learning_rate=1.0)),
        f"{RUN}/done.json",
    ),
    "the problems": (
        lambda f: rewrite(f / "data/chain4.parquet", "answer", lambda v: ["0", *v[1:]]),
        "data/chain4.parquet",
    ),
    "the training data": (lambda f: rewrite(f / "data/train.parquet", "answer", lambda v: ["0", *v[1:]]), "data"),
    "the configuration": (
        lambda f: edit_json(f / "config/study.json", lambda v: v["config"]["train"].update(temperature=0.5)),
        "config/study.json",
    ),
    "lost samples": (
        lambda f: (f / "samples/tiny/grpo/seed0/chain4.parquet").unlink(),
        "samples/tiny/grpo/seed0/chain4.parquet",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_named(results, tmp_path, what):
    folder = tmp_path / "results"
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("logs", "figures", "benchmarks"))
    tamper, name = TAMPERED[what]
    tamper(folder)
    found = trace(folder, folder / "table1.parquet", WANTED)
    assert any(fault.startswith(str(folder / name)) for fault in found.faults), found.summary()


def test_a_bundle_is_traced_as_far_as_it_goes(results, bundle, rebuilt, tmp_path):
    whole = trace(results, results / "table1.parquet", WANTED)
    again = trace(rebuilt, rebuilt / "table1.parquet", WANTED)
    open_bundle(bundle).unpack(tmp_path / "unpacked")
    alone = trace(tmp_path / "unpacked", None, WANTED)
    assert whole.faults == again.faults == alone.faults == []
    assert whole.lines[0] == again.lines[0]
    assert whole.lines[0].split(" [")[0] == alone.lines[0]
    assert any("not in a bundle" in line for line in again.lines)
    table = pq.read_table(rebuilt / "graded/tiny/grpo/seed0.parquet")
    assert "logprob_sum" not in table.column_names
    rewrite(
        tmp_path / "unpacked/graded/tiny/grpo/seed0.parquet", "correct", lambda values: [not value for value in values]
    )
    spoilt = trace(tmp_path / "unpacked", None, WANTED)
    assert any("graded/tiny/grpo/seed0.parquet" in fault for fault in spoilt.faults)
