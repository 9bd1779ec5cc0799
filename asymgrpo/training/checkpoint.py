"""Resumable checkpoints: a directory is whole if and only if its manifest is there and every checksum holds.

They lie outside the workflow's declared outputs, because Snakemake deletes the outputs of a failed job. A run's folder is
named by a hash of all that its results depend on, so that a changed configuration never resumes from a stale state.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asymgrpo.errors import FailedError
from asymgrpo.files import set_modes, sha256_file, write_json

MANIFEST = "manifest.json"
HASHING_THREADS = 4
"""Files that a rank hashes at the same time."""
CONCLUDED = "concluded.json"
"""In a run's workspace: no step is left to do, and what the results say, until they are accepted."""
WAITING = "waiting"
"""Key in it: the folders of results that got the outputs and may still lose them. Studies may share one folder of checkpoints."""


class CheckpointError(FailedError):
    """A checkpoint cannot be used; the message says which, why and what to do."""


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what a full disk or a lost file system raises while `place` is written into one sentence.

    Raises:
        CheckpointError: `place` cannot be written. What was whole before still is.
    """
    try:
        yield
    except Exception as error:
        if not _of_a_write(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(
            f"{place} cannot be written ({reason}; {_free(place)}); make room there and start the same command again: it "
            "continues from the newest whole checkpoint."
        ) from error


def _of_a_write(error: BaseException) -> bool:
    """torch says of a full disk that the position in its file is unexpected, safetensors raises its own error."""
    from safetensors import SafetensorError

    if isinstance(error, RuntimeError):
        return (
            re.search(r"inline_container|PytorchStreamWriter|iostream error|File .* cannot be opened", str(error))
            is not None
        )
    return isinstance(error, OSError | SafetensorError)


def _free(place: Path) -> str:
    folder = next((parent for parent in place.parents if parent.is_dir()), Path())
    return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB are free"


@contextmanager
def exclusive(directory: Path, patience: float, warn=print) -> Iterator[None]:
    """Hold the run's lock: two jobs training one run would spoil each other's files.

    Waits `patience` seconds for another holder: a process whose node or workflow has died may live on for some minutes.

    Raises:
        CheckpointError: the other holder is still there.
    """
    from filelock import FileLock, Timeout

    directory.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(directory / "lock"), directory / "holder"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        other = holder.read_text(encoding="utf-8") if holder.exists() else "unknown"
        warn(f"{directory} is in use by another job ({other}); waiting {patience:.0f} s for it to end")
        try:
            lock.acquire(timeout=patience, poll_interval=0.5)
        except Timeout:
            raise CheckpointError(
                f"{directory} is in use by another job ({other}) and was not free in {patience:.0f} s; wait for it or cancel it."
            ) from None
    try:
        job = os.environ.get("SLURM_JOB_ID")
        holder.write_text(
            f"process {os.getpid()} on {socket.gethostname()}" + (f", SLURM job {job}" if job else ""), encoding="utf-8"
        )
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def checksums(staging: Path, rank: int, world_size: int) -> dict[str, str]:
    """File -> sha256 of this rank's share of the files in a staging folder, HASHING_THREADS at a time."""
    mine = sorted((p for p in staging.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p))[rank::world_size]
    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        digests = list(threads.map(sha256_file, mine))
    return {str(path.relative_to(staging)): digest for path, digest in zip(mine, digests, strict=True)}


