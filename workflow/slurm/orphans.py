"""Jobs that a killed Snakemake left in SLURM's queue: they are cancelled before the same jobs are submitted again.

Two trainings of one run would be kept apart by its lock, but the second would fail. A cancelled training loses at most the steps
since its last checkpoint; its new job continues from there. Snakemake keeps no note of their numbers once they run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from evals.cost.slurm import job_key, option, results_folder

PATIENCE = 300
"""Seconds to wait for cancelled jobs to leave the queue: SLURM's KillWait, and an epilogue."""
Key = tuple[str, frozenset[tuple[str, str]]]
"""Rule and wildcards of a job."""


def understand_sacct(root: str) -> None:
    """Put our `sacct` first on PATH: Snakemake's plugin must understand what it says of a job that was cancelled by hand."""
    if shutil.which("sacct"):
        os.environ["PATH"] = f"{root}/workflow/profiles/slurm/bin:{os.environ['PATH']}"


def keys(jobs: Iterable[Any]) -> set[Key]:
    """What jobs of Snakemake are, as SLURM's batch scripts name them."""
    return {(job.rule.name, frozenset((k, str(v)) for k, v in job.wildcards_dict.items())) for job in jobs}


def left_behind(wanted: set[Key], results: Path) -> list[str]:
    """Numbers of this user's queued jobs that make one of the wanted jobs of the study with this results folder."""
    found = []
    for line in filter(None, _said("squeue", "--me", "--noheader", "--format=%A|%Z").split("\n")):
        number, place = line.split("|", 1)
        command = _said("scontrol", "write", "batch_script", number, "-").strip().rpartition("\n")[2]
        targets = [job_key(target) for target in option(command, "--target-jobs")]
        same_job = any((rule, frozenset(wildcards.items())) in wanted for rule, wildcards in targets)
        if same_job and results_folder(command, Path(place)) == results.resolve():
            found.append(number)
    return found


def cancel(
    wanted: set[Key], results: Path, say: Callable[[str], object] = lambda text: print(text, file=sys.stderr)
) -> None:
    """Cancel what an earlier call left of the wanted jobs, and wait until it is gone.

    Raises TimeoutError naming the jobs that do not go.
    """
    if not (left := left_behind(wanted, results)):
        return
    say(
        f"Cancelling jobs {', '.join(left)}, left in the queue by an earlier call; training continues from its checkpoint."
    )
    _said("scancel", *left)
    end = time.monotonic() + PATIENCE
    while set(left) & set(_said("squeue", "--me", "--noheader", "--format=%A").split()):
        if time.monotonic() > end:
            raise TimeoutError(f"jobs {', '.join(left)} do not leave the queue; see `scontrol show job {left[0]}`")
        time.sleep(2)


def _said(*command: str) -> str:
    """Output of a SLURM command; nothing when it fails (a job may end between two questions)."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, encoding="utf-8", errors="surrogateescape"
    )
    return "" if done.returncode else done.stdout
