"""Contrasts of arms with their standard errors: the primary analysis and three that check it.

**Unit.** Training seeds are the unit of replication; the problems are the study's own. An effect speaks about new training
seeds on these problems. Every contrast takes every seed of each of its arms, also where arms have different seeds.

- `pooled`, the primary analysis: arms are fixed effects with one variance between seeds, estimated from all arms of a pool
  together (n - 1 degrees of freedom from each). Arms of one seed share their random numbers, but their scores were hardly
  correlated in the exploratory study (0.04), so that pairing would cost degrees of freedom and give nothing back. (0.19 in the
  declared one; docs/evaluation.md.)
- `welch`: a variance for each arm.
- `paired`: differences within each seed that all arms share; the other seeds are left out.
- `trimmed`: Yuen's: interquartile means over seeds (a quarter of the runs left out at each end, rounded down) with winsorised
  variances, for runs that are far from the others.

Arms outside the pool (controls whose training is of another kind) have a variance of their own in every analysis. The base
model is not trained: its variance is that of drawing its answers, and is taken as known. Variances of several sources have
Satterthwaite's degrees of freedom.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

MIN_SEEDS = 3
"""Of every trained arm of a contrast."""
BASE = "base"
TRIM = 0.25


class Analysis(StrEnum):
    POOLED = "pooled"
    WELCH = "welch"
    PAIRED = "paired"
    TRIMMED = "trimmed"


@dataclass(frozen=True)
class Measured:
    """A measure of one arm by training seed; `sampling_sd` of the base model's single value, 0 where it is unknown; `diverged`:
    the steps at which other seeds diverged; `lacking`: seeds that finished and have no value of this measure."""

    values: Mapping[int, float]
    sampling_sd: float = 0.0
    diverged: Mapping[int, int] = field(default_factory=dict)
    lacking: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Effect:
    """A contrast of arms: estimate, standard error, degrees of freedom, the fewest seeds of a trained arm."""

    estimate: float
    std_error: float
    degrees: float
    n_seeds: int

    def end(self, tail: float) -> float:
        """The end of the confidence interval that leaves out `tail` below it (upper end: above 0.5).

        Without any spread between seeds there is nothing to judge by: the interval is unbounded.
        """
        if self.std_error == 0:
            return float(np.copysign(np.inf, tail - 0.5))
        return self.estimate + float(stdtrit(self.degrees, tail)) * self.std_error


@dataclass(frozen=True)
class Source:
    """A part of a contrast's squared standard error, with its degrees of freedom."""

    variance: float
    degrees: float


def effect(
    weights: Mapping[str, float],
    arms: Mapping[str, Measured],
    analysis: Analysis = Analysis.POOLED,
    pool: Collection[str] | None = None,
) -> Effect | None:
    """The contrast sum of weight x measure; None if an arm is missing or has too few seeds.

    Args:
        weights: arm -> weight; the base model may be one of the arms.
        arms: arm -> measured, of the whole study: the pool's variance comes from all of them.
        pool: arms that share one variance; None: all trained arms.

    >>> arms = {"a": Measured({0: 3.0, 1: 4.0, 2: 5.0}), "b": Measured({0: 1.0, 1: 2.0, 2: 4.0, 3: 9.0})}
    >>> found = effect({"a": 1, "b": -1}, arms)
    >>> round(found.estimate, 6), round(found.std_error, 6), found.degrees, found.n_seeds
    (0.0, 2.160247, 5.0, 3)
    >>> effect({"a": 1, "c": -1}, arms) is None
    True
    """
    trained = [arm for arm in weights if arm != BASE]
    if not trained or not all(arm in arms for arm in weights):
        return None
    n_seeds = min(len(arms[arm].values) for arm in trained)
    shared = set.intersection(*(set(arms[arm].values) for arm in trained))
    if (len(shared) if analysis is Analysis.PAIRED else n_seeds) < MIN_SEEDS:
        return None
    if analysis is Analysis.PAIRED:
        differences: NDArray[np.float64] = sum(
            (weights[arm] * np.array([arms[arm].values[seed] for seed in sorted(shared)]) for arm in trained),
            np.zeros(len(shared)),
        )
        estimate, sources, n_seeds = float(differences.mean()), [_of_mean(differences)], len(shared)
    else:
        values = {arm: np.array(list(arms[arm].values.values())) for arm in trained}
        means = {
            arm: _trimmed_mean(x) if analysis is Analysis.TRIMMED else float(x.mean()) for arm, x in values.items()
        }
        estimate = sum(weights[arm] * means[arm] for arm in trained)
        sources = _sources(weights, values, arms, analysis, pool)
    if BASE in weights:
        estimate += weights[BASE] * next(iter(arms[BASE].values.values()))
        sources.append(Source((weights[BASE] * arms[BASE].sampling_sd) ** 2, np.inf))
    error, degrees = _combined(sources)
    largest = max(abs(x) for x in chain.from_iterable(arms[arm].values.values() for arm in trained))
    return Effect(estimate, error if error > 1e-12 * (1 + largest) else 0.0, degrees, n_seeds)  # equal up to rounding


