"""Where a result comes from: what every Parquet file says of itself. Nothing of the clock, the host or a path enters.

What comes out of training, sampling and grading says which code and packages made it (`provenance`). What is derived from that
says what it was derived from (`derived`) and nothing of its own making: the same inputs give the same bytes at any later commit
and in an environment without torch. What does depend on the machine goes to timings.parquet and Snakemake's benchmark files
(`machine`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
CONTENT = Path("/opt/asymgrpo/content.json")
ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
COMMIT_VARIABLE = "ASYMGRPO_COMMIT"
"""`<commit>` or `<commit>-dirty`: set by the workflow, because a container has no git and a cluster's node may have none."""


def provenance(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Git commit and dirtiness of the code, python and package versions, sha256 of the locks in requirements/.

    Versions are read from the installed package metadata, so nothing is imported. A package that is not installed is
    null; outside of a git checkout commit and dirtiness are null and locks may be empty.
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
        "python": ".".join(platform.python_version_tuple()[:2]),  # its patches change no result, and images have others
        "packages": versions,
        "locks": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(REQUIREMENTS.glob("*.lock"))
        },
    }


PRODUCER = ("git_commit", "git_dirty", "python", "packages", "locks")
"""The keys of `provenance`."""


def derived(inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a table derived from files with metadata `inputs` (by name) says of its origin: {inputs, produced_by}.

    Equal descriptions are stored once: who produced an input becomes an index into `produced_by`, and a list of
    descriptions (one per sample file, say) becomes one with lists where they differ. Settings of inputs are left out: the table
    states its own, which hold them all (asymgrpo.study.settings).

    >>> code = {"git_commit": "1f", "git_dirty": False, "python": "3.11", "packages": {}, "locks": {}}
    >>> samples = [{"problems_sha256": "a", "k": 1} | code, {"problems_sha256": "b", "k": 1} | code]
    >>> found = derived({"seed0": {"data_hash": "9a", "samples": samples} | code})
    >>> found["inputs"]["seed0"]["samples"]
    {'problems_sha256': ['a', 'b'], 'k': 1, 'produced_by': 0}
    >>> found["produced_by"] == [code]
    True
    """
    producers: list[dict[str, Any]] = []

    def shortened(value: Any) -> Any:
        if isinstance(value, Mapping):
            kept = {key: item for key, item in value.items() if key not in (*PRODUCER, "settings")}
            rest = {key: shortened(item) for key, item in kept.items()}
            if "git_commit" in value:
                producer = {key: value[key] for key in PRODUCER if key in value}
                if producer not in producers:
                    producers.append(producer)
                rest["produced_by"] = producers.index(producer)
            return rest
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            return _merged([shortened(item) for item in value])
        return value

    named = {name: shortened(inputs[name]) for name in sorted(inputs)}
    return {"inputs": named, "produced_by": producers}


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        values: list[Any] = []
        for part in parts:
            if part.get(key) not in values:
                values.append(part.get(key))
        merged[key] = values[0] if len(values) == 1 else values
    return merged


def machine() -> dict[str, Any]:
    """The kind of host, without its name: architecture, processor, cores, memory (GiB), system, GPUs, container.

    For files that hold seconds and are never compared byte by byte. What cannot be found out is null or empty.
    """
    return {
        "architecture": platform.machine(),
        "processor": _first_match("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME") if Path("/etc/os-release").exists() else None,
        "gpus": [
            _first_match(path, "Model") for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        ],
        "container": container(),
    }


def _first_match(path: str | Path, key: str) -> str | None:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def container() -> str | None:
    """sha256 of what the image that this process runs in recorded of its content (containers/record.py); None outside of one."""
    return hashlib.sha256(CONTENT.read_bytes()).hexdigest() if CONTENT.exists() else None


def commit_of_code() -> str | None:
    """The commit of this checkout, with `-dirty` when tracked files differ from it; None outside of a checkout."""
    if told := os.environ.get(COMMIT_VARIABLE):
        return told
    if not (ROOT / ".git").exists():  # an unpacked archive, which may lie in a checkout of something else
        return None
    try:
        commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    except GitError as error:
        print(f"The commit of the code in {ROOT} cannot be told, and results will state none: {error}", file=sys.stderr)
        return None
    return commit + ("-dirty" if status else "")


class GitError(RuntimeError):
    """git is missing, or refuses; the message is its own."""


def _git(*arguments: str) -> str:
    """What git says of this checkout. Raises GitError.

    git refuses a checkout of another owner ("dubious ownership"), whose configuration may name programs; its code is running here
    anyway. Variables by which a hook or another tool points git elsewhere are left out. Nothing is written.
    """
    foreign = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True, env=environment | {"GIT_OPTIONAL_LOCKS": "0"})
    except OSError as error:
        raise GitError(str(error)) from None
    except subprocess.CalledProcessError as error:
        raise GitError(error.stderr.decode("utf-8", "replace").partition("\n")[0]) from None
    return done.stdout.decode("utf-8", "replace").strip()
