"""A signal that SLURM sends to a job, on its way to training.

SLURM signals a job's steps, and of a step only the process that it started itself. That is training where a run has several ranks
(workflow/launch.py); a run of one rank is a grandchild of Snakemake, which a signal that it does not know would kill.
"""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path

import psutil


def pass_on(number: int) -> None:
    """From now on hand the signal to every descendant that is prepared for it, and live."""

    def hand_down(*_: object) -> None:
        for process in psutil.Process().children(recursive=True):
            if catches(process.pid, number):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    signal.signal(number, hand_down)


def catches(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal: it would end without one.

    >>> import os, signal
    >>> catches(os.getpid(), signal.SIGINT), catches(os.getpid(), signal.SIGUSR2)
    (True, False)
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(caught and int(caught[1], 16) >> (number - 1) & 1)
