"""The files of the project, for tests that copy it: git knows them; in an unpacked archive all else is left out by name."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

NOT_OURS = (".venv", ".gpu-wheels", "build", "results", "checkpoints")
"""How names in the checkout's own folder begin that studies and environments make, as in .gitignore."""
CACHES = (".git", ".hypothesis", ".snakemake", "__pycache__", "built", "downloads")


def project_files(root: Path) -> list[str]:
    """Paths below `root`, sorted."""
    found = _listed(root) if (root / ".git").exists() else _walked(root)
    return sorted(name for name in found if (root / name).is_file() and not name.startswith(NOT_OURS))


def _listed(root: Path) -> list[str]:
    command = ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=True)
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _walked(root: Path) -> Iterator[str]:
    for folder, below, names in os.walk(root):
        top = Path(folder) == root
        below[:] = [
            name
            for name in below
            if name not in CACHES
            and not name.endswith(("_cache", ".egg-info"))
            and not (top and name.startswith(NOT_OURS))
        ]
        yield from (str((Path(folder) / name).relative_to(root)) for name in names if name != ".git")  # a worktree's
