"""Options and tables that cannot be right: a sentence that names the file and what to do, and nothing is written."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evals.artifacts.trace
import evals.claims.decided
import evals.grade
import evals.tables.compare
import evals.tables.contamination
import evals.tables.controls
import evals.tables.run_scores
import evals.tables.score
import evals.tables.table1
from evals.artifacts.trace import trace
from evals.checkpoints import SCHEMA as SAMPLES
from evals.estimates.cells import check_ks, count_cells, read_graded
from evals.estimates.selection import read_selection
from evals.io import DataError, read_metadata, read_table, read_tables, write_json, write_table
from evals.tables.options import SeedVarianceRule

OWN = SeedVarianceRule.own


def rows(arm: str, problems=range(3), n=2, benchmark="b1", seed=0) -> list[dict]:
    keys = [(p, s) for p in problems for s in range(n)]
    return [
        {
            "model": "m",
            "arm": arm,
            "train_seed": seed,
            "step": 0 if arm == "base" else 5,
            "benchmark": benchmark,
            "problem_id": f"p{p}",
            "sample_id": s,
            "sample_seed": s,
            "response": "\\boxed{1}",
            "finish_reason": "stop",
            "n_tokens": 3,
            "logprob_sum": -1.0,
            "answer": "1",
            "extracted": "1",
            "verdict": "correct",
            "correct": (p + s) % 2 == 0,
            "second_correct": True,
        }
        for p, s in keys
    ]


GRADED_SCHEMA = pa.schema(
    [
        *SAMPLES,
        *((name, pa.string()) for name in ("answer", "extracted", "verdict")),
        *((name, pa.bool_()) for name in ("correct", "second_correct")),
    ]
)


def graded(path: Path, found: list[dict], drop: tuple[str, ...] = ()) -> Path:
    write_table(pa.Table.from_pylist(found, GRADED_SCHEMA).drop_columns(list(drop)), path, {})
    return path


def selection(path: Path, *arms: str) -> Path:
    write_json([{"model": "m", "arm": a, "train_seed": 0, "selection": "last", "step": 5} for a in arms], path)
    return path


@pytest.fixture
def study(tmp_path):
    """Graded files of three arms with one seed, and a bundle's way to them."""
    files = [
        graded(tmp_path / f"graded/m/{a}/seed0.parquet", rows(a) + rows(a, benchmark="b2")) for a in ("base", "grpo")
    ]
    chosen = selection(tmp_path / "runs/m/grpo/seed0/selection.json", "grpo")
    config = {"study": {"models": ["m"]}, "evaluation": {"selection": ["last"]}}
    write_json({"config": config, "config_sha256": "0"}, tmp_path / "config/study.json")
    return tmp_path, files, chosen


def scored(study, **changes):
    folder, files, chosen = study
    options = {"graded": files, "selection": [chosen], "k": [1, 2], "seed_variance": OWN, "draws": 50, "seed": 0}
    evals.tables.score.main(**options | {"out": folder / "scores.parquet"} | changes)
    return folder / "scores.parquet"


# --- k -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ks", "words"),
    [([0], "--k 0: k counts samples"), ([1, -3], "--k -3: k counts"), ([2, 1, 2], "--k 2 stands twice")],
)
def test_a_k_that_means_nothing_is_refused_by_every_tool(study, tmp_path, ks, words):
    folder, files, chosen = study
    out, common = folder / "o.parquet", {"draws": 10, "seed": 0}
    calls = [
        lambda: scored(study, k=ks, out=out),
        lambda: evals.tables.run_scores.main(graded=files, selection=[chosen], k=ks, out=out),
        lambda: evals.tables.compare.main(
            None, **common, seed_variance=OWN, graded=files, selection=[chosen], k=ks, out=out
        ),
        lambda: evals.tables.controls.main(graded=files, k=ks, out=out, **common),
    ]
    for call in calls:
        with pytest.raises(DataError, match=words):
            call()
    with pytest.raises(DataError, match=words.replace("--k", "--maj-k")):
        scored(study, maj_k=ks, out=out)
    assert not out.exists()


def test_a_k_beyond_all_samples_is_refused_by_every_tool(study):
    folder, files, chosen = study
    out = folder / "o.parquet"
    with pytest.raises(DataError, match=r"k = 3: no benchmark has that many samples per problem \(largest n = 2\)"):
        scored(study, k=[1, 3], out=out)
    with pytest.raises(DataError, match="k = 3: no benchmark"):
        evals.tables.run_scores.main(graded=files, selection=[chosen], k=[3], out=out)
    with pytest.raises(DataError, match="k = 3: no benchmark"):
        evals.tables.compare.main(
            None, draws=9, seed=0, seed_variance=OWN, graded=files, selection=[chosen], k=[3], out=out
        )
    check_ks([1, 2, 64])


# --- graded tables and selections -----------------------------------------------------------------------------------------


def test_arms_with_other_problems_than_each_other_are_refused(study):
    folder, files, _chosen = study
    graded(files[1], rows("grpo", range(1, 4)) + rows("grpo", benchmark="b2"))
    with pytest.raises(
        DataError, match=r"base and grpo on b1 \(m\) have other problems \(for one, p0\); sample the missing"
    ):
        scored(study)
    assert not (folder / "scores.parquet").exists()


