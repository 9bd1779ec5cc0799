"""Whole files or none: everything here is written beside its place and moved there in one step."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_KEY = b"asymgrpo"
"""Parquet files carry a JSON object under this key of their schema."""

PARTIAL = ".partial-"
"""Prefix of names that are not finished; a killed writer leaves them behind (`remove_partial`)."""


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """An error of the system within the block names `path`, as the user did, and no partial file or folder on the way to it."""
    try:
        yield
    except OSError as error:
        code = (
            errno.ENOTDIR if error.errno == errno.EEXIST else error.errno
        )  # where a folder is made, a file is in its place
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


def replace_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary_path)`, then move the result to `path` in one step."""
    path = Path(path)
    with errors_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with errors_of(path):
            set_modes(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def set_modes(path: Path) -> None:
    """Give a file, or a folder and all in it, the modes that the user's umask gives to what is new.

    mkstemp, mkdtemp and safetensors make theirs private, and what lies in a shared folder is for its group. A file that may be
    executed stays one, a folder keeps its sticky and group bits; links are left alone.
    """
    usual = 0o777 & ~_umask()
    for place in (path, *path.rglob("*")):
        if not place.is_symlink():
            mode = place.stat().st_mode
            kept = mode & 0o7000 if place.is_dir() else 0
            place.chmod(kept | (usual if place.is_dir() or mode & 0o100 else usual & 0o666))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(text: str, path: str | Path) -> None:
    """Write `text` (UTF-8, newline-terminated lines as given) to `path` atomically."""
    replace_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))


def write_json(value: Any, path: str | Path) -> None:
    """Write `value` as indented JSON with sorted keys to `path` atomically."""
    write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", path)


@contextmanager
def whole_directory(out: Path) -> Iterator[Path]:
    """A temporary directory beside `out` that becomes `out` when the block succeeds, and vanishes when it does not."""
    with errors_of(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{out.name}.", dir=out.parent))
    try:
        yield work
        with errors_of(out):
            set_modes(work)
            if out.exists():
                shutil.rmtree(out)
            os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_partial(directory: Path) -> None:
    """Delete what killed writers left in `directory`. Only for a directory that nobody else is writing to."""
    for path in directory.glob(f"{PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_table(table: pa.Table, path: str | Path, metadata: dict[str, Any]) -> None:
    """Write `table` as zstd Parquet with `metadata` as JSON in its schema.

    Equal tables with equal metadata give equal bytes (same pyarrow version): chunks are combined, keys are
    sorted and nothing of the clock enters.
    """
    import pyarrow.parquet as pq

    payload = json.dumps(metadata, sort_keys=True).encode()
    table = table.combine_chunks().replace_schema_metadata({METADATA_KEY: payload})
    replace_atomically(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def sha256_file(path: str | Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
