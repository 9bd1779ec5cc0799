"""A checkpoint is whole or it is not one."""

import json

import pytest

from asymgrpo.files import sha256_file
from asymgrpo.training.checkpoint import CheckpointError, checksums, exclusive, fault, newest_whole, prune, seal


def make(folder, step, world_size=1):
    staging = folder / ".staging"
    (staging / "engine").mkdir(parents=True)
    (staging / "engine" / "weights.bin").write_bytes(bytes(range(256)) * step)
    (staging / "state.json").write_text(json.dumps({"step": step}))
    files = {
        name: digest for rank in range(world_size) for name, digest in checksums(staging, rank, world_size).items()
    }
    seal(staging, folder / f"step{step:06d}", {"step": step, "world_size": world_size}, files)


def test_the_newest_whole_one_is_found(tmp_path):
    for step in (5, 10, 15):
        make(tmp_path, step)
    (tmp_path / "step000015" / "engine" / "weights.bin").write_bytes(b"short")
    said: list[str] = []
    found = newest_whole(tmp_path, 1, said.append)
    assert found is not None
    assert found[0].name == "step000010"
    assert found[1]["step"] == 10
    assert len(said) == 1
    assert "step000015" in said[0]
    assert "weights.bin has changed" in said[0]


def test_nothing_to_resume(tmp_path):
    assert newest_whole(tmp_path, 1) is None


def test_another_world_size_is_refused(tmp_path):
    make(tmp_path, 5, world_size=2)
    with pytest.raises(CheckpointError, match=r"written by 2 ranks and cannot be resumed by 4"):
        newest_whole(tmp_path, 4)


def test_an_unsealed_folder_is_not_a_checkpoint(tmp_path):
    (tmp_path / "step000007").mkdir()
    assert "manifest.json is missing" in fault(tmp_path / "step000007")


def test_prune_keeps_the_newest(tmp_path):
    for step in range(1, 6):
        make(tmp_path, step)
    (tmp_path / ".staging9").mkdir()
    prune(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step000004", "step000005"]


def test_the_lock_is_exclusive_and_released(tmp_path):
    said: list[str] = []
    busy = pytest.raises(
        CheckpointError, match=r"in use by another job \(process \d+ on .*not free in 1 s; wait for it"
    )
    with exclusive(tmp_path, 0), busy, exclusive(tmp_path, 1, said.append):
        pass
    assert "waiting 1 s" in said[0]
    with exclusive(tmp_path, 0):
        pass


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_ranks_share_the_files_to_be_hashed(tmp_path, world_size):
    for i in range(7):
        (tmp_path / f"part{i}").write_bytes(bytes([i]) * 1000 * i)
    parts = [checksums(tmp_path, rank, world_size) for rank in range(world_size)]
    assert sorted(name for part in parts for name in part) == [f"part{i}" for i in range(7)]
    for part in parts:
        assert all(digest == sha256_file(tmp_path / name) for name, digest in part.items())
        assert len(part) <= -(-7 // world_size)
