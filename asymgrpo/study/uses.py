"""Where the sources read a key: expressions such as `train.truncated` in Python files, and in the rules.

Found by the names that sections have in the code. Where a whole section is handed on (`model_dump`), no key is named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from asymgrpo.study.config_errors import NAME
from asymgrpo.study.stored import ROOT

FOLDERS = ("asymgrpo", "evals", "workflow", "containers")
OWNERS = {
    NAME: ("model", "arm", "models"),
    "train": ("train", "train_of"),
    "evaluation": ("evaluation", "evaluation_of"),
}
"""Section -> last words of what stands before the dot, where they are not the section's own name."""


def read_at(path: Sequence[str], root: Path = ROOT) -> dict[str, list[int]]:
    """Files that read a key -> the lines, counted from 1."""
    found: dict[str, list[int]] = {}
    for file in sorted(_sources(root)):
        if lines := sorted(set(_lines(file, path))):
            found[file.relative_to(root).as_posix()] = lines
    return found


def _sources(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for kind in ("*.py", "*.smk"):
            yield from (root / folder).rglob(kind)
    if (root / "Snakefile").is_file():
        yield root / "Snakefile"


def _lines(file: Path, path: Sequence[str]) -> Iterator[int]:
    text, key = file.read_text(encoding="utf-8"), path[-1]
    if key not in text:
        return
    if file.suffix != ".py":  # rules are not quite Python
        whole = re.compile(rf"\bSTUDY\.{re.escape('.'.join(path))}\b")
        yield from (number for number, line in enumerate(text.splitlines(), 1) if whole.search(line))
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr == key and _is_section(node.value, path[:-1]):
            yield node.lineno


def _is_section(owner: ast.expr, section: Sequence[str]) -> bool:
    """Whether an expression is a section of the configuration, by its name."""
    if not section:
        return isinstance(owner, ast.Name) and owner.id == "study"
    if list(section) == ["study"]:
        return isinstance(owner, ast.Attribute) and owner.attr == "study"
    return _last_word(owner) in OWNERS.get(section[-1], (section[-1],))


def _last_word(owner: ast.expr) -> str:
    match owner:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=inner) | ast.Call(func=inner):
            return _last_word(inner)
    return ""
