"""A measure set against the doses of arms: slope and rank correlation with their intervals. Pure functions of numbers.

Arms are points at fixed doses; each counts once, whatever its seeds. Two questions have two intervals of one slope:

- over runs: would new seeds of these arms give it? A contrast of arms, variance between seeds pooled (evals.claims.effects).
- over arms: would other arms lie on this line? Least squares with arms as units, arms - 2 degrees of freedom.

The interval of Spearman's correlation draws the seeds of each arm again. Noise in the means pulls a rank correlation to 0 in
every draw, so that its percentile interval lies somewhat low.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from evals.claims.claim import trend
from evals.claims.effects import Effect, Measured, effect
from evals.estimates.robust import stratified_interval

STEP = 0.1
"""Slopes are per so much of dose."""
FEWEST = 3
"""Different doses that a slope needs."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval at the level asked for; ends None where there is none."""

    value: float
    low: float | None
    high: float | None


def slope_weights(doses: Mapping[str, float]) -> dict[str, float]:
    """The least-squares slope per STEP of dose as a contrast of arms.

    >>> {arm: round(weight, 6) for arm, weight in slope_weights({"a": 0.2, "b": 0.3, "c": 0.6}).items()}
    {'a': -0.192308, 'b': -0.076923, 'c': 0.269231}
    """
    (rise,) = trend(doses, sign=1)
    width = max(doses.values()) - min(doses.values())
    return {arm: weight * STEP / width for arm, weight in rise.items()}


def over_runs(doses: Mapping[str, float], arms: Mapping[str, Measured], pool: Collection[str]) -> Effect | None:
    """The slope as a contrast over runs; None if an arm has too few seeds."""
    return effect(slope_weights(doses), arms, pool=pool)


def over_arms(doses: Sequence[float], means: Sequence[float], level: float) -> Estimate:
    """The same slope with arms as units.

    >>> over_arms([0.0, 0.1, 0.2, 0.3], [1.0, 2.0, 3.0, 4.0], 0.95)
    Estimate(value=1.0, low=1.0, high=1.0)
    """
    x, y = np.asarray(doses) - np.mean(doses), np.asarray(means) - np.mean(means)
    slope = float(x @ y / (x @ x))
    rest = float(((y - slope * x) ** 2).sum()) / (len(x) - 2)
    half = float(stdtrit(len(x) - 2, (1 + level) / 2)) * float(np.sqrt(rest / (x @ x)))
    return Estimate(*(round(STEP * end, 12) for end in (slope, slope - half, slope + half)))


def ranks(values: Array) -> Array:
    """Ranks along the last axis, from 1; equal values share the mean of theirs.

    >>> ranks(np.array([3.0, 1.0, 3.0]))
    array([2.5, 1. , 2.5])
    """
    below = (values[..., :, None] > values[..., None, :]).sum(-1)
    same = (values[..., :, None] == values[..., None, :]).sum(-1)
    return below + (same + 1) / 2


def rank_correlation(x: Array, y: Array) -> Array:
    """Spearman's correlation along the last axis; NaN where all values are equal."""
    a, b = (r - r.mean(-1, keepdims=True) for r in (ranks(x), ranks(y)))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))


def spearman(doses: Sequence[float], runs: Sequence[Array], level: float, seed: int, draws: int) -> Estimate:
    """Spearman's correlation of doses and means of arms, with a percentile interval over runs.

    Args:
        doses: of the arms. runs: for each arm the values of its runs.
    """
    x = np.asarray(doses, float)

    def statistic(*values: Array) -> Array:
        return rank_correlation(x, np.stack([scores.mean(axis=(-2, -1)) for scores in values], axis=-1))

    ends = stratified_interval(statistic, [mine[:, None] for mine in runs], seed=seed, draws=draws, level=level)
    value = float(statistic(*(mine[:, None] for mine in runs)))
    return Estimate(value, *(ends or (None, None)))
