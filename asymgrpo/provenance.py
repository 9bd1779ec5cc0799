"""Where a result comes from: what every Parquet file says of itself. Nothing of the clock, the host or a path enters."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "transformers",
    "deepspeed",
    "vllm",
    "math-verify",
    "numpy",
    "scipy",
    "pyarrow",
    "pandas",
)
COMMIT_VARIABLE = "ASYMGRPO_COMMIT"
"""`<commit>` or `<commit>-dirty`: set by the workflow, because a container has no git and a cluster's node may have none."""


def provenance(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Git commit and dirtiness of the code, python and package versions.

    Versions are read from the installed package metadata, so nothing is imported. A package that is not installed is
    null; outside of a git checkout commit and dirtiness are null.
    """
    versions: dict[str, str | None] = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    commit = commit_of_code()
    return {
        "git_commit": commit.removesuffix("-dirty") if commit else None,
        "git_dirty": commit.endswith("-dirty") if commit else None,
        "python": platform.python_version(),
        "packages": versions,
    }


def commit_of_code() -> str | None:
    """The commit of this checkout, with `-dirty` when tracked files differ from it; None outside of a checkout."""
    if told := os.environ.get(COMMIT_VARIABLE):
        return told
    commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return commit and commit + ("-dirty" if status else "")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
