"""When Snakemake looks for the next job: when one ends, and not n times a second after n jobs.

Its default rate, 100 jobs a second, sets a timer of one second each time that it looks while jobs wait, and each job that ends
begins another chain of timers. After 500 jobs it looks 500 times a second at the sizes of all inputs of all waiting jobs: the
growth that snakemake/snakemake#2354 reports. Most jobs here take a second or more, and a submission to SLURM is a command of its
own, so that few studies would ever meet this rate.
"""

from __future__ import annotations

from typing import Any

DEFAULT_RATE = (100, 1)
"""Jobs and seconds of Snakemake's `--max-jobs-per-timespan` where nobody set it."""


def only_when_a_job_ends(scheduler: Any) -> None:
    """Take the default rate off a scheduler that has not begun; a rate that somebody set stays."""
    limiter = scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == DEFAULT_RATE:
        scheduler.job_rate_limiter = None
