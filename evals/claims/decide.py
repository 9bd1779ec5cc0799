"""From differences between training runs to verdicts: t tests over seeds, Holm over all claims, and what an interval says.

**Unit.** Training seeds are the unit of replication; the problems are the study's own. An interval speaks about new training
seeds on these problems. Arms of one seed share their random numbers (prompts, batches, sampling), so a contrast of arms is formed
within each seed and tested over the seeds with Student's t: with 5 to 8 seeds the normal law would be too sure.

**Base model.** It is not trained and has no seeds; the sampling variance of its answers is added to the squared standard error,
with Welch's degrees of freedom.

**Several parts.** A claim that several differences are all positive ("better than each alone") is about the smallest of them.
All parts must pass at the same level (intersection-union test); the upper end divides its level by the number of parts.

**Several claims.** Two-sided p values of all claims tested in a study are adjusted together by Holm's step-down method: the
chance of any false rejection is at most 5 %. The intervals have the level of Holm's last step,
1 - 0.05 / (claims - rejections), so that an interval leaves out 0 exactly if Holm rejects.

**Verdicts**, with every contrast written so that positive favours the claim:

- `supported`: the interval is above 0;
- `not supported`: the interval is below the smallest effect that would matter (this includes an interval below 0). It is the half
  of an equivalence test (TOST) that bears on a claim with a direction;
- `inconclusive`: neither;
- `not tested at this scale`: an arm was not run, there are fewer than three seeds, or a run of the contrast diverged.

**Diverged runs.** A claim is not tested if one of the runs that it compares diverged: over the seeds that are left it would be
about the runs that went well, and speak for an arm that does not always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from evals.estimates.stats import DIGITS, holm

ALPHA = 0.05
MIN_SEEDS = 3
BASE = "base"


class Conclusion(StrEnum):
    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTED = "not tested at this scale"


@dataclass(frozen=True)
class Measured:
    """A measure of one arm by training seed; `sampling_sd` of the base model's single value, 0 where it is unknown; `diverged`:
    the steps at which other seeds diverged."""

    values: Mapping[int, float]
    sampling_sd: float = 0.0
    diverged: Mapping[int, int] = field(default_factory=dict)

    @property
    def seeds(self) -> set[int]:
        """All that were trained."""
        return {*self.values, *self.diverged}


@dataclass(frozen=True)
class Effect:
    """A contrast of arms: mean over seeds, standard error, degrees of freedom, number of seeds."""

    estimate: float
    std_error: float
    degrees: float
    n_seeds: int

    def end(self, tail: float) -> float:
        """The end of the confidence interval that leaves out `tail` below it (upper end: above 0.5)."""
        return self.estimate + float(stdtrit(self.degrees, tail)) * self.std_error


@dataclass(frozen=True)
class Decision:
    """The verdict on a claim; estimate, interval and standard error are those of its weakest part."""

    estimate: float
    ci_low: float
    ci_high: float
    ci95_low: float
    ci95_high: float
    std_error: float
    degrees: float
    n_seeds: int
    p_value: float
    p_holm: float
    level: float
    n_tests: int
    verdict: Conclusion


def effect(weights: Mapping[str, float], arms: Mapping[str, Measured]) -> Effect | None:
    """The contrast sum of weight x measure over the seeds that all its trained arms share; None if untestable.

    >>> arms = {"a": Measured({0: 3.0, 1: 4.0, 2: 5.0}), "b": Measured({0: 1.0, 1: 2.0, 2: 4.0, 3: 9.0})}
    >>> found = effect({"a": 1, "b": -1}, arms)
    >>> round(found.estimate, 6), round(found.std_error, 6), found.degrees, found.n_seeds
    (1.666667, 0.333333, 2.0, 3)
    >>> effect({"a": 1, "c": -1}, arms) is None
    True
    """
    trained = [arm for arm in weights if arm != BASE]
    if not trained or not all(arm in arms for arm in weights):
        return None
    seeds = sorted(set.intersection(*(set(arms[arm].values) for arm in trained)))
    if len(seeds) < MIN_SEEDS:
        return None
    differences: NDArray[np.float64] = sum(
        (weights[arm] * np.array([arms[arm].values[seed] for seed in seeds]) for arm in trained),
        np.zeros(len(seeds)),
    )
    from_seeds, from_base, base = float(differences.var(ddof=1)) / len(seeds), 0.0, 0.0
    if BASE in weights:
        base = weights[BASE] * next(iter(arms[BASE].values.values()))
        from_base = (weights[BASE] * arms[BASE].sampling_sd) ** 2
    degrees = len(seeds) - 1.0
    if from_base and from_seeds:
        degrees *= ((from_seeds + from_base) / from_seeds) ** 2
    error = float(np.sqrt(from_seeds + from_base))
    spread = 1e-12 * (1 + float(np.abs(differences).max()))  # equal up to rounding: nothing to estimate an error from
    return Effect(float(differences.mean()) + base, error if error > spread else 0.0, degrees, len(seeds))


def p_value(parts: Sequence[Effect]) -> float:
    """Two-sided p value for the smallest of the parts being 0; 1 where a part does not vary between seeds.

    >>> round(p_value([Effect(2.0, 1.0, 4.0, 5)]), 4), round(p_value([Effect(2.0, 1.0, 4.0, 5), Effect(9.0, 1.0, 4.0, 5)]), 4)
    (0.1161, 0.1161)
    """
    if any(part.std_error == 0 for part in parts):
        return 1.0
    ratios = [(part.estimate / part.std_error, part.degrees) for part in parts]
    in_favour = max(float(stdtr(degrees, -t)) for t, degrees in ratios)
    against = len(parts) * min(float(stdtr(degrees, t)) for t, degrees in ratios)
    return min(1.0, 2 * min(in_favour, against))


def interval(parts: Sequence[Effect], level: float) -> tuple[float, float]:
    """Confidence interval of the smallest of the parts; with one part, Student's.

    >>> low, high = interval([Effect(2.0, 1.0, 4.0, 5)], 0.95)
    >>> round(low, 3), round(high, 3)
    (-0.776, 4.776)
    """
    tail = (1 - level) / 2
    low = min(part.end(tail) for part in parts)
    return low, min(part.end(1 - tail / len(parts)) for part in parts)


def holm_level(p_holm: NDArray[np.float64]) -> float:
    """The level of Holm's last step, given the adjusted p values of a family.

    >>> round(holm_level(np.array([0.01, 0.5, 0.9])), 4)
    0.975
    """
    rejected = int(np.count_nonzero(p_holm <= ALPHA))
    return 1 - ALPHA / max(1, len(p_holm) - rejected)


def decide(claims: Sequence[Sequence[Effect]], relevant: Sequence[float]) -> list[Decision]:
    """Verdicts on all claims tested in a study, as one family.

    Args:
        claims: the parts of each claim, written so that positive favours it.
        relevant: the smallest effect that would matter, per claim, positive, in the units of its measure.
    """
    p_values = [p_value(parts) for parts in claims]
    adjusted = holm(p_values)
    level = holm_level(adjusted)
    found = []
    for parts, smallest, p, p_holm in zip(claims, relevant, p_values, adjusted, strict=True):
        low, high = interval(parts, level)
        low95, high95 = interval(parts, 1 - ALPHA)
        weakest = min(parts, key=lambda part: part.estimate)
        constant = any(part.std_error == 0 for part in parts)
        found.append(
            Decision(
                estimate=round(weakest.estimate, DIGITS),
                ci_low=round(low, DIGITS),
                ci_high=round(high, DIGITS),
                ci95_low=round(low95, DIGITS),
                ci95_high=round(high95, DIGITS),
                std_error=round(weakest.std_error, DIGITS),
                degrees=round(weakest.degrees, DIGITS),
                n_seeds=min(part.n_seeds for part in parts),
                p_value=round(p, DIGITS),
                p_holm=round(float(p_holm), DIGITS),
                level=level,
                n_tests=len(claims),
                verdict=Conclusion.INCONCLUSIVE if constant else conclude(low, high, smallest),
            )
        )
    return found


def conclude(low: float, high: float, relevant: float) -> Conclusion:
    """The verdict that follows from an interval.

    >>> [str(conclude(*ends, relevant=1.0)) for ends in ((0.1, 3), (-3, 0.9), (-1, 2))]
    ['supported', 'not supported', 'inconclusive']
    """
    if low > 0:
        return Conclusion.SUPPORTED
    return Conclusion.NOT_SUPPORTED if high < relevant else Conclusion.INCONCLUSIVE
