"""A run killed while it publishes its results can publish them again, whole."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

import asymgrpo.run
from asymgrpo.files import write_table
from asymgrpo.run import Run


def test_killed_while_publishing(tmp_path, monkeypatch):
    workspace, out = tmp_path / "workspace", tmp_path / "out"
    for step in (3, 6):
        folder = workspace / "candidates" / f"step{step:06d}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights %d" % step)
    (workspace / "rollouts").mkdir()
    write_table(pa.table({"step": [1]}), workspace / "rollouts" / "step000001.parquet", {})
    run = Run(SimpleNamespace(engine=None), None, workspace, {}, str, None)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(asymgrpo.run, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            run.publish(out, {})
    assert not (out / "done.json").exists()
    run.publish(out, {})
    assert sorted(p.name for p in (out / "candidates").iterdir()) == ["step000003", "step000006"]
    assert (out / "done.json").exists()
    assert not list(workspace.iterdir())
