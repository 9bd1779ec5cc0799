"""Checks of where a study writes: places that Snakemake and a shell can handle, apart from the sources and from each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from asymgrpo.study.config import Study
from asymgrpo.study.layout import CONFIGURATION

ROOT = Path(__file__).parents[1].resolve()
SOURCES = (
    ".ci",
    ".git",
    ".snakemake",
    ".venv",
    "artifacts",
    "asymgrpo",
    "benchmarks",
    "config",
    "containers",
    "docs",
    "evals",
    "profiles",
    "requirements",
    "slurm",
    "tests",
    "workflow",
)
"""Folders of the checkout that hold the project itself, or its environment and state (a test compares them with git's list)."""
PATTERN, SHELL, BIND = "a pattern or a list of files", "a word of a shell", "a border between folders"
IMPOSSIBLE = {
    "{": ("a brace", PATTERN),
    "}": ("a brace", PATTERN),
    "\n": ("a line break", PATTERN),
    "\r": ("a line break", PATTERN),
    "\t": ("a tab", PATTERN),
    '"': ("a double quote", SHELL),
    "$": ("a dollar sign", SHELL),
    "`": ("a backquote", SHELL),
    "\\": ("a backslash", SHELL),
}
"""Letters that paths cannot have, and as what Snakemake reads them, or a shell when Snakemake tells jobs their configuration."""
IMPOSSIBLE_INSIDE = {":": ("a colon", BIND), ",": ("a comma", BIND)}
"""Further ones where jobs run in containers, as what Apptainer reads them."""


def places(study: Study) -> Iterator[str]:
    """Every sentence about the places of results and, unless a bundle stands for training, of checkpoints."""
    written = {"results": study.results} | ({} if study.artifacts else {"checkpoints": study.checkpoints})
    inside = IMPOSSIBLE_INSIDE if study.containers.mode == "apptainer" else {}
    read = {"data.dir": study.data.dir, "artifacts": Path(study.artifacts) if study.artifacts else None}
    for key, path in (written | read).items():
        if path is not None:
            yield from _letters(f"{key} = {str(path)!r}", str(path), IMPOSSIBLE | inside)
            yield from _borders(f"{key} = {str(path)!r}", path)
    yield from _letters(f"the path of the checkout, {str(ROOT)!r},", str(ROOT), inside)
    for key, path in written.items():
        yield from _place(key, path)
    yield from _own_folder(study.results)
    if not study.artifacts:
        yield from _apart(study.results, study.checkpoints)


def _letters(what: str, text: str, letters: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for letter, (name, meaning) in letters.items():
        if letter in text:
            yield f"config: {what} has {name} in it, which would be read as {meaning}; choose another name."
            return
    try:
        os.fsencode(text), text.encode()
    except UnicodeEncodeError:
        yield (
            f"config: {what} has letters that the locale of this shell ({sys.getfilesystemencoding()}) lacks; set PYTHONUTF8=1 "
            "or LC_ALL=C.UTF-8, or choose another name."
        )


def _borders(what: str, path: Path) -> Iterator[str]:
    if str(path).startswith("-"):
        yield f"config: {what} begins with a dash, as options of commands do; choose another name."
    if any(part != part.strip() for part in path.parts):
        yield f"config: {what} has a part that begins or ends with a blank; choose another name."


def _place(key: str, path: Path) -> Iterator[str]:
    try:
        place, below = path.resolve(), _nearest(path.resolve())
    except (OSError, RuntimeError, ValueError):
        yield f"config: {key} = {str(path)!r} cannot be resolved; choose another folder."
        return
    if ROOT.is_relative_to(place):
        yield f"config: {key} = {str(path)!r} holds the project itself; choose a folder of its own, such as {key}-NAME."
    elif place.is_relative_to(ROOT) and place.relative_to(ROOT).parts[0] in SOURCES:
        among = place.relative_to(ROOT).parts[0]
        yield (
            f"config: {key} = {str(path)!r} is among the project's own files ({among}); choose a folder of its own, such as "
            f"{key}-NAME."
        )
    elif not below.is_dir():
        yield f"config: {key} = {str(path)!r} cannot be a folder, since {str(below)!r} is a file; choose another place."
    elif not os.access(below, os.W_OK | os.X_OK):
        yield f"config: {key} = {str(path)!r} cannot be written: {str(below)!r} allows it not to you; choose another place."


def _nearest(place: Path) -> Path:
    """The place itself, or the lowest folder above it that is there."""
    while not os.path.lexists(place):
        place = place.parent
    return place


def _own_folder(results: Path) -> Iterator[str]:
    """Tools read a folder of results as a whole: another study's inside it would be taken for a part."""
    place = Path(os.path.realpath(results))
    around = [parent for parent in place.parents if (parent / CONFIGURATION).is_file()]
    within = [path.parents[1] for path in place.glob(f"*/{CONFIGURATION}")] if place.is_dir() else []
    for other in (*around, *within):
        yield (
            f"config: results = {str(results)!r} and the results of another study, {str(other)!r}, lie in each other; choose two "
            "folders side by side."
        )


def _apart(results: Path, checkpoints: Path) -> Iterator[str]:
    kept, passing = (Path(os.path.realpath(path)) for path in (results, checkpoints))
    if kept.is_relative_to(passing) or passing.is_relative_to(kept):
        yield (
            f"config: checkpoints = {str(checkpoints)!r} and results = {str(results)!r} lie in each other; choose two folders "
            "side by side: results are kept, checkpoints are removed."
        )
