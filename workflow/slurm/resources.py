"""What the jobs after training ask of a machine: CPUs, GPUs, memory and minutes, which grow when a job is tried again.

Training's own request is in workflow/slurm/launch.py: it continues where it was, so that its time does not grow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asymgrpo.study.config import Study


def growing(amount: int) -> Callable[[object, int], int]:
    """Memory or minutes of attempt 1, 2, 3, ...: half as much again each time, because the last attempt may have lacked it.

    >>> [growing(8000)(None, attempt) for attempt in (1, 2, 3)]
    [8000, 12000, 16000]
    """
    return lambda wildcards, attempt: amount * (attempt + 1) // 2


@dataclass(frozen=True)
class Resources:
    """Of one job on one node."""

    cpus: int
    gpu: int | None
    """None asks for no GPU at all."""
    mem_mb: int
    runtime: int
    """Minutes. A job that is not resumable must get through within it, and sampling through its longest benchmark."""


def sampling(study: Study) -> Resources:
    """All benchmarks of one run, from each selected checkpoint: one GPU where the study has any.

    The host holds the weights of one checkpoint while they are loaded. A job that runs out of time has kept the benchmarks that
    it finished, so further benchmarks get less than the first.
    """
    more = len(study.evaluation.benchmarks) - 1
    if study.machine.has_gpus:
        return Resources(cpus=8, gpu=1, mem_mb=64_000, runtime=480 + 120 * more)
    return Resources(cpus=1, gpu=None, mem_mb=8_000, runtime=120 + 30 * more)


def probing(study: Study) -> Resources:
    """One trajectory with its states: training in float32 on one device, and some ten updates in each state. A job that runs out
    of time has kept the states that it finished."""
    if study.machine.has_gpus:
        return Resources(cpus=8, gpu=1, mem_mb=128_000, runtime=1440)
    return Resources(cpus=1, gpu=None, mem_mb=8_000, runtime=120)


def grading(study: Study) -> Resources:
    """All samples of one run, some hundred answers a second on each CPU: a hundred thousand at the paper's scale."""
    if study.machine.has_gpus:
        return Resources(cpus=8, gpu=None, mem_mb=16_000, runtime=120)
    return Resources(cpus=1, gpu=None, mem_mb=4_000, runtime=60)
