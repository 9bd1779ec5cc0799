"""The report of one part: what was measured, what was wrong. It is written after every section, so that a crash loses one."""

from __future__ import annotations

import gc
import json
import math
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

LINES = 12
"""Of a traceback, the last ones."""


class Report:
    """A section's exception ends the section, not the part; a bound that does not hold is noted, and the section goes on."""

    def __init__(self, part: str, name: str, path: Path):
        self.part, self.name, self.path = part, name, path
        self.began = time.perf_counter()
        self.measured: dict[str, Any] = {}
        self.problems: list[str] = []
        self.rates: dict[str, float] = {}
        """Values for the planner's rates, see `rate`."""
        self.sections = 0

    @contextmanager
    def section(self, name: str) -> Iterator[dict[str, Any]]:
        """One thing to look at -> the dictionary for what it measures."""
        found: dict[str, Any] = {}
        self.measured[name] = found
        self.sections += 1
        self.say(f"{name} ...")
        start = time.perf_counter()
        try:
            yield found
        except Exception as error:
            told = traceback.format_exception(error)
            self.problems.append(f"{name}: {''.join(told[-LINES:])[-2500:].strip()}")
            del told
        found["seconds"] = round(time.perf_counter() - start, 3)
        self.say(f"{name}: {json.dumps(found, default=str)}")
        release()
        self.write(finished=False)

    def require(self, ok: bool, text: str) -> None:
        if not ok:
            self.problems.append(text)
            self.say(f"NOT OK: {text}")

    def at_most(self, what: str, value: float, bound: float) -> None:
        """NaN is not at most anything."""
        self.require(value <= bound, f"{what} is {value:.6g}, more than {bound:.6g}")

    def at_least(self, what: str, value: float, bound: float) -> None:
        self.require(value >= bound, f"{what} is {value:.6g}, less than {bound:.6g}")

    def rate(self, name: str, value: float) -> None:
        """A value for a field of asymgrpo.planner.time.Rates. What the planner has no field for, or cannot be, is left out."""
        from asymgrpo.planner.time import Rates

        known = name in {field.name for field in fields(Rates)}
        if known and math.isfinite(value) and value > 0:
            self.rates[name] = value
        else:
            self.say(f"no rate for the planner: {name} = {value}")

    def say(self, text: str) -> None:
        print(f"[{self.part} {time.perf_counter() - self.began:.1f}s] {text}", file=sys.stderr, flush=True)

    def line(self, finished: bool) -> dict[str, Any]:
        return {
            "part": self.part,
            "name": self.name,
            "passed": finished and self.sections > 0 and not self.problems,
            "seconds": round(time.perf_counter() - self.began, 1),
            "measured": finite(self.measured),
            "reason": "\n".join(self.problems) or None,
            "rates": finite(self.rates),
            "finished": finished,
        }

    def write(self, finished: bool) -> None:
        self.path.write_text(json.dumps(self.line(finished), default=str) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """The same with NaN and infinities as text, which JSON has no numbers for."""
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def release() -> None:
    """Give back what the section before held."""
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
