"""Seconds by phase of a step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PHASES = ("rollout", "reward", "score", "update", "sync", "evaluate", "checkpoint", "other")


class Stopwatch:
    """Adds up wall-clock seconds per phase; phases do not nest.

    >>> clock = Stopwatch()
    >>> with clock("rollout"):
    ...     pass
    >>> clock.row(1)["rollout"] >= 0
    True
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start

    def row(self, step: int) -> dict[str, float]:
        return {"step": step, **self.seconds}