def nulls(column):
    return [row | ({column: None} if row["sample_id"] else {}) for row in rows("grpo")]


@pytest.mark.parametrize(
    ("found", "drop", "words"),
    [
        ([], (), "no rows in it; rerun the step"),
        (rows("grpo"), ("verdict", "correct"), r"column\(s\) correct, verdict missing"),
        (nulls("correct"), (), "row 2: correct is null"),
        (nulls("problem_id"), (), "row 2: problem_id is null"),
        (nulls("train_seed"), (), "row 2: train_seed is null"),
    ],
)
def test_a_graded_table_that_cannot_be_one_is_named(tmp_path, found, drop, words):
    path = graded(tmp_path / "g.parquet", found, drop)
    with pytest.raises(DataError, match=rf"^{path}.*{words}"):
        read_graded([graded(tmp_path / "whole.parquet", rows("base")), path])


def test_columns_of_another_kind_are_named(tmp_path):
    path = graded(tmp_path / "g.parquet", rows("grpo"))
    table = read_table(path)
    write_table(table.set_column(table.column_names.index("correct"), "correct", pa.array(["yes"] * 6)), path, {})
    with pytest.raises(DataError, match=rf"{path}: column correct holds string, not bool"):
        read_graded([path])
    with pytest.raises(DataError, match="not tables of one kind"):
        read_tables([graded(tmp_path / "h.parquet", rows("base")), path])


def test_wider_columns_are_the_same_kind(tmp_path):
    path = graded(tmp_path / "g.parquet", rows("grpo"))
    wide = pa.schema([pa.field(f.name, pa.int64() if f.type == pa.int32() else f.type) for f in GRADED_SCHEMA])
    expected = count_cells(read_graded([path]), votes=False)
    write_table(read_table(path).cast(wide), path, {})
    found = count_cells(read_graded([path]), votes=False)
    assert {key: item.c.tolist() for key, item in found.items()} == {
        key: item.c.tolist() for key, item in expected.items()
    }


@pytest.mark.parametrize("content", [{}, [], 5, None, ["last"], [[1]]])
def test_a_selection_that_is_none_is_named(tmp_path, content):
    write_json(content, tmp_path / "s.json")
    with pytest.raises(DataError, match=rf"{tmp_path / 's.json'}: not a list of selected checkpoints; write it with"):
        read_selection([tmp_path / "s.json"])


def test_a_selected_step_that_is_no_number_is_named(tmp_path):
    row = {"model": "m", "arm": "grpo", "train_seed": 0, "selection": "last", "step": "5"}
    write_json([row], tmp_path / "s.json")
    with pytest.raises(DataError, match="entry 1: step is '5'"):
        read_selection([tmp_path / "s.json"])
    with pytest.raises(DataError, match="no selection of checkpoints was given"):
        read_selection([])


# --- samples and problems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("response", None, "row 2: response is null"),
        ("finish_reason", None, "row 2: finish_reason is null"),
        ("finish_reason", "eos", "finish_reason 'eos' is neither stop nor length"),
        ("sample_seed", None, "row 2: sample_seed is null"),
    ],
)
def test_samples_that_cannot_be_graded_are_named(tmp_path, column, value, words):
    path, problems = tmp_path / "s.parquet", tmp_path / "p.parquet"
    found = [row | ({column: value} if row["sample_id"] else {}) for row in rows("grpo")]
    write_table(pa.Table.from_pylist(found, SAMPLES), path, {})
    answers = [{"problem_id": f"p{i}", "answer": "1"} for i in range(3)]
    write_table(pa.Table.from_pylist(answers), problems, {})
    with pytest.raises(DataError, match=rf"^{path}.*{words}"):
        evals.grade.main(samples=[path], problems=[problems], out=tmp_path / "g.parquet")
    assert not (tmp_path / "g.parquet").exists()


def test_empty_samples_and_samples_given_twice_are_refused(tmp_path):
    path = tmp_path / "s.parquet"
    write_table(pa.Table.from_pylist([], SAMPLES), path, {})
    with pytest.raises(DataError, match="no rows in it"):
        evals.grade.main(samples=[path], problems=[], out=tmp_path / "g.parquet")
    write_table(pa.Table.from_pylist(rows("grpo"), SAMPLES), path, {})
    with pytest.raises(DataError, match="the same sample twice"):
        evals.grade.main(samples=[path, path], problems=[], out=tmp_path / "g.parquet")


def test_problems_without_answers_are_refused_when_overlap_is_looked_for(tmp_path):
    path = tmp_path / "p.parquet"
    write_table(pa.Table.from_pylist([{"problem_id": "p", "problem": "x", "answer": None}] * 1), path, {})
    with pytest.raises(DataError, match=r"row 1 \(p\): answer is None"):
        evals.tables.contamination.main(train=path, benchmarks=[path], out=tmp_path / "o.parquet")


