"""What SLURM's accounting says of a study's jobs: `sacct` text in, one `JobCost` per job of the workflow out.

A job of the workflow is found by the line that submitted it, which names the rule and its wildcards (`--target-jobs`), and the
study by the results folder of that line. An allocation that was requeued appears once per start, so that lost work counts too.
The steps of an allocation that ran several jobs (a group) share its hours in proportion to their seconds.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

FIELDS = ("JobIDRaw", "JobName", "State", "ElapsedRaw", "TotalCPU", "MaxRSS", "AllocTRES", "WorkDir", "SubmitLine")
"""Of sacct; the line that submitted comes last, because it may hold the separator."""
PATIENCE = 300
"""Seconds that sacct may take; without a SLURM behind it, it tries for a minute."""
UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@dataclass(frozen=True)
class JobCost:
    """One start of one job. Hours are those of the allocation: CPUs or GPUs x time, used or not; None is unknown."""

    job_id: str
    rule: str
    wildcards: dict[str, str]
    state: str
    """COMPLETED, or why SLURM ended this start: TIMEOUT, OUT_OF_MEMORY, PREEMPTED, REQUEUED, NODE_FAIL, CANCELLED, FAILED, ..."""
    seconds: float
    cpu_hours: float | None
    gpu_hours: float | None
    cpu_hours_used: float | None
    max_rss_gb: float | None
    """High-water mark of memory, 1e9 bytes."""


@dataclass(frozen=True)
class Record:
    """One line of sacct: an allocation, or a step of one."""

    values: dict[str, str]

    @property
    def is_step(self) -> bool:
        return "." in self.values["JobIDRaw"]

    @property
    def targets(self) -> list[str]:
        return option(self.values["SubmitLine"], "--target-jobs")

    @property
    def seconds(self) -> float:
        return float(self.values["ElapsedRaw"] or 0)


def query(since: str) -> str:
    """The output of sacct for this user's jobs since a time that sacct understands (now-90days, 2026-11-01)."""
    command = ["sacct", "--duplicates", "--parsable2", "--noheader", "--noconvert", f"--format={','.join(FIELDS)}"]
    try:
        done = subprocess.run(
            [*command, f"--starttime={since}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"sacct did not answer within {PATIENCE} s; is this the cluster's head node?") from None
    if done.returncode:
        raise RuntimeError(f"sacct failed: {done.stderr.strip() or done.returncode}; is this the cluster's head node?")
    return done.stdout


def job_costs(text: str, results: Path) -> Iterator[JobCost]:
    """Jobs of the study with this results folder, in sacct's order."""
    for allocation, steps in allocations(text):
        line, place = allocation.values["SubmitLine"], Path(allocation.values["WorkDir"])
        if allocation.targets and results_folder(line, place) == results.resolve():
            yield from _costs(allocation, steps)


def allocations(text: str) -> Iterator[tuple[Record, list[Record]]]:
    """Each start of each allocation with its steps."""
    current: tuple[Record, list[Record]] | None = None
    for line in text.split("\n"):  # str.splitlines would cut a job's command at U+2028
        parts = line.split("|", len(FIELDS) - 1)
        if len(parts) < len(FIELDS):
            continue
        record = Record(dict(zip(FIELDS, parts, strict=True)))
        if not record.is_step:
            if current:
                yield current
            current = record, []
        elif current:
            current[1].append(record)
    if current:
        yield current


def _costs(allocation: Record, steps: list[Record]) -> Iterator[JobCost]:
    cpus, gpus = allocated(allocation.values["AllocTRES"])
    whole = JobCost(
        job_id=allocation.values["JobIDRaw"],
        rule="",
        wildcards={},
        state=allocation.values["State"].split(" ")[0],
        seconds=allocation.seconds,
        cpu_hours=cpus * allocation.seconds / 3600,
        gpu_hours=gpus * allocation.seconds / 3600,
        cpu_hours_used=None,
        max_rss_gb=None,
    )
    if len(allocation.targets) == 1:
        rule, wildcards = job_key(allocation.targets[0])
        used = hours(allocation.values["TotalCPU"])
        yield replace(whole, rule=rule, wildcards=wildcards, cpu_hours_used=used, max_rss_gb=_peak(steps))
        return
    parts = [step for step in steps if len(step.targets) == 1]
    total = sum(step.seconds for step in parts) or 1.0
    for step in parts:
        rule, wildcards = job_key(step.targets[0])
        share = step.seconds / total
        yield replace(
            whole,
            rule=rule,
            wildcards=wildcards,
            state=step.values["State"].split(" ")[0],
            seconds=step.seconds,
            cpu_hours=share * (whole.cpu_hours or 0),
            gpu_hours=share * (whole.gpu_hours or 0),
            cpu_hours_used=hours(step.values["TotalCPU"]),
            max_rss_gb=_peak([step]),
        )


def _peak(steps: Iterable[Record]) -> float | None:
    found = [gigabytes(step.values["MaxRSS"]) for step in steps if step.values["MaxRSS"]]
    return max(found, default=None)


def option(line: str, name: str) -> list[str]:
    """The words that follow an option in a command line, up to the next option.

    >>> option("snakemake --target-jobs 'train:model=m,arm=a,seed=0' 'score:' --cores 2", "--target-jobs")
    ['train:model=m,arm=a,seed=0', 'score:']
    """
    try:
        words = shlex.split(line)
    except ValueError:  # a quote of the user's own configuration
        words = [word.strip("'") for word in line.split()]
    if name not in words:
        return []
    found = []
    for word in words[words.index(name) + 1 :]:
        if word.startswith("--"):
            break
        found.append(word)
    return found


def job_key(target: str) -> tuple[str, dict[str, str]]:
    """Rule and wildcards of a target.

    >>> job_key("train:model=tiny,arm=grpo,seed=0")
    ('train', {'model': 'tiny', 'arm': 'grpo', 'seed': '0'})
    >>> job_key("score:")
    ('score', {})
    """
    rule, _, text = target.partition(":")
    return rule, dict(pair.split("=", 1) for pair in text.split(",") if pair)


def results_folder(line: str, place: Path) -> Path:
    """The results folder of the study that a job belongs to: of `--config`, else of the last configuration file that names one.

    `line` is the command of the job, or the one that submitted it; `place` its working directory.
    """
    for pair in option(line, "--config"):
        if pair.startswith("results="):
            return (place / pair.removeprefix("results=").strip("'\"")).resolve()  # Snakemake quotes text for its jobs
    for file in reversed(["config/default.yaml", *option(line, "--configfiles")]):
        path = place / file
        named = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("results") if path.is_file() else None
        if named:
            return (place / named).resolve()
    return (place / "results").resolve()


def allocated(tres: str) -> tuple[int, int]:
    """CPUs and GPUs of a list of trackable resources.

    >>> allocated("billing=8,cpu=8,gres/gpu:h100=2,gres/gpu=2,mem=64G,node=1")
    (8, 2)
    >>> allocated("")
    (0, 0)
    """
    found = dict(pair.split("=", 1) for pair in tres.split(",") if pair)
    kinds = sum(int(value) for key, value in found.items() if key.startswith("gres/gpu:"))
    return int(found.get("cpu", 0)), int(found.get("gres/gpu", kinds))


def hours(text: str) -> float:
    """Hours of sacct's [days-][hours:]minutes:seconds.

    >>> hours("1-12:30:00"), hours("45:30.5") * 3600
    (36.5, 2730.5)
    """
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in (clock or "0").split(":"):
        seconds = 60 * seconds + float(part)
    return 24 * int(days or 0) + seconds / 3600


def gigabytes(text: str) -> float:
    """1e9 bytes of a number with SLURM's unit (binary; without one, bytes).

    >>> gigabytes("500000K"), gigabytes("1G")
    (0.512, 1.073741824)
    """
    match = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return float(match[1]) * UNITS[match[2]] / 1e9 if match else 0.0
