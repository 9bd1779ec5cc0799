"""config/data.lock.yaml: rows and content hash per data set, and hub revisions of data and models once somebody has fetched them.

`python -m asymgrpo.tasks.relock` rewrites entries from a local directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asymgrpo.errors import DataError

HEADER = """\
# Data sets by content: number of rows, and sha256 over the sorted, blank-normalised (problem, reference answer) pairs
# after cleaning (asymgrpo.tasks.table.content_sha256). `revision` is the hub commit: null until a first fetch writes it,
# verified ever after. So is the hash of a set that only the hub has.
# `seed` is that of a generated set; the entry then holds for this seed and this number of rows. `models`: hub id -> commit.
"""


class LockEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    rows: Annotated[int, Field(gt=0)] | None
    """Null where nobody has counted them; the hash, which the first fetch writes, then says enough."""
    content_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    """Null for a set that is only on the hub, until a first fetch writes it."""
    revision: str | None = None
    seed: int | None = None


class Lock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    datasets: dict[str, LockEntry]
    models: dict[str, str | None]
    """Hub id -> commit; null until a first fetch writes it."""


def read_lock(path: Path) -> Lock:
    """The whole lock. Raises DataError when the file is missing or malformed."""
    if not path.is_file():
        raise DataError(f"{path} is missing; restore it from the repository.")
    try:
        return Lock.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise DataError(
            f"{path} is malformed ({str(error).splitlines()[0]}); restore it from the repository."
        ) from None


def write_lock(path: Path, lock: Lock) -> None:
    """Write the whole file in one step, entries by name, fields that do not apply left out."""
    from asymgrpo.files import write_text

    content: dict[str, dict] = {"datasets": {}, "models": dict(sorted(lock.models.items()))}
    for name in sorted(lock.datasets):
        entry = lock.datasets[name].model_dump()
        del entry["revision" if entry["seed"] is not None else "seed"]
        content["datasets"][name] = entry
    text = HEADER + yaml.safe_dump(content, sort_keys=False)
    write_text(text, path)


def write_revision(path: Path, name: str, revision: str, content: str | None = None) -> None:
    """Record the commit of the first fetch of a data set or model, and the hash of its content; recorded ones are never replaced.

    Several downloads may finish at once: a file lock guards reading and writing.
    """
    from filelock import FileLock

    with FileLock(path.with_name(f".{path.name}.lock")):
        lock = read_lock(path)
        if name in lock.datasets and lock.datasets[name].revision is None:
            old = lock.datasets[name]
            entry = old.model_copy(update={"revision": revision, "content_sha256": old.content_sha256 or content})
            write_lock(path, lock.model_copy(update={"datasets": lock.datasets | {name: entry}}))
        elif name not in lock.datasets and lock.models.get(name) is None:
            write_lock(path, lock.model_copy(update={"models": lock.models | {name: revision}}))
