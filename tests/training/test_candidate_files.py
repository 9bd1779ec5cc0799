"""A candidate lies on disk as safely as a checkpoint: all of it is flushed, its sums are stated, and damage is named."""

import json
import os
from pathlib import Path

import pytest

from asymgrpo.errors import ModelError
from asymgrpo.files import sha256_file, whole_directory
from evals.sample import whole_weights
from tests.helpers.tiny_trainer import join, small_run


@pytest.fixture(scope="module")
def joined():
    join()


@pytest.fixture
def candidate(joined, tmp_path, monkeypatch) -> tuple[Path, set[str]]:
    """The folder of one, and the files that were flushed when it was moved there."""
    flushed, fsync = set(), os.fsync

    def noting(handle: int) -> None:
        flushed.add(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    small_run(tmp_path).candidate(1)
    return tmp_path / "candidates" / "step000001", flushed


def test_all_files_are_flushed_and_their_sums_are_stated(candidate):
    """And nothing else is: no clock, no place."""
    folder, flushed = candidate
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "manifest.json"} <= names == flushed
    sums = {name: sha256_file(folder / name) for name in names - {"manifest.json"}}
    assert json.loads((folder / "manifest.json").read_text()) == {"step": 1, "files": sums}


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_who_may_read_it_is_the_umask_s_to_say(joined, tmp_path, mask):
    before = os.umask(mask)
    try:
        small_run(tmp_path).candidate(1)
        with whole_directory(tmp_path / "base") as work:
            (work / "deep").mkdir(mode=0o700)
            for name, mode in (("deep/weights", 0o600), ("program", 0o700)):
                (work / name).touch(mode)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    folders = {path.name for path in tmp_path.rglob("*") if path.is_dir()} | {"program"}
    assert {"model.safetensors", "weights"} <= modes.keys()
    assert modes == {name: (0o777 if name in folders else 0o666) & ~mask for name in modes}


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_one_is_not_sampled(candidate, name):
    folder, _ = candidate
    steps = {1: folder}
    sums = {"1": {"model.safetensors": sha256_file(folder / "model.safetensors")}}
    assert whole_weights(steps, folder.parent) == sums
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        ModelError, match=rf"step000001/{name} is missing or altered.*train its run again: delete .*done\.json"
    ):
        whole_weights(steps, folder.parent)
    (folder / "manifest.json").unlink()
    assert whole_weights(steps, folder.parent), "one of an earlier version states no sums"
