"""Data and models that are not those of the lock any more are made again; the lock's own first entries change nothing."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from asymgrpo.files import write_json
from workflow.locked import Locked
from workflow.stale import Stale

ASKED = {"of": "problems", "dataset": "math500", "source": "directory", "limit": 2}
MODEL = {"of": "base model", "kind": "hub", "hub_id": "someone/model"}


def call(*words):
    done = subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def write_data(folder, last):
    rows = [{"problem": f"{i} + {i}", "answer": str(2 * i)} for i in range(2)] + [{"problem": "2 + 2", "answer": last}]
    (folder / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def relock(folder):
    size = ("--embedded-n", 4, "--embedded-seed", 0)
    call("asymgrpo.tasks.relock", "--data-dir", folder, "--lock", folder / "lock.yaml", *size, "math500")


def prepare(folder):
    where = ("--data-dir", folder, "--lock", folder / "lock.yaml", "--out", folder / "math500.parquet")
    call("asymgrpo.tasks.prepare", "--dataset", "math500", "--source", "directory", "--limit", 2, *where)


def made_again(path, asked, locked):
    """Whether Snakemake is told to, and what the user is told."""
    forced, told = set(), []
    stale = Stale(SimpleNamespace(remote_exec=False, dag=SimpleNamespace(forcefiles=forced)), say=told.append)
    stale.check(str(path), asked, locked)
    assert forced in ({str(path)}, set())
    assert bool(told) is bool(forced)
    return bool(forced)


def edit(lock, **changes):
    content = yaml.safe_load(lock.read_text())
    content["datasets"]["math500"] |= changes
    lock.write_text(yaml.safe_dump(content))


def test_data_with_a_new_entry_in_the_lock_are_made_again(tmp_path):
    """Also where only a row changed that the limit leaves out: the entry is of the whole set."""
    table, lock = tmp_path / "math500.parquet", tmp_path / "lock.yaml"
    write_data(tmp_path, "4")
    relock(tmp_path)
    prepare(tmp_path)
    assert not made_again(table, ASKED, Locked(lock).data(ASKED))
    write_data(tmp_path, "5")
    relock(tmp_path)
    assert made_again(table, ASKED, Locked(lock).data(ASKED))
    prepare(tmp_path)
    assert not made_again(table, ASKED, Locked(lock).data(ASKED))
    edit(lock, revision="a" * 40)
    assert not made_again(table, ASKED, Locked(lock).data(ASKED)), "the first fetch writes it"
    edit(lock, content_sha256=None)
    assert not made_again(table, ASKED, Locked(lock).data(ASKED)), "nobody has fetched it"
    lock.unlink()
    assert not made_again(table, ASKED, Locked(lock).data(ASKED)), "prepare says so"


def test_the_entry_of_a_generated_set_is_of_its_seed_and_size(tmp_path):
    asked = {"of": "problems", "dataset": "chain2", "source": "embedded", "embedded_n": 8, "embedded_seed": 3}
    entry = {"rows": 8, "content_sha256": "a" * 64, "seed": 3}
    lock = tmp_path / "lock.yaml"
    for changes, expected in (({}, "a" * 64), ({"rows": 9}, None), ({"seed": 4}, None)):
        lock.write_text(yaml.safe_dump({"datasets": {"chain2": entry | changes}, "models": {}}))
        assert Locked(lock).data(asked) == {"dataset_sha256": expected}


@pytest.mark.parametrize(
    ("made", "locked", "again"), [("a", "a", False), ("a", "b", True), ("a", None, False), (None, "b", False)]
)
def test_a_base_model_of_another_commit_than_the_lock_is_made_again(tmp_path, made, locked, again):
    manifest, lock = tmp_path / "manifest.json", tmp_path / "lock.yaml"
    write_json({"settings": MODEL, "revision": made, "files": {}}, manifest)
    lock.write_text(yaml.safe_dump({"datasets": {}, "models": {"someone/model": locked}}))
    assert made_again(manifest, MODEL, Locked(lock).model(MODEL)) is again
    assert Locked(lock).model({"of": "base model", "kind": "gguf"}) == {"revision": None}
