"""Configuration files that state differences from another file of the project: `on_top_of: config/paper.yaml`.

Without the other file such a file would change the default study, and that is a study that nobody means. What a file belongs
on top of is a matter between files: it is looked at before they are merged, and no result knows of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asymgrpo.study.config import ConfigError
from asymgrpo.study.user_arms import stated_in

KEY = "on_top_of"


def require(files: Sequence[Path], root: Path, option: str = "--configfile") -> None:
    """Refuse a file that is not given after the one that it belongs on top of.

    Args:
        files: configuration files in the order given, relative to the working directory or with whole paths.
        root: of the project, which the paths that files state are relative to.
        option: with which the files are given, for the message.

    Raises:
        ConfigError: with the options that would be right; or a file states something that is no file of the project.
    """
    before: set[Path] = set()
    for path in map(Path, files):
        other = _below(path, root)
        if other and other.resolve() not in before:
            right = shlex.join(map(_shown, in_order(files, root)))
            raise ConfigError(f"{_shown(path)} belongs on top of {_shown(other)}: {option} {right}")
        before.add(path.resolve())


def take(config: dict[str, Any], files: Sequence[Path], root: Path) -> None:
    """The same for a configuration that was merged from files, which from then on does not state the key: where it is written
    into one file, that file needs no other. Raises ConfigError."""
    require(files, root)
    config.pop(KEY, None)


def in_order(files: Sequence[Path], root: Path) -> list[Path]:
    """The files, each once and after all that it belongs on top of. Raises ConfigError."""
    found: dict[Path, Path] = {}
    for path in map(Path, files):
        for one in [*reversed([*_all_below(path, root)]), path]:
            found.setdefault(one.resolve(), one)
    return list(found.values())


def _all_below(path: Path, root: Path) -> Iterator[Path]:
    """What a file belongs on top of, what that one belongs on top of, and so on."""
    seen = {path.resolve()}
    while (other := _below(path, root)) and other.resolve() not in seen:
        seen.add(other.resolve())
        yield other
        path = other


def _below(path: Path, root: Path) -> Path | None:
    named = stated_in(path).get(KEY)
    if named is None:
        return None
    if not isinstance(named, str) or not (root / named).is_file():
        raise ConfigError(
            f"config: {_shown(path)}: {KEY} = {named!r} is no file of the project; write its path from the root of the "
            "project, as config/paper.yaml."
        )
    return root.resolve() / named


def _shown(path: Path) -> str:
    """A path as it may be typed here."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here)) if path.is_absolute() and whole.is_relative_to(here) else str(path)
