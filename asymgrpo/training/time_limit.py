"""A job's time limit: a training stops in time to save, instead of being killed."""

from __future__ import annotations

import time
from collections.abc import Callable


class TimeLimit:
    """When to stop before a job is ended from outside: as long as another step, the longest so far and half of it, fits."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic):
        """`seconds` from now; a fifth of it, at most a minute, is left for saving and for what ran before this process."""
        self.now, self.longest = now, 0.0
        self.deadline = now() + seconds - min(60.0, seconds / 5)

    def allows_another(self, seconds: float) -> bool:
        """Whether a step may follow one that took `seconds`.

        >>> limit = TimeLimit(600, now=iter([0, 400, 420, 450]).__next__)
        >>> [limit.allows_another(seconds) for seconds in (50, 90, 10)]
        [True, False, False]
        """
        self.longest = max(self.longest, seconds)
        return self.now() + 1.5 * self.longest <= self.deadline
