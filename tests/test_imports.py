"""Imports point one way: no cycle, none upward, none across packages by the back door."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("asymgrpo", "evals", "containers", "workflow")
ROOMS = ("method", "verifier", "tasks", "study", "models", "rollout", "training")
"""Of asymgrpo, lowest first: each may import those before it, and the modules that lie in no room (files, seeds, errors, ...)."""
BESIDE = {
    "adapters": {"method"},
    "planner": {"method", "verifier", "tasks", "study", "models"},
    "theory": {"method", "study"},
    "probe": {"method", "verifier", "study", "models", "rollout", "training"},
}
"""Rooms that nothing in asymgrpo imports, and what they may import."""
MAY = {
    "asymgrpo": set(),
    "evals": {"asymgrpo"},
    "containers": {"asymgrpo"},
    "workflow": {"asymgrpo", "evals", "containers"},
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for name in PACKAGES for path in (ROOT / name).rglob("*.py")}


def imported(module: str) -> set[str]:
    """Modules of the project that a module imports, anywhere in it; for a type checker alone does not count."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in named}
    return found & MODULES.keys() - {module}


EDGES = {module: imported(module) for module in MODULES}


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / "asymgrpo" / parts[1]).is_dir() else None


def test_packages_import_those_below_them():
    wrong = [
        f"{module} -> {other}"
        for module, others in EDGES.items()
        for other in others
        if (mine := module.split(".")[0]) != (theirs := other.split(".")[0]) and theirs not in MAY[mine]
    ]
    assert wrong == []


def test_rooms_of_the_library_import_those_below_them():
    folders = {path.name for path in (ROOT / "asymgrpo").iterdir() if (path / "__init__.py").exists()}
    assert folders == {*ROOMS, *BESIDE}, "say where a new room stands"
    below = {name: set(ROOMS[:number]) for number, name in enumerate(ROOMS)} | BESIDE
    wrong = [
        f"{module} -> {other}"
        for module, others in EDGES.items()
        for other in others
        if module.startswith("asymgrpo.")
        and other.startswith("asymgrpo.")
        and room(module) != room(other)
        and room(other) is not None
        and (room(module) is None or room(other) not in below[room(module)])
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others():
    state: dict[str, int] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert state.get(module) != 1, " -> ".join([*path[path.index(module) :], module])
        if module not in state:
            state[module] = 1
            for other in sorted(EDGES[module]):
                visit(other, (*path, module))
            state[module] = 2

    for module in sorted(MODULES):
        visit(module, ())


def test_no_file_of_another_package_is_read_by_its_place():
    """A module finds its own files by `__file__`, and those of others by asking their module."""
    wrong = []
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        own = module.split(".")[0]
        for other in set(PACKAGES) - {own}:
            if f'/ "{other}"' in text or (f'"{other}/' in text.replace('f"', '"') and "__file__" in text):
                wrong.append(f"{module} reads {other}/")
    assert wrong == []
