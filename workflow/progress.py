"""One line that says how far a study is, instead of Snakemake's banner and its description of each job.

For calls with ASYMGRPO_PROGRESS=1 (`make reproduce`; on a cluster as well). Warnings are shown, errors are shown as before, with
the log of the job that failed; Snakemake's own log (.snakemake/log) has every description.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

VARIABLE = "ASYMGRPO_PROGRESS"
WORDS = {"train": "trained", "sample": "sampled", "grade": "graded"}
"""Rule -> what its jobs, one for each run, have done."""
SECONDS = {"base_model": 80.0, "train": 26.0, "sample": 10.0, "grade": 3.0, "theory": 50.0, "probe_states": 60.0}
"""How long jobs take beside each other (the default study on two cores); 2 for every other rule. Only their ratios count."""
SILENT = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RUN_INFO,
    LogEvent.JOB_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.PROGRESS,
    LogEvent.SHELLCMD,
    LogEvent.RESOURCES_INFO,
}
SILENT_STARTS = (
    *("Config file ", "Assuming unrestricted shared filesystem usage", "Building DAG of jobs", "Using shell: "),
    *("Select jobs to execute", "Execute ", "Complete log(s): ", "Elapsed time: "),
)
"""How those messages begin that belong to no event."""
BETWEEN_LINES = 15.0
"""Seconds, where standard error is no terminal."""


class Line(logging.Handler):
    """Counts finished jobs and says how far the study is. A job at work is taken for half done in what it foresees."""

    def __init__(
        self,
        rules: dict[int, str],
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        pause: float = BETWEEN_LINES,
    ):
        """`rules`: number of each job that will run -> its rule."""
        super().__init__()
        self.rules, self.say, self.clock, self.pause = rules, say, clock, pause
        self.started, self.finished = set[int](), set[int]()
        self.began, self.said = clock(), -pause

    def emit(self, record: logging.LogRecord) -> None:
        event, number = getattr(record, "event", None), getattr(record, "job_id", None)
        if event == LogEvent.JOB_STARTED:
            self.started |= self.rules.keys() & set(getattr(record, "jobs", ()))
        if event != LogEvent.JOB_FINISHED or number not in self.rules:
            return
        self.finished.add(number)
        if self.clock() - self.began - self.said >= self.pause or len(self.finished) == len(self.rules):
            self.say_now()

    def say_now(self) -> None:
        """Say the line, which ends when the last job has."""
        self.said = self.clock() - self.began
        self.say(self.text())

    def text(self) -> str:
        """As `trained 3 of 14 runs, sampled 2 of 15, 9 of 60 other jobs; 4 min gone, about 6 min left`."""
        every = Counter(self.rules.values())
        done = Counter(self.rules[number] for number in self.finished)
        parts = [f"{word} {done[rule]} of {every[rule]} runs" for rule, word in WORDS.items() if every[rule]]
        others, finished = (sum(n for rule, n in counts.items() if rule not in WORDS) for counts in (every, done))
        if others:
            parts.append(f"{finished} of {others} other jobs")
        gone = self.clock() - self.began
        told = f"{minutes(gone)} gone"
        at_work = Counter(self.rules[number] for number in self.started - self.finished)
        worked = cost(done) + cost(at_work) / 2
        if done and (left := cost(every) - worked):
            told += f", about {minutes(gone * left / worked)} left"
        return f"{', '.join(parts)}; {told}"


def cost(jobs: Counter[str]) -> float:
    return sum(SECONDS.get(rule, 2.0) * n for rule, n in jobs.items())


def minutes(seconds: float) -> str:
    """
    >>> minutes(29.6), minutes(150), minutes(9000)
    ('30 s', '2.5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a message of Snakemake is none of those that the line replaces."""
    if record.levelno > logging.INFO:
        return True
    return getattr(record, "event", None) not in SILENT and not record.getMessage().startswith(SILENT_STARTS)


def asked_for() -> bool:
    return os.environ.get(VARIABLE) == "1"


def instead_of_the_banner(logger: logging.Logger, is_dry: Callable[[], bool]) -> None:
    """From now on, if the call asks for it, show of Snakemake only what the line does not replace.

    Args:
        logger: Snakemake's. is_dry: whether this is a dry run, whose descriptions are what it is for; known only later.
    """
    if not asked_for():
        return
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: is_dry() or is_shown(record))


def instead_of_descriptions(logger: logging.Logger, jobs: Iterable[Any]) -> None:
    """From now on, if the call asks for it, show the line on standard error.

    Args:
        logger: Snakemake's. jobs: those that will run.
    """
    if not asked_for():
        return
    terminal = sys.stderr.isatty()
    start = "\r\x1b[K" if terminal else ""
    rules = {job.jobid: job.rule.name for job in jobs if not job.is_norun}

    def say(text: str) -> None:
        end = "" if terminal and len(line.finished) < len(rules) else "\n"
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)

    line = Line(rules, say, pause=0 if terminal else BETWEEN_LINES)
    line.say_now()
    logger.addHandler(line)
