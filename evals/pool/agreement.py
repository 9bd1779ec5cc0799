"""Whether laboratories may be pooled: every convention and the data must be the same. What differs is named with both values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asymgrpo.errors import InputError
from asymgrpo.study.agreement import changes
from evals.pool.laboratories import Laboratory

SHOWN = 5
"""Differences that a refusal tells; `asymgrpo pool check` prints all."""


class PoolError(InputError):
    """Bundles cannot be pooled; the message names what differs, and both values."""


class Difference(NamedTuple):
    """A key that two laboratories have with different values; None where one lacks it."""

    key: str
    first: str
    value: Any
    second: str
    other: Any

    def __str__(self) -> str:
        return f"{self.key} is {_short(self.value)} in {self.first} and {_short(self.other)} in {self.second}"


def between(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, value, other value) where two descriptions differ.

    A key of a growing section that a later version added counts with its default on either side (asymgrpo.study.agreement).

    >>> between({"samples": {"chain2": 4}, "selection": ["last"]}, {"samples": {"chain2": 8}, "selection": ["last"]})
    [('samples.chain2', 4, 8)]
    """
    both = {key for key, *_ in changes(other, one)}
    return [change for change in changes(one, other) if change[0] in both]


def differences(laboratories: Sequence[Laboratory]) -> list[Difference]:
    """Where the others differ from the first."""
    first, *others = laboratories
    known = first.described()
    return [
        Difference(key, first.name, value, lab.name, other)
        for lab in others
        for key, value, other in between(known, lab.described())
    ]


def repeated(laboratories: Sequence[Laboratory]) -> list[tuple[str, str, str]]:
    """(run, laboratory, laboratory) of the runs that two laboratories have: one seed, so one set of random numbers."""
    seen: dict[str, str] = {}
    found = []
    for laboratory in laboratories:
        for run in laboratory.runs:
            if run in seen:
                found.append((run, seen[run], laboratory.name))
            seen.setdefault(run, laboratory.name)
    return found


def refuse(what: str, found: Sequence[Difference], remedy: str) -> None:
    """Raise PoolError with the first differences, if there are any."""
    if found:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        raise PoolError(f"the {what} cannot be pooled: {'; '.join(map(str, found[:SHOWN]))}{more}; {remedy}.")


def refuse_repeated(what: str, laboratories: Sequence[Laboratory]) -> None:
    """Raise PoolError if two have runs of one seed; what: the word for one of them."""
    if twice := repeated(laboratories):
        (run, one, other), more = twice[0], f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
        raise PoolError(
            f"the bundles cannot be pooled: {run} is in {one} and in {other}{more}, and runs of one seed share their random "
            f"numbers; give each {what} seeds of its own."
        )


def require(laboratories: Sequence[Laboratory]) -> None:
    """Refuse laboratories with different conventions or data, or with the same seeds. Raises PoolError."""
    found = differences(laboratories)
    refuse("bundles", found, "pool those that agree (asymgrpo pool check prints all)")
    refuse_repeated("laboratory", laboratories)


def _short(value: Any) -> str:
    text = "missing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