def _sources(
    weights: Mapping[str, float],
    values: Mapping[str, NDArray[np.float64]],
    arms: Mapping[str, Measured],
    analysis: Analysis,
    pool: Collection[str] | None,
) -> list[Source]:
    """What the seeds add to the squared standard error: one source for the pool, one for each arm outside it."""
    if analysis is not Analysis.POOLED:
        of_arm = _of_trimmed_mean if analysis is Analysis.TRIMMED else _of_mean
        return [_scaled(of_arm(x), weights[arm]) for arm, x in values.items()]
    inside = [arm for arm in values if pool is None or arm in pool]
    alone = [_scaled(_of_mean(x), weights[arm]) for arm, x in values.items() if arm not in inside]
    if not inside:
        return alone
    members = [arm for arm in arms if arm != BASE and (pool is None or arm in pool)]
    together = pooled_variance([list(arms[arm].values.values()) for arm in members])
    return [
        Source(together.variance * sum(weights[arm] ** 2 / len(values[arm]) for arm in inside), together.degrees),
        *alone,
    ]


def pooled_variance(arms: list[list[float]]) -> Source:
    """The variance within arms, over all of them; arms with a single seed say nothing.

    >>> pooled_variance([[1.0, 3.0], [10.0, 10.0, 10.0], [5.0]])
    Source(variance=0.6666666666666666, degrees=3)
    """
    several = [np.array(x) for x in arms if len(x) > 1]
    degrees = sum(len(x) - 1 for x in several)
    squares = sum(float(((x - x.mean()) ** 2).sum()) for x in several)
    return Source(squares / degrees, degrees)


def _of_mean(values: NDArray[np.float64]) -> Source:
    return Source(float(values.var(ddof=1)) / len(values), len(values) - 1)


def _cut(n: int) -> int:
    return int(TRIM * n)


def _trimmed_mean(values: NDArray[np.float64]) -> float:
    cut = _cut(len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _of_trimmed_mean(values: NDArray[np.float64]) -> Source:
    """Yuen's: the winsorised variance, for the values that are kept."""
    n, ordered = len(values), np.sort(values)
    cut = _cut(n)
    kept = n - 2 * cut
    winsorised = np.clip(ordered, ordered[cut], ordered[n - cut - 1])
    return Source(float(winsorised.var(ddof=1)) * (n - 1) / (kept * (kept - 1)), kept - 1)


def _scaled(source: Source, weight: float) -> Source:
    return Source(weight**2 * source.variance, source.degrees)


def _combined(sources: list[Source]) -> tuple[float, float]:
    """Standard error, and Satterthwaite's degrees of freedom."""
    total = sum(source.variance for source in sources)
    spread = sum(source.variance**2 / source.degrees for source in sources)
    return float(np.sqrt(total)), total**2 / spread if spread > 0 else np.inf if total > 0 else 1.0
