"""How a training run ended: it finished, or it diverged at a step. The one place that writes and reads this.

A run diverges when one of its numbers is no longer finite: a log-probability, an entropy, an advantage, a loss, a gradient norm
or a metric. The run ends there. That is a result, not a failed job: done.json states it as `outcome`, and every file made of a
diverged run carries the same entry in its metadata. A file without the entry is of a run that finished.

    {"outcome": "finished"}
    {"outcome": "diverged", "step": 3, "reason": "the entropy is not finite in step 3 (on rank 0)"}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY = "outcome"
FINISHED, DIVERGED = "finished", "diverged"


@dataclass(frozen=True)
class Diverged:
    """The step, counted from 1, that could not be completed, and a sentence that says which quantity was not finite."""

    step: int
    reason: str


class DivergedError(ArithmeticError):
    """A quantity of a training step is not finite; raised on all ranks alike."""

    def __init__(self, step: int, reason: str):
        super().__init__(reason)
        self.outcome = Diverged(step, reason)


def stated(outcome: Diverged | None) -> dict[str, Any]:
    """The entry of a file that says how its run ended; None: it finished.

    >>> stated(None)
    {'outcome': {'outcome': 'finished'}}
    """
    if outcome is None:
        return {KEY: {"outcome": FINISHED}}
    return {KEY: {"outcome": DIVERGED, "step": outcome.step, "reason": outcome.reason}}


def read(about: Mapping[str, Any]) -> Diverged | None:
    """What metadata, done.json or a record of a selection say of the run's end; None: it finished.

    >>> read(stated(Diverged(3, "the loss is nan"))), read({"arm": "grpo"}), read(stated(None))
    (Diverged(step=3, reason='the loss is nan'), None, None)
    """
    entry = about.get(KEY) or {"outcome": FINISHED}
    if entry["outcome"] not in (FINISHED, DIVERGED):
        raise ValueError(f"outcome {entry['outcome']!r} is unknown; it is {FINISHED} or {DIVERGED}")
    return Diverged(entry["step"], entry["reason"]) if entry["outcome"] == DIVERGED else None
