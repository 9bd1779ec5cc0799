"""Rates that were measured on a gpu_kind, from the machine.json of `asymgrpo accept`, in place of the assumed ones.

The file: {"device": {"name": ..., "memory_gb": ...}, "rates": {field of planner_time.Rates: value, ...}}; what else is in it is
not the planner's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from asymgrpo.planner.time import RATES, GpuKind, Rates
from asymgrpo.study.config import ConfigError

SHARES = ("training_flops", "decoding_flops", "hbm", "link", "host_link")
"""Rates that are shares of a nameplate, 1 at most."""
SAME_MEMORY = 0.15
"""Relative difference up to which a card of nameplate memory may be the same kind."""


@dataclass(frozen=True)
class Measured:
    """Rates, and for each of them that was measured the name of the device."""

    rates: Rates = RATES
    sources: Mapping[str, str] = field(default_factory=dict)
    memory_gb: float | None = None
    """Of the device that was measured."""

    def rows(self) -> list[list[str]]:
        """Rate, value, where it comes from."""
        return [
            [f.name, f"{getattr(self.rates, f.name):g}", self.sources.get(f.name, "assumed")]
            for f in fields(self.rates)
        ]

    def warning(self, kind: str, gpu_kind: GpuKind) -> str | None:
        """A sentence when the measured device cannot be of the planned kind."""
        if self.memory_gb is None or abs(self.memory_gb / gpu_kind.memory_gb - 1) <= SAME_MEMORY:
            return None
        return (
            f"**The rates were measured on a device of {self.memory_gb:.0f} GB, and {kind} has {gpu_kind.memory_gb:.0f}: shares "
            "of its nameplate may carry over, bandwidths and seconds do not.**"
        )


def read_measured(path: Path) -> Measured:
    """The rates of a machine.json. Raises ConfigError for a file that is not one, with unknown rates or impossible values."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"planner: {path} cannot be read ({reason}); give the machine.json that `asymgrpo accept` writes."
        ) from error
    device, rates = (_mapping(path, found, key) for key in ("device", "rates"))
    if not isinstance(device.get("name"), str) or not device["name"]:
        raise ConfigError(f"planner: {path} does not say which device was measured; device.name must be a name.")
    name, memory_gb = device["name"], device.get("memory_gb")
    problems = [f"planner: {path}: {why}" for key, value in rates.items() if (why := _fault(key, value))]
    if memory_gb is not None and not _is_positive(memory_gb):
        problems.append(f"planner: {path}: device.memory_gb = {memory_gb!r} is not a positive number.")
    if problems:
        raise ConfigError("\n".join(problems))
    return Measured(replace(RATES, **rates), dict.fromkeys(rates, f"measured on {name}"), memory_gb)


def _mapping(path: Path, found: Any, key: str) -> dict[str, Any]:
    part = found.get(key) if isinstance(found, dict) else None
    if not isinstance(part, dict):
        raise ConfigError(f"planner: {path} has no {key!r}; give the machine.json that `asymgrpo accept` writes.")
    return part


def _fault(key: str, value: Any) -> str | None:
    known = [f.name for f in fields(Rates)]
    if key not in known:
        return f"rate {key!r} is unknown; known are {', '.join(known)}."
    if not _is_positive(value):
        return f"rates.{key} = {value!r} is not a positive, finite number; measure again, or leave it out."
    if key in SHARES and value > 1:
        return f"rates.{key} = {value} is a share of the nameplate and cannot be above 1."
    return None


def _is_positive(value: Any) -> bool:
    """Finite, greater than 0, and a number: NaN and true are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
