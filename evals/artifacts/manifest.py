"""The manifest of a bundle, and the refusal of one that cannot be, before anything is read of its files.

`manifest.json` holds

    schema   version of this layout (SCHEMA)
    study    name of the study
    files    path -> sha256, bytes, rows and columns (of Parquet files), origin: which rule wrote it, at which commit, of which
             configuration; `reduced_from`: sha256 of the file that a reduced one was made of
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from asymgrpo.errors import DataError

SCHEMA = 1
MANIFEST = "manifest.json"
MOST_BYTES = 16 * 2**20
"""Of a manifest: 25 times that of 234 runs."""


class BundleError(DataError):
    """A bundle that is not what its manifest says; the message names the files."""


def parsed(content: bytes, where: Path) -> dict[str, Any]:
    """The manifest of the bundle at `where`, of its bytes.

    Raises:
        BundleError: it cannot be read, is of another version, or what it says of a file cannot be.
    """
    try:
        manifest = json.loads(content.decode())
        version = manifest["schema"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"{where}: {MANIFEST} is damaged; fetch the bundle again") from None
    if version != SCHEMA:
        raise BundleError(
            f"{where}: {MANIFEST} has schema {version}, this code reads {SCHEMA}; check out the commit that made it"
        )
    if fault := _fault(manifest):
        raise BundleError(f"{where}: {MANIFEST} {fault}; do not use it, fetch the bundle again or make a new one")
    return dict(manifest)


def _fault(manifest: Mapping[str, Any]) -> str | None:
    """What is wrong with a manifest of this version, as a phrase; None if nothing is."""
    if not isinstance(manifest.get("study"), str):
        return "names no study"
    files = manifest.get("files")
    if not isinstance(files, dict):
        return "has no list of files with what it says of each"
    return next(
        (why for name, entry in files.items() if (why := _name_fault(name, files) or _fault_of(entry, name))), None
    )


def _name_fault(name: str, files: Mapping[str, Any]) -> str | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return f"names {name!r}, which lies outside of the bundle"
    if path.as_posix() != name or name == "." or not name.isprintable():
        return f"names {name!r}, which is no path of a file"
    if above := next(
        (str(p) for p in (path, *path.parents) if str(p) == MANIFEST or (p != path and str(p) in files)), None
    ):
        return f"names {name!r}, where {above!r} is a file already"
    return None


def _fault_of(entry: Any, name: str) -> str | None:
    if not isinstance(entry, dict):
        return f"says {entry!r:.40} of {name}, and not its bytes and sha256"
    size, digest = entry.get("bytes"), entry.get("sha256")
    if type(size) is not int or size < 0:
        return f"does not say how many bytes {name} has"
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        return f"does not say the sha256 of {name}"
    return None