def seal(staging: Path, target: Path, info: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Turn a finished staging folder into a checkpoint or candidate: checksums of all its files, flush to disk, one rename."""
    (staging / MANIFEST).write_text(
        json.dumps({**info, "files": dict(files)}, indent=1, sort_keys=True), encoding="utf-8"
    )
    set_modes(staging)
    for path in staging.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    if target.exists():
        shutil.rmtree(target)
    os.replace(staging, target)


def fault(checkpoint: Path) -> str | None:
    """Why a checkpoint is not whole, or None."""
    manifest = checkpoint / MANIFEST
    if not manifest.exists():
        return f"{manifest} is missing"
    try:
        info = json.loads(manifest.read_text(encoding="utf-8"))
        files, _ = dict(info["files"]), (int(info["step"]), int(info["world_size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return f"{manifest} is not readable"
    return next((why for name, digest in files.items() if (why := _file_fault(checkpoint / name, digest))), None)


def _file_fault(path: Path, digest: str) -> str | None:
    if not path.exists():
        return f"{path} is missing"
    try:
        if sha256_file(path) != digest:
            return f"{path} has changed since it was written (sha256 differs)"
        # A file that was cut short before its sum was taken: torch's files are archives, whose table of contents comes last.
        if path.suffix == ".pt" and not zipfile.is_zipfile(path):
            return f"{path} was cut short when it was written"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return None


def all_steps(directory: Path) -> list[Path]:
    """Checkpoints of a run, newest first."""
    found = [path for path in directory.glob("step*") if path.is_dir() and path.name.removeprefix("step").isdigit()]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step in the name of a checkpoint or candidate.

    >>> step_of(Path("step000120"))
    120
    """
    return int(path.name.removeprefix("step"))


def whole_ones(directory: Path, world_size: int, warn=print) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The checkpoints that are whole, newest first, with their manifests; broken ones are named through `warn` and skipped.

    Raises:
        CheckpointError: a whole one is of another number of ranks.
    """
    for checkpoint in all_steps(directory):
        why = fault(checkpoint)
        if why:
            warn(f"checkpoint {checkpoint.name} is skipped: {why}")
            continue
        info = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        if info["world_size"] != world_size:
            raise CheckpointError(
                f"{checkpoint} was written by {info['world_size']} ranks and cannot be resumed by {world_size}: start with "
                f"{info['world_size']} ranks again, or delete {directory} to train from the beginning."
            )
        yield checkpoint, info


def newest_whole(directory: Path, world_size: int, warn=print) -> tuple[Path, dict[str, Any]] | None:
    """The first of `whole_ones`, if there is one."""
    return next(whole_ones(directory, world_size, warn), None)


def prune(directory: Path, keep: int) -> None:
    """Keep the newest `keep` checkpoints; older ones and abandoned staging folders go."""
    for old in all_steps(directory)[keep:]:
        shutil.rmtree(old)
    for abandoned in directory.glob(".staging*"):
        shutil.rmtree(abandoned)


def workspace_of(checkpoints: Path, model: str, arm: str, seed: int, identity_sha256: str) -> Path:
    """The folder of everything unfinished of one run."""
    return checkpoints / model / arm / f"seed{seed}-{identity_sha256[:12]}"


def waiting_for(workspace: Path) -> list[str]:
    """The folders of results for which a concluded run keeps what it published; none if nothing tells."""
    try:
        return list(json.loads((workspace / CONCLUDED).read_text(encoding="utf-8"))[WAITING])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def place_of(out: Path) -> str:
    """How a run's folder of results is written down: by its absolute path, without links."""
    return str(out.resolve())


def forget(workspace: Path, out: Path) -> None:
    """The results in `out` are accepted: delete what a concluded run kept for them, unless another folder waits for it.

    Nothing happens while a job holds the run. Curves (asymgrpo.training.live) stay.
    """
    if place_of(out) not in waiting_for(workspace):
        return
    try:
        with exclusive(workspace, 0, warn=lambda text: None):
            _accepted(workspace, place_of(out))
    except CheckpointError:  # that job publishes to a folder of its own
        return


def _accepted(workspace: Path, place: str) -> None:
    """The same, with the lock held."""
    concluded = workspace / CONCLUDED
    waiting = waiting_for(workspace)
    if others := [other for other in waiting if other != place]:
        write_json(json.loads(concluded.read_text(encoding="utf-8")) | {WAITING: others}, concluded)
    elif waiting:
        concluded.unlink()  # first: without it nothing is published from what is left
        for name in ("candidates", "rollouts"):
            shutil.rmtree(workspace / name, ignore_errors=True)
