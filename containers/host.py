"""How a job on the host starts Python: its environment variables, and where the project lies."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from asymgrpo.provenance import COMMIT_VARIABLE, commit_of_code

ROOT = Path(__file__).resolve().parents[1]


def in_checkout() -> bool:
    """Whether snakemake was called in the checkout; elsewhere (--snakefile, --directory) one may be that cannot be written."""
    return Path.cwd().resolve() == ROOT


def of_project(name: str) -> str:
    """A file of the project as rules name it: as it is in the checkout, where results know it so, else with its whole path.

    >>> of_project("config/default.yaml").endswith("config/default.yaml")
    True
    """
    return name if in_checkout() else str(ROOT / name)


@cache
def _commit() -> str | None:
    """The commit that all jobs of a call are told: git is asked once."""
    return commit_of_code()


def variables(offline: bool) -> dict[str, str]:
    """What every job's Python is told: nothing of the user's own site or locale, one hash seed, the commit, quiet libraries.

    Snakemake sets OMP_NUM_THREADS to the threads that the rule declares. Two OpenMP threads next to another job are slower than
    one; the cores are filled by running jobs side by side.
    """
    told = {"PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", COMMIT_VARIABLE: _commit() or ""}
    told |= {} if in_checkout() else {"PYTHONPATH": str(ROOT)}
    told |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return told | ({"HF_HUB_OFFLINE": "1"} if offline else {})


def python() -> str:
    """How a job on the host starts Python, up to the module's name; see containers.enter.prefixes for jobs in images."""
    return host_prefix(variables(offline=False))


def host_prefix(told: Mapping[str, str], for_shell: Iterable[str] = ()) -> str:
    """`env NAME=VALUE ... python -W ignore -m`, of the Python that runs the workflow; `for_shell`: words quoted already."""
    settings = " ".join([*(f"{name}={shlex.quote(value)}" for name, value in told.items()), *for_shell])
    return f"env {settings} {shlex.quote(sys.executable)} -W ignore -m"
