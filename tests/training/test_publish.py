"""A run killed while it publishes its results can publish them again, whole."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pyarrow as pa
import pytest

import asymgrpo.training.results
from asymgrpo.files import remove_partial, write_json, write_table
from asymgrpo.training.checkpoint import forget
from asymgrpo.training.run import Run


def test_killed_while_publishing(tmp_path, monkeypatch):
    workspace, out = tmp_path / "workspace", tmp_path / "out"
    for step in (3, 6):
        folder = workspace / "candidates" / f"step{step:06d}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights %d" % step)
    (workspace / "rollouts").mkdir()
    write_table(pa.table({"step": [1]}), workspace / "rollouts" / "step000001.parquet", {})
    train = SimpleNamespace(candidates="all", steps=6)
    run = Run(SimpleNamespace(engine=None), train, workspace, {}, str, None)

    def killed(value, path):
        if path.name == "done.json":
            raise KeyboardInterrupt
        write_json(value, path)

    with monkeypatch.context() as patched:
        patched.setattr(asymgrpo.training.results, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            run.publish(out, {})
    assert not (out / "done.json").exists()
    (out / ".partial-done.0.json").write_text("{")  # as a killed writer leaves it
    run.publish(out, {})
    assert not list(out.glob(".*"))
    assert sorted(p.name for p in (out / "candidates").iterdir()) == ["step000003", "step000006"]
    assert (out / "done.json").exists()
    assert (workspace / "candidates").exists(), "in case these outputs are refused"
    forget(workspace, out)
    assert [path.name for path in workspace.iterdir()] == ["lock"]


def test_what_a_killed_writer_left_is_not_published(tmp_path):
    """SIGKILL in the middle of a write leaves a file with a name of its own."""
    program = "import os, signal, sys; from asymgrpo.files import replace_atomically as write;"
    program += "write(sys.argv[1], lambda path: os.kill(os.getpid(), signal.SIGKILL))"
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "conventions.json")])
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    remove_partial(tmp_path)
    assert not list(tmp_path.iterdir())
