"""Counts, contents and cleaning of every benchmark, and what a missing or altered file is answered with."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

import asymgrpo.tasks.benchmarks
from asymgrpo.errors import InputError
from asymgrpo.files import METADATA_KEY
from asymgrpo.tasks import cleaning, families, prepare, sources, spec, table
from asymgrpo.tasks import lock as locks
from asymgrpo.tasks.spec import DataError, dataset_spec

ROWS = {
    "math_train": 7500,
    "math500": 500,
    "aime24": 30,
    "aime25": 30,
    "amc23": 40,
    "olympiadbench": 675,
    "minerva": 272,
    "gsm8k": 1319,
    "hmmt_feb25": 30,
    "aime26": 30,
    "brumo25": 30,
    "cmimc25": 40,
}


@pytest.mark.parametrize("name", ROWS)
def test_content_is_that_of_the_lock(name, data_dir, lock):
    loaded = sources.load_dataset_rows(name, "directory", data_dir, lock)
    entry = locks.read_lock(lock).datasets[name]
    assert len(loaded.rows) == entry.rows == ROWS[name]
    assert table.content_sha256(loaded.rows) == entry.content_sha256
    assert len({row["problem_id"] for row in loaded.rows}) == ROWS[name]
    assert all(row["problem"] and row["answer"] for row in loaded.rows)


def test_every_set_is_locked_and_nothing_else(lock):
    assert set(locks.read_lock(lock).datasets) == set(spec.known_names())


def raw_rows(data_dir: Path, name: str) -> list[dict]:
    return [record.fields for record in sources.read_directory(spec.dataset_spec(name), data_dir)]


@pytest.mark.parametrize(
    ("name", "field"), [("aime24", "answer"), ("aime25", "answer"), ("gsm8k", "answer"), ("minerva", "answer_norm")]
)
def test_rules_alone_reproduce_the_normalised_reference_answers(name, field, data_dir, lock):
    """The files carry reference answers cleaned by hand; our rules start from the raw ones and must arrive at the same."""
    ours = [row["answer"] for row in sources.load_dataset_rows(name, "directory", data_dir, lock).rows]
    assert ours == [str(row[field]) for row in raw_rows(data_dir, name)]


def test_math_reference_answers_are_last_boxes_but_for_the_listed_patches(data_dir, lock):
    loaded = sources.load_dataset_rows("math_train", "directory", data_dir, lock)
    raw = raw_rows(data_dir, "math_train")
    changed = {
        row["problem_id"]
        for row, before in zip(loaded.rows, raw, strict=True)
        if row["answer"] != before["answer"].strip()
    }
    listed = {patch["id"] for patch in yaml.safe_load(cleaning.PATCHES.read_text())["math_train"]}
    assert changed == listed == {patch["problem_id"] for patch in loaded.patched}
    reference_answers = {row["problem_id"]: row["answer"] for row in loaded.rows}
    assert reference_answers["math/train/05341"] == reference_answers["math/train/05343"] == "0"


def test_relay_problems_are_flagged(data_dir, lock):
    rows = sources.load_dataset_rows("olympiadbench", "directory", data_dir, lock).rows
    flagged = {row["problem_id"] for row in rows if row["level"] == sources.RELAY_LEVEL}
    listed = {row["id"] for row in raw_rows(data_dir, "olympiadbench") if row["relay_TNYWR"]}
    assert listed - flagged == {"olympiadbench/2608"}, "the pentagon T N Y W R"
    assert flagged < listed
    assert len(flagged) == 15


def test_a_patch_leaves_a_corrected_reference_answer_alone():
    problem, patch = "a problem", {"was": "", "answer": "0", "why": "empty"}
    key = cleaning.text_key(problem)
    cleaning.patches.cache_clear()
    known = cleaning.patches("math_train")
    known[key] = patch
    try:
        assert cleaning.clean_answer("math_train", ["strip"], problem, "") == ("0", "empty")
        assert cleaning.clean_answer("math_train", ["strip"], problem, "1") == ("1", None)
    finally:
        cleaning.patches.cache_clear()


@pytest.fixture
def copies(tmp_path, data_dir):
    for name in ("aime24.jsonl", "aime25.jsonl"):
        shutil.copy(data_dir / name, tmp_path / name)
        (tmp_path / name).chmod(0o644)
    return tmp_path


@pytest.mark.parametrize("kind", ["gold", "problem", "dropped", "garbage", "missing"])
def test_altered_file_is_refused(kind, copies, lock):
    path = copies / "aime24.jsonl"
    lines = path.read_text().splitlines()
    first = json.loads(lines[0])
    if kind == "gold":
        lines[0] = json.dumps(first | {"answer": "205", "answer_raw": "205"})
    elif kind == "problem":
        lines[0] = json.dumps(first | {"problem": first["problem"].replace("Aya", "Ayah", 1)})
    elif kind == "dropped":
        lines.pop()
    elif kind == "garbage":
        lines[0] = lines[0][:50]
    path.write_text("\n".join(lines))
    if kind == "missing":
        path.unlink()
    with pytest.raises(DataError, match=r"aime24.*(fetch|put)"):
        sources.load_dataset_rows("aime24", "directory", copies, lock)


def test_order_spacing_and_padding_do_not_matter(copies, lock):
    path = copies / "aime24.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()][::-1]
    for record in records:
        record["problem"] = " " + record["problem"].replace(" ", "  ")
        record["answer_raw"] = record["answer_raw"].zfill(3)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert len(sources.load_dataset_rows("aime24", "directory", copies, lock).rows) == 30


def test_first_revision_is_written_and_never_replaced(tmp_path, lock):
    copy = tmp_path / "lock.yaml"
    shutil.copy(lock, copy)
    before = locks.read_lock(copy)
    for name in ("aime24", "Qwen/Qwen3-4B", "some/other-model"):
        locks.write_revision(copy, name, "a" * 40)
        locks.write_revision(copy, name, "b" * 40)
    after = locks.read_lock(copy)
    assert after.datasets["aime24"] == before.datasets["aime24"].model_copy(update={"revision": "a" * 40})
    assert after.models["Qwen/Qwen3-4B"] == after.models["some/other-model"] == "a" * 40
    assert {k: v for k, v in after.datasets.items() if k != "aime24"} == {
        k: v for k, v in before.datasets.items() if k != "aime24"
    }


def test_the_first_fetch_of_a_set_of_the_hub_locks_its_content(tmp_path, lock, monkeypatch):
    """Its rows are counted before that; afterwards other texts at whatever revision are refused."""
    copy, fetched = tmp_path / "lock.yaml", [sources.Record(f"row {i}", _problem(i)) for i in range(100)]
    shutil.copy(lock, copy)
    monkeypatch.setattr(sources, "read_hub", lambda spec, revision: (fetched[:99], "a" * 40))
    with pytest.raises(DataError, match=r"has 99 rows, the lock 100"):
        sources.load_dataset_rows("beyondaime", "hub", None, copy)
    assert copy.read_text() == lock.read_text()
    monkeypatch.setattr(sources, "read_hub", lambda spec, revision: (fetched, revision or "a" * 40))
    rows = sources.load_dataset_rows("beyondaime", "hub", None, copy).rows
    entry = locks.read_lock(copy).datasets["beyondaime"]
    assert entry == locks.LockEntry(rows=100, content_sha256=table.content_sha256(rows), revision="a" * 40)
    fetched[0] = sources.Record("row 0", _problem(100))
    with pytest.raises(DataError, match="are not those of the lock"):
        sources.load_dataset_rows("beyondaime", "hub", None, copy)


def _problem(i: int) -> dict[str, object]:
    return {"problem": f"What is {i} + 1?", "answer": i + 1}


def test_a_set_of_the_hub_is_not_read_from_a_folder(data_dir, lock):
    with pytest.raises(DataError, match="hmmt_nov25: this data set is read from the hub only"):
        sources.load_dataset_rows("hmmt_nov25", "directory", data_dir, lock)


def run_prepare(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "asymgrpo.tasks.prepare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.mark.parametrize(
    ("name", "words"),
    [("aime24", r"aime24: HuggingFaceH4/aime_2024 cannot be read.*directory\.$"), ("minerva", "minerva: no hub copy")],
)
def test_hub_without_network_is_one_sentence(tmp_path, lock, name, words):
    """In a process of its own: the hub's library decides at import whether it is offline."""
    out = tmp_path / "problems.parquet"
    done = run_prepare("--dataset", name, "--source", "hub", "--lock", lock, "--out", out, HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert re.search(words, done.stderr.strip())
    assert not out.exists()


def test_command_writes_the_table_and_its_metadata(tmp_path, data_dir, lock):
    out = tmp_path / "problems.parquet"
    where = ["--source", "directory", "--data-dir", data_dir, "--lock", lock, "--out", out]
    assert run_prepare("--dataset", "math500", "--limit", 20, *where).returncode == 0
    problems = pq.read_table(out)
    assert problems.column_names == list(table.COLUMNS)
    assert problems.num_rows == 20
    metadata = json.loads(problems.schema.metadata[METADATA_KEY])
    assert metadata["dataset"] == "math500"
    assert metadata["content_sha256"] == table.content_sha256(problems.to_pylist())
    assert [path.name for path in tmp_path.iterdir()] == ["problems.parquet"]


def test_command_fails_with_one_sentence_and_no_file(tmp_path, lock):
    out = tmp_path / "problems.parquet"
    where = ["--source", "directory", "--data-dir", tmp_path, "--lock", lock, "--out", out]
    for name in ("math500", "math5000"):
        done = run_prepare("--dataset", name, *where)
        assert done.returncode != 0
        assert len(done.stderr.splitlines()) == 1
        assert name in done.stderr
        assert not out.exists()


def test_split_is_a_partition_that_does_not_depend_on_the_limit(data_dir, lock):
    rows = sources.load_dataset_rows("math_train", "directory", data_dir, lock).rows
    train = prepare.split_rows(rows, prepare.Split.train, 500)
    validation = prepare.split_rows(rows, prepare.Split.validation, 500)
    assert (len(train), len(validation)) == (7000, 500)
    assert {row["problem_id"] for row in train}.isdisjoint(row["problem_id"] for row in validation)
    fewer = prepare.split_rows(rows, prepare.Split.validation, 100)
    assert {row["problem_id"] for row in fewer} <= {row["problem_id"] for row in validation}


@pytest.mark.parametrize(
    ("name", "n"), [("chain_train", 2000), ("lcm_train", 500), ("words_train", 408)], ids=["sums", "lcm", "words"]
)
def test_no_problem_is_held_out_that_is_trained_on_in_another_order(name, n):
    of = families.family(dataset_spec(name).family)
    rows, key = of.rows(name, n, 2604), prepare.key_of(name, prepare.SplitBy.numbers)
    train, validation = (prepare.split_rows(rows, prepare.Split(part), 32, key) for part in ("train", "validation"))
    assert (len(train), len(validation)) == (n - 32, 32)
    assert not {key(row) for row in train} & {key(row) for row in validation}
    alone = prepare.split_rows(rows, prepare.Split.validation, 32, prepare.key_of(name, prepare.SplitBy.problem))
    assert {key(row) for row in rows if row not in alone} & {key(row) for row in alone}, "the other way, some are"


def test_groups_of_problems_that_do_not_fit_are_refused():
    rows = [{"problem_id": str(i), "problem": f"{i % 2}"} for i in range(4)]
    with pytest.raises(InputError, match="validation size 1 cannot be met"):
        prepare.split_rows(rows, prepare.Split.validation, 1, lambda row: row["problem"])


def test_benchmarks_load_with_the_papers_sample_counts():
    loaded = {name: asymgrpo.tasks.benchmarks.load(name) for name in asymgrpo.tasks.benchmarks.BENCHMARKS}
    paper = {name: b.paper_samples for name, b in loaded.items() if b.paper_samples}
    assert paper == {"math500": 5, "olympiadbench": 5, "aime24": 10, "aime25": 10, "amc23": 10}
    with pytest.raises(DataError, match="unknown benchmark 'aime99'"):
        asymgrpo.tasks.benchmarks.load("aime99")
