"""The live view shows every step once, whatever happened to the run, and changes no result."""

import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from asymgrpo.training.live import FOLDER, VARIABLE, Live, LiveView, open_live
from asymgrpo.training.results import History
from tests.helpers.runs import digests, finish, out_of, prepare, start, workspace_of


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of every event on disk, duplicates included; nothing is left out or purged."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, float(make_ndarray(value.tensor))))
    return found


def history(steps: int) -> History:
    return History(
        metrics=[{"step": n, "entropy": 1 / n, "entropy_wrong": None} for n in range(1, steps + 1)],
        timings=[{"step": n, "rollout": 0.5} for n in range(1, steps + 1)],
        evaluations=[{"step": 2, "set": "validation", "accuracy": 0.25}],
    )


def test_every_row_is_shown_once(tmp_path):
    view = LiveView(tmp_path / FOLDER, pytest.fail)
    view(history(2))
    view(history(3))
    view(history(3))
    view.writer.close()
    found = curves(tmp_path / FOLDER)
    assert [step for step, _ in found["train/entropy"]] == [1, 2, 3]
    assert [value for _, value in found["train/entropy"]] == pytest.approx([1, 1 / 2, 1 / 3])
    assert found["accuracy/validation"] == [(2, 0.25)]
    assert "train/entropy_wrong" not in found, "a null is no point of a curve"


def test_a_full_disk_ends_the_view_and_not_the_training(tmp_path, monkeypatch):
    said = []
    view = LiveView(tmp_path / FOLDER, said.append)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(view.writer, "add_scalar", full)
    view(history(2))
    view(history(3))
    assert len(said) == 1
    assert "no space left" in said[0]
    assert "training continues" in said[0]


def test_without_tensorboard_the_run_goes_on_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    said = []
    assert open_live(Live.tensorboard, tmp_path, said.append) is None
    assert "not installed" in said[0]
    assert open_live(Live.none, tmp_path, pytest.fail) is None


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory) -> Path:
    """A random tiny model with the tokenizer of the embedded task."""
    from asymgrpo.tasks.tokenizer import build_tokenizer
    from tests.helpers.tiny_trainer import tiny_model

    directory, tokenizer = tmp_path_factory.mktemp("model") / "base", build_tokenizer()
    tiny_model(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.mark.slow
def test_a_killed_run_has_each_step_once_and_the_same_results(tmp_path, model_directory, monkeypatch):
    """Killed after a step that no checkpoint holds, resumed: the curves are metrics.parquet; unwatched: the same bytes."""
    command = prepare(tmp_path / "watched", model_directory, checkpoint_every=2)
    process = start(command)
    checkpoints = tmp_path / "watched" / "checkpoints"
    deadline = time.time() + 200
    while process.poll() is None and not list(checkpoints.glob("*/*/*/checkpoints/step000002")):
        assert time.time() < deadline, "no checkpoint was made"
        time.sleep(0.01)
    process.kill()
    process.communicate()
    finish(command)
    found = curves(workspace_of(command) / FOLDER)
    metrics = pq.read_table(out_of(command) / "metrics.parquet").to_pydict()
    assert found["train/entropy"] == [
        (step, pytest.approx(value, rel=1e-6)) for step, value in zip(metrics["step"], metrics["entropy"], strict=True)
    ]
    assert [step for step, _ in found["accuracy/chain2"]] == [3, 6]
    assert len(found["timing/rollout"]) == 6

    monkeypatch.setenv(VARIABLE, Live.none)
    unwatched = prepare(tmp_path / "unwatched", model_directory, checkpoint_every=2)
    finish(unwatched)
    assert not (workspace_of(unwatched) / FOLDER).exists()
    assert digests(out_of(unwatched)) == digests(out_of(command))
