"""One line that says how far a study is, instead of Snakemake's description of each job.

For calls with ASYMGRPO_PROGRESS=1 (`make reproduce`; on a cluster as well). Errors are shown as before, with the log of the job
that failed; Snakemake's own log (.snakemake/log) has every description.
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
SECONDS = {"base_model": 60.0, "train": 30.0, "sample": 10.0, "grade": 4.0}
"""How long jobs take beside each other (the default study on two cores); 3 for every other rule. Only their ratios count."""
SILENT = {
    LogEvent.JOB_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.PROGRESS,
    LogEvent.SHELLCMD,
    LogEvent.RESOURCES_INFO,
}
SCHEDULING = ("Select jobs to execute", "Execute ")
BETWEEN_LINES = 15.0
"""Seconds, where standard error is no terminal."""


class Line(logging.Handler):
    """Counts finished jobs and says how far the study is."""

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
        self.finished: set[int] = set()
        self.began, self.said = clock(), -pause

    def emit(self, record: logging.LogRecord) -> None:
        number = getattr(record, "job_id", None)
        if getattr(record, "event", None) != LogEvent.JOB_FINISHED or number not in self.rules:
            return
        self.finished.add(number)
        if self.clock() - self.began - self.said >= self.pause or len(self.finished) == len(self.rules):
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
        if left := cost(every) - cost(done):
            told += f", about {minutes(gone * left / cost(done))} left"
        return f"{', '.join(parts)}; {told}"


def cost(jobs: Counter[str]) -> float:
    return sum(SECONDS.get(rule, 3.0) * n for rule, n in jobs.items())


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
    return getattr(record, "event", None) not in SILENT and not record.getMessage().startswith(SCHEDULING)


def instead_of_descriptions(logger: logging.Logger, jobs: Iterable[Any]) -> None:
    """From now on, if the call asks for it, show the line on standard error, and of Snakemake only the rest.

    Args:
        logger: Snakemake's. jobs: those that will run.
    """
    if os.environ.get(VARIABLE) != "1":
        return
    terminal = sys.stderr.isatty()
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.addFilter(is_shown)
    start, end = ("\r\x1b[K", "") if terminal else ("", "\n")
    rules = {job.jobid: job.rule.name for job in jobs if not job.is_norun}
    logger.addHandler(
        Line(
            rules,
            lambda text: print(f"{start}{text}", end=end, file=sys.stderr, flush=True),
            pause=0 if terminal else 15,
        )
    )