def test_scores_that_are_none_are_named(study, tmp_path):
    whole = scored(study)
    empty, other = tmp_path / "empty.parquet", tmp_path / "other.parquet"
    write_table(read_table(whole).slice(0, 0), empty, {})
    write_table(read_table(whole).drop_columns(["estimate"]), other, {})
    for path, words in ((empty, "no rows in it"), (other, r"column\(s\) estimate missing")):
        with pytest.raises(DataError, match=rf"^{path}: {words}"):
            evals.tables.table1.main(scores=path, out=tmp_path / "t.parquet", markdown=tmp_path / "t.md")


def test_an_unknown_checkpoint_rule_is_answered_with_the_known_ones(study, tmp_path):
    _folder, files, chosen = study
    evals.tables.run_scores.main(graded=files, selection=[chosen], k=[1], out=tmp_path / "r.parquet")
    outs = {
        "measures": tmp_path / "m.parquet",
        "out": tmp_path / "c.parquet",
        "sensitivity": tmp_path / "s.parquet",
        "markdown": tmp_path / "c.md",
    }
    with pytest.raises(DataError, match="no selection 'best'; choose from last"):
        evals.claims.decided.main(runs=tmp_path / "r.parquet", metrics=[], selection="best", **outs)
    with pytest.raises(DataError, match=r"no arm 'drgrpo' in it; choose --against from base, grpo"):
        evals.tables.compare.main(
            None, draws=9, seed=0, seed_variance=OWN, graded=files, selection=[chosen], against="drgrpo"
        )


def test_damaged_metadata_are_named(tmp_path):
    path = tmp_path / "x.parquet"
    for content in (b"{", b"[]", b"\xff"):
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({b"asymgrpo": content}), path)
        with pytest.raises(DataError, match=rf"{path}: its metadata are damaged; delete it"):
            read_metadata(path)


# --- trace ----------------------------------------------------------------------------------------------------------------

WANTED = {"arm": "grpo", "benchmark": "b1", "metric": "pass_at_k", "k": 2, "selection": None, "model": None}
UNKNOWN = [
    ({"arm": "grpoo"}, "no row with arm grpoo; --arm can be base, grpo"),
    ({"benchmark": "b3"}, "no row with benchmark b3; --benchmark can be average, b1, b2"),
    ({"metric": "best"}, "no row with metric best; --metric can be avg_at_n,.*pass_at_k"),
    ({"selection": "best"}, "no row with selection best; --selection can be last"),
    ({"model": "mm"}, "no row with model mm; --model can be m"),
]


@pytest.mark.parametrize(
    ("changes", "words"),
    [*UNKNOWN, ({"k": 3}, "no row with k 3; --k can be 1, 2"), ({"k": 0}, "no row with k 0; --k can be 1, 2")],
)
def test_trace_answers_an_unknown_word_with_the_known_ones(study, changes, words):
    folder, table = study[0], study[0] / "table1.parquet"
    evals.tables.table1.main(scores=scored(study), out=table, markdown=folder / "table1.md")
    with pytest.raises(DataError, match=rf"^{table}: {words}"):
        trace(folder, table, WANTED | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *UNKNOWN,
        ({"k": 0}, "--k 0: k counts samples"),
        ({"k": None}, "pass_at_k needs --k"),
        ({"k": 3}, "2 samples per problem cannot serve --k 3; give at most 2"),
        ({"k": 3, "metric": "maj_at_k"}, "2 samples per problem cannot serve --k 3"),
        ({"arm": "base", "selection": "best"}, "no row with selection best; --selection can be last"),
    ],
)
def test_trace_without_a_table_does_so_too(study, changes, words):
    with pytest.raises(DataError, match=words):
        trace(study[0], None, WANTED | changes)


def test_trace_names_a_table_that_is_none(study):
    path = study[0] / "table1.parquet"
    write_table(pa.table({"arm": ["grpo"]}), path, {})
    with pytest.raises(DataError, match=rf"{path}: column\(s\) benchmark, metric, k, .* missing"):
        trace(study[0], path, WANTED)


def test_trace_of_a_page_says_that_it_traces_tables(tmp_path):
    words = {"arm": "grpo", "benchmark": "b1", "metric": "avg_at_n"}
    (tmp_path / "claims.md").write_text("# Claims\n")
    with pytest.raises(
        DataError, match=r"claims\.md: no Parquet table and no bundle; a number is traced from table1\.parquet"
    ):
        evals.artifacts.trace.main(str(tmp_path / "claims.md"), **words)
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"cut\.zip: not a whole zip file"):
        evals.artifacts.trace.main(str(tmp_path / "cut.zip"), **words)


def test_a_full_disk_is_a_sentence_and_no_half_of_a_file(tmp_path):
    evaluations = {"step": [1], "set": ["validation"], "accuracy": [0.5]}
    write_table(pa.table(evaluations), tmp_path / "eval.parquet", {})
    options = {"evaluations": tmp_path / "eval.parquet", "rule": "last", "model": "m", "arm": "grpo", "train-seed": 0}
    command = [sys.executable, "-m", "evals.select", *(f"--{k}={v}" for k, v in options.items())]
    command.append(f"--out={tmp_path / 'out' / 'selection.json'}")
    limited = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing was written: ")
    assert "make room on that disk" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []
