"""Jobs that a killed Snakemake left in SLURM's queue: they are cancelled before the same jobs are submitted again.

Two trainings of one run would be kept apart by its lock, but the second would fail. A cancelled training loses at most the steps
since its last checkpoint; its new job continues from there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

PATIENCE = 300
"""Seconds to wait for cancelled jobs to leave the queue: SLURM's KillWait, and an epilogue."""


def queued(numbers: Iterable[str]) -> list[str]:
    """Those of the job numbers that still wait, run or end. Empty where there is no SLURM."""
    wanted = sorted(set(numbers))
    if not wanted or not shutil.which("squeue"):
        return []
    done = subprocess.run(["squeue", "--me", "--noheader", "--format=%A"], capture_output=True, text=True, check=False)
    return [number for number in wanted if number in done.stdout.split()]


def cancel(numbers: Iterable[str], say: Callable[[str], object] = lambda text: print(text, file=sys.stderr)) -> None:
    """Cancel jobs and wait until they are gone.

    Raises TimeoutError naming those that do not go.
    """
    left = queued(numbers)
    if not left:
        return
    say(
        f"Cancelling jobs {', '.join(left)}, left in the queue by an earlier call; they continue from their checkpoints."
    )
    subprocess.run(["scancel", *left], check=False)
    end = time.monotonic() + PATIENCE
    while left := queued(left):
        if time.monotonic() > end:
            raise TimeoutError(f"jobs {', '.join(left)} do not leave the queue; see `scontrol show job {left[0]}`")
        time.sleep(2)


def left_behind(jobs: Iterable[Any], persistence: Any) -> set[str]:
    """SLURM's numbers of jobs that are to run, from Snakemake's notes of unfinished output."""
    return {number for job in jobs for number in persistence.external_jobids(job)}
