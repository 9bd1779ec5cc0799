"""A disk that takes no more, and checkpoints that it cut short: one sentence, and the run goes on from what is whole."""

import json
import resource
import subprocess
from contextlib import contextmanager

import pytest

from asymgrpo.files import sha256_file
from asymgrpo.training import checkpoint as ck
from asymgrpo.training.results import History
from tests.helpers import runs
from tests.helpers.tiny_trainer import distance, small_run, steps, weights

pytestmark = pytest.mark.usefixtures("joined")


@pytest.fixture(scope="module")
def joined():
    from tests.helpers.tiny_trainer import join

    join()


@contextmanager
def full_disk(size):
    """No file may grow beyond `size` bytes: writing more raises, as on a full disk. Only inside the test's own lines: pytest
    reports a test before its fixtures end, and its output may itself be a file larger than this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_save_on_a_full_disk_is_a_sentence_and_leaves_the_older_one(tmp_path):
    run = small_run(tmp_path)
    run.save(1)
    for write, place in (
        (lambda: run.save(2), "checkpoints/step000002"),
        (lambda: run.candidate(2), "candidates/step000002"),
    ):
        with (
            pytest.raises(
                ck.CheckpointError, match=rf"{place} cannot be written \(.*GB are free\); make room there"
            ) as caught,
            full_disk(20_000),
        ):
            write()
        assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step000001"], (
        "nor is the disk filled by its half"
    )
    assert list((tmp_path / "candidates").iterdir()) == []
    assert small_run(tmp_path).resume(print) == 1


def reseal(checkpoint):
    """State the sums of what is there now, as a disk would that lost the end of a file before they were taken."""
    info = json.loads((checkpoint / ck.MANIFEST).read_text())
    info["files"] = {name: sha256_file(checkpoint / name) for name in info["files"]}
    (checkpoint / ck.MANIFEST).write_text(json.dumps(info))


def cut(checkpoint):
    path = max(checkpoint.rglob("*.pt"), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-3000])


def spoil_bytes(checkpoint):
    """The archive's table of contents is whole, what it points at is not."""
    path = max(checkpoint.rglob("*.pt"), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[64:2000] = bytes(2000 - 64)
    path.write_bytes(content)


FAULTS = {
    "cut short when it was written": cut,
    "cannot be loaded": spoil_bytes,
    "state.json": lambda checkpoint: (checkpoint / "state.json").write_text("{}"),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_checkpoint_that_cannot_be_loaded_is_skipped_for_an_older_one(tmp_path, words):
    run = small_run(tmp_path)
    run.save(1)
    first = weights(run.engine)
    steps(run.trainer, 1, 1)
    assert distance(first, weights(run.engine)) > 0
    run.save(2)
    FAULTS[words](tmp_path / "checkpoints" / "step000002")
    reseal(tmp_path / "checkpoints" / "step000002")
    said: list[str] = []
    again = small_run(tmp_path)
    assert again.resume(said.append) == 1
    assert len(said) == 1
    assert "checkpoint step000002 is skipped" in said[0]
    assert words in said[0]
    assert distance(first, weights(again.engine)) == 0


def test_where_none_can_be_loaded_the_remedy_is_named(tmp_path):
    run = small_run(tmp_path)
    run.save(1)
    spoil_bytes(tmp_path / "checkpoints" / "step000001")
    reseal(tmp_path / "checkpoints" / "step000001")
    with pytest.raises(
        ck.CheckpointError, match=r"step000001 cannot be loaded \(.*\); use the versions .*or delete it"
    ):
        small_run(tmp_path).resume(lambda _: None)


@pytest.mark.parametrize("manifest", ["null", "[]", "{}", '{"files": []}', '{"files": {}, "step": 1}', "{"])
def test_a_manifest_that_says_nothing_is_not_one(tmp_path, manifest):
    run = small_run(tmp_path)
    run.save(1)
    (tmp_path / "checkpoints" / "step000001" / ck.MANIFEST).write_text(manifest)
    (tmp_path / "checkpoints" / "step.old").mkdir()
    (tmp_path / "checkpoints" / "step000009.tar").write_text("")
    said: list[str] = []
    assert small_run(tmp_path).resume(said.append) == 0
    assert len(said) == 1
    assert "manifest.json is not readable" in said[0]
    assert run.history == History()


@pytest.mark.slow
def test_the_program_ends_in_a_sentence_and_goes_on_when_there_is_room(tmp_path, model_directory):
    command = runs.prepare(tmp_path, model_directory, steps=2, evaluate_every=2)
    limited = ["bash", "-c", 'ulimit -f 20; exec "$@"', "bash", *command]
    done = subprocess.run(limited, cwd=runs.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr
    runs.finish(command)
    assert (runs.out_of(command) / "done.json").is_file()
