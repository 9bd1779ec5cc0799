"""docs/architecture.md: its tree, its paths and its names are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.helpers.project_files import project_files

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("asymgrpo", "evals", "containers", "workflow")
FILES = project_files(ROOT)
TREE = TEXT.split("```")[1]
CODE = re.findall(r"`([^`\n]+)`", TEXT.replace(f"```{TREE}```", ""))
NAMES = sorted({text for text in CODE if text.split(".")[0] in PACKAGES and "." in text and "/" not in text})
PATHS = sorted({text for text in CODE if "/" in text or text == "Snakefile"})
RULES = sorted(set(re.findall(r"\b[Rr]ules? `(\w+)`", TEXT)) | set(re.findall(r"`(base_image|wheels|image)`", TEXT)))


def listed() -> Iterator[str]:
    """Paths of the tree, folders with a slash at the end. Commas separate the entries of a line, blanks separate its words."""
    above: list[str] = []
    for line in TREE.strip("\n").splitlines():
        entries = re.match(r" *([^\s,]+(?:, [^\s,]+)*)", line)
        assert entries, line
        depth = (len(line) - len(line.lstrip())) // 2
        names = entries[1].split(", ")
        del above[depth:]
        yield from ("".join(above) + name for name in names)
        above.append(names[0])


def definitions(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Functions, classes and assigned names of a module or class."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_every_entry_of_the_tree_exists():
    entries = list(listed())
    assert len(entries) == len(set(entries)) > 100
    assert [entry for entry in entries if not (ROOT / entry).exists()] == []
    assert [entry for entry in entries if (ROOT / entry).is_dir() != entry.endswith("/")] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_is_in_the_tree(package):
    folders = {
        f"{folder}/" for name in FILES if name.startswith(f"{package}/") for folder in PurePosixPath(name).parents
    }
    assert folders - {"./"} - set(listed()) == set()


def test_every_path_exists():
    assert len(PATHS) > 8
    assert [path for path in PATHS if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_defined(name):
    parts = name.split(".")
    n = next(n for n in range(len(parts), 0, -1) if (ROOT / "/".join(parts[:n])).with_suffix(".py").is_file())
    body = ast.parse((ROOT / "/".join(parts[:n])).with_suffix(".py").read_text(encoding="utf-8")).body
    for part in parts[n:]:
        assert part in definitions(body), f"docs/architecture.md names {name}: there is no {part}"
        body = getattr(definitions(body)[part], "body", [])


def test_every_rule_exists():
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert len(RULES) > 8
    assert [rule for rule in RULES if not re.search(rf"^ *rule {rule}:", rules, re.MULTILINE)] == []
