"""What a claim is: a sentence with its source, the contrast that decides it, the smallest effect that matters, and its checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Contrast = Mapping[str, float]


class Margin(NamedTuple):
    """The smallest effect that matters, in the units of the measure, and where this number comes from."""

    value: float
    source: str


@dataclass(frozen=True)
class Check:
    """A manipulation check: the mean of a measure over an arm's runs must be at least this, or the claim is not tested.

    why: what a lower value means.
    """

    measure: str
    arm: str
    at_least: float
    why: str


@dataclass(frozen=True)
class Claim:
    """A claim and its test.

    version: of the paper: "v1", "v2" or "v1, v2"; "ours" for a question that we add. place: where in the paper. measure: of
    evals.claims.measures. parts: contrasts (arm -> weight) of the measure, all of which must be positive. reading: what we took
    where the paper is open, or what it reports. untested: why no study here can test the claim; it then has no measure, no parts
    and no margin.
    """

    id: str
    version: str
    place: str
    sentence: str
    reading: str
    measure: str = ""
    parts: tuple[Contrast, ...] = ()
    margin: Margin | None = None
    checks: tuple[Check, ...] = ()
    untested: str = ""

    @property
    def arms(self) -> list[str]:
        """All that it compares, in order."""
        return list(dict.fromkeys(arm for weights in self.parts for arm in weights))


def above(better: str, *others: str) -> tuple[Contrast, ...]:
    """`better` minus each of the others.

    >>> above("a", "b", "c")
    ({'a': 1.0, 'b': -1.0}, {'a': 1.0, 'c': -1.0})
    """
    return tuple({better: 1.0, other: -1.0} for other in others)


def trend(levels: Mapping[str, float], sign: int) -> tuple[Contrast, ...]:
    """Weights of the least-squares line over the levels: its rise from the lowest to the highest level, times `sign`.

    >>> trend({"low": 0.0, "middle": 1.0, "high": 2.0}, sign=1)
    ({'low': -1.0, 'middle': 0.0, 'high': 1.0},)
    """
    x = np.array(list(levels.values()))
    centred = x - x.mean()
    weights = sign * (x.max() - x.min()) * centred / (centred**2).sum()
    return ({arm: float(weight) for arm, weight in zip(levels, weights, strict=True)},)
