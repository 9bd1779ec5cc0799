"""Files that were unpacked and are gone or changed since are never taken for those of the bundle, nor what lies in the folder of
checkpoints for something of the bundle's."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bundled import COMMITTED, snakemake

from asymgrpo.training import checkpoint as ck
from evals.artifacts.bundle import content_hashes
from evals.artifacts.bundle_files import open_bundle
from evals.io import read_metadata, read_table, write_table

pytestmark = pytest.mark.slow

SMALL = COMMITTED.with_name("smollm2.zip")
GRADED = "graded/smollm2/grpo/seed1.parquet"


def made(results: Path, *words: str) -> str:
    done = snakemake("tables", *words, "--config", f"artifacts={SMALL}", f"results={results}", light=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory) -> Path:
    """All tables of a small bundle."""
    results = tmp_path_factory.mktemp("rebuilt") / "results"
    made(results)
    return results


def changed(path: Path) -> None:
    """All samples correct; size and date as they were, as far as they can be."""
    at, about, table = path.stat(), read_metadata(path), read_table(path)
    i = table.column_names.index("correct")
    write_table(table.set_column(i, "correct", pa.array([True] * table.num_rows)), path, about)
    assert pc.all(read_table(path)["correct"]).as_py()
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


def one_byte(path: Path) -> None:
    at, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


@pytest.mark.parametrize("spoil", [changed, one_byte, Path.unlink], ids=["changed", "of one size", "gone"])
def test_it_is_unpacked_again_before_anything_is_made_of_it(rebuilt, spoil):
    before = content_hashes(rebuilt)
    spoil(rebuilt / GRADED)
    assert "Nothing to be done" in made(rebuilt, "-n"), "nobody reads it"
    (rebuilt / "table1.md").unlink()
    plan = made(rebuilt, "-n")
    assert GRADED in plan
    assert "is unpacked again" in plan
    made(rebuilt)
    assert open_bundle(SMALL).differing(rebuilt) == []
    assert content_hashes(rebuilt) == before


def test_whole_files_are_not_unpacked_again(rebuilt):
    at = (rebuilt / GRADED).stat().st_mtime_ns
    (rebuilt / "table1.md").unlink()
    made(rebuilt)
    assert (rebuilt / GRADED).stat().st_mtime_ns == at


def test_no_call_on_a_bundle_deletes_what_a_training_keeps(rebuilt, tmp_path):
    """Of the very run that the bundle is of, in the folder of checkpoints of the call; even if it says that this folder waits."""
    done = rebuilt / "runs/smollm2/grpo/seed0/done.json"
    workspace = ck.workspace_of(tmp_path, "smollm2", "grpo", 0, json.loads(done.read_text())["sha256"])
    for name in ("candidates/step000001", "rollouts"):
        (workspace / name).mkdir(parents=True)
    (workspace / ck.CONCLUDED).write_text(json.dumps({ck.WAITING: [str(done.parent.resolve())]}))
    before = sorted(tmp_path.rglob("*"))
    (rebuilt / "table1.md").unlink()
    place = (f"artifacts={SMALL}", f"results={rebuilt}", f"checkpoints={tmp_path}")
    assert snakemake("tables", "--config", *place, light=True).returncode == 0
    assert (rebuilt / "table1.md").exists()
    assert sorted(tmp_path.rglob("*")) == before
