"""Arms that a configuration defines: `python: FILE.py:FUNCTION` is replaced by the text of the file.

The path is relative to the configuration file that states it; on the command line, to the working directory. From then on no
result depends on where the file lies, and no job reads it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from asymgrpo.errors import ArmError


def with_sources(mapping: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A configuration in which every arm of `arms` has the text of its Python file; paths are relative to `folder`.

    Raises:
        ArmError: a file is missing or is not named as FILE.py:FUNCTION.
    """
    return {**mapping, "arms": _arms(mapping, folder)} if _named(mapping) else mapping


def add_sources(config: dict[str, Any], files: Iterable[Path]) -> None:
    """The same, in place, for a configuration merged from files: each path is relative to the file that states it."""
    for path in map(Path, files):
        stated = stated_in(path)
        for name in _named(stated):
            if (python := stated["arms"][name]["python"]) == config["arms"][name].get("python"):
                config["arms"][name]["python"] = _source(name, python, path.parent)


def stated_in(path: Path) -> dict[str, Any]:
    """What a configuration file says by itself; nothing where it cannot be read, which whoever merges the files says."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _named(mapping: dict[str, Any]) -> list[str]:
    """Names of arms that name a Python file."""
    arms = mapping.get("arms")
    changes = arms.items() if isinstance(arms, dict) else ()
    return [name for name, change in changes if isinstance(change, dict) and isinstance(change.get("python"), str)]


def _arms(mapping: dict[str, Any], folder: Path) -> dict[str, Any]:
    arms = dict(mapping["arms"])
    for name in _named(mapping):
        arms[name] = arms[name] | {"python": _source(name, arms[name]["python"], folder)}
    return arms


def _source(name: str, python: str, folder: Path) -> dict[str, str]:
    file, colon, function = python.rpartition(":")
    if not colon or not file.endswith(".py") or not function.isidentifier():
        raise ArmError(f"arms.{name}.python = {python!r} is not of the form FILE.py:FUNCTION; write it so.")
    path = folder / Path(file).expanduser()
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArmError(
            f"arms.{name}.python: there is no file {str(path)!r}; give its path relative to the configuration file."
        ) from None
    except (OSError, ValueError) as error:
        raise ArmError(f"arms.{name}.python: {str(path)!r} cannot be read: {error}.") from None
    digest = hashlib.sha256(source.encode()).hexdigest()
    return {"file": path.name, "function": function, "sha256": digest, "source": source}
