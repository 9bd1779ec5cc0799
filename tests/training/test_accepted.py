"""What a concluded run keeps goes when its outputs are accepted, and only for the folder of results that accepted them."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from asymgrpo.training import checkpoint as ck
from asymgrpo.training.run import Run
from workflow.ready import forget_accepted

WILDCARDS = {"model": "m", "arm": "a", "seed": "0"}
SHA256 = "ab" * 32


def concluded(checkpoints: Path, *results: Path) -> Path:
    """The workspace of one run of several studies, which published to each of these folders, one after the other."""
    workspace = ck.workspace_of(checkpoints, "m", "a", 0, SHA256)
    for name in ("candidates", "rollouts"):
        (workspace / name).mkdir(parents=True, exist_ok=True)
    engine = SimpleNamespace(world_size=1, weights=lambda: None)
    for folder in results:
        sampler = SimpleNamespace(update_weights=lambda weights: None)
        trainer = SimpleNamespace(engine=engine, sampler=sampler)
        run = Run(trainer, SimpleNamespace(candidates="all", steps=2), workspace, {}, str, None)
        run.resume(print)
        run.conclude(folder / "m/a/seed0", {"sha256": SHA256})
        (folder / "m/a/seed0").mkdir(parents=True)
        (folder / "m/a/seed0/done.json").write_text(json.dumps({"sha256": SHA256}))
    return workspace


def accept(results: Path, checkpoints: Path) -> None:
    """What a call of Snakemake does at its end, with all outputs of the run in its folder."""
    dag = SimpleNamespace(needrun_jobs=list)
    forget_accepted(dag, [WILDCARDS], f"{results}/{{model}}/{{arm}}/seed{{seed}}/done.json", checkpoints)


def is_kept(workspace: Path) -> bool:
    kept = {(workspace / name).exists() for name in (ck.CONCLUDED, "candidates", "rollouts")}
    assert len(kept) == 1, "all of it or nothing"
    return kept == {True}


def test_two_studies_that_share_checkpoints_leave_each_other_what_is_not_accepted(tmp_path):
    one, other, checkpoints = tmp_path / "one", tmp_path / "other", tmp_path / "checkpoints"
    workspace = concluded(checkpoints, one, other)
    before = json.loads((workspace / ck.CONCLUDED).read_text())
    accept(other, checkpoints)
    assert is_kept(workspace), "one waits still"
    after = json.loads((workspace / ck.CONCLUDED).read_text())
    assert before | {ck.WAITING: None} == after | {ck.WAITING: None}
    accept(other, checkpoints)
    assert is_kept(workspace)
    accept(one, checkpoints)
    assert not is_kept(workspace)


def test_a_folder_that_never_got_the_outputs_from_here_deletes_nothing(tmp_path):
    """Unpacked or copied results, and a record that does not say who waits."""
    one, copy, checkpoints = tmp_path / "one", tmp_path / "copy", tmp_path / "checkpoints"
    workspace = concluded(checkpoints, one)
    (copy / "m/a/seed0").mkdir(parents=True)
    (copy / "m/a/seed0/done.json").write_text((one / "m/a/seed0/done.json").read_text())
    accept(copy, checkpoints)
    assert is_kept(workspace)
    for text in ("{", "[]", "{}", '{"waiting": null}'):
        (workspace / ck.CONCLUDED).write_text(text)
        accept(one, checkpoints)
        assert is_kept(workspace)


def test_nothing_is_deleted_while_a_job_holds_the_run(tmp_path):
    one, checkpoints = tmp_path / "one", tmp_path / "checkpoints"
    workspace = concluded(checkpoints, one)
    with ck.exclusive(workspace, 0):
        accept(one, checkpoints)
        assert is_kept(workspace)
    accept(one, checkpoints)
    assert not is_kept(workspace)


@pytest.mark.parametrize("relative", [True, False])
def test_a_folder_is_known_by_where_it_lies(tmp_path, monkeypatch, relative):
    """A job and the call that started it may name it in two ways: from the working directory, or through a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    workspace = concluded(tmp_path / "checkpoints", tmp_path / "real/results")
    accept(Path("real/results") if relative else tmp_path / "link/results", tmp_path / "checkpoints")
    assert not is_kept(workspace)
