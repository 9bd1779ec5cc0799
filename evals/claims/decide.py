"""From contrasts to verdicts: both ends of every interval at the same level for all claims, without stepping down.

**Several parts.** A claim that several differences are all positive ("better than each alone") is about the smallest of them.
All parts must pass at the same level (intersection-union test); the upper end divides its level by the number of parts.

**Several claims.** With m declared claims, each end of each interval errs with probability 0.05 / m at most (Bonferroni). So the
chance that a study supports any claim that is false is at most 5 %, and so is the chance that it finds any effect smaller than
it is. m counts every claim that has a test, whether or not a study ran its arms: what is left out of a study never makes the
rest easier. A step-down method (Holm) would raise the level after each rejection, and then "too small" and "contradicted",
which are no rejections, have no level of their own.

**Verdicts**: evals.claims.verdict. A claim is `not tested` if an arm was not run, has fewer than three seeds or lacks the
measure in one of them, if a run of the contrast diverged (the other seeds are the runs that went well), or if a manipulation
check failed (evals.claims.checks).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr

from evals.claims.effects import Effect
from evals.claims.verdict import Conclusion, conclude, is_relevant
from evals.estimates.stats import DIGITS

ALPHA = 0.05


@dataclass(frozen=True)
class Decision:
    """The verdict on a claim; estimate, interval and standard error are those of its weakest part.

    p_value: one-sided, against the claim being false; p_family: the same times the number of claims. level: of [ci_low, ci_high];
    ci95: this claim alone.
    """

    estimate: float
    ci_low: float
    ci_high: float
    ci95_low: float
    ci95_high: float
    std_error: float
    degrees: float
    n_seeds: int
    p_value: float
    p_family: float
    level: float
    n_tests: int
    verdict: Conclusion
    relevant: bool


def p_value(parts: Sequence[Effect]) -> float:
    """One-sided p value for the smallest of the parts being 0 or less; 1 where a part does not vary between seeds.

    >>> round(p_value([Effect(2.0, 1.0, 4.0, 5)]), 4), round(p_value([Effect(2.0, 1.0, 4.0, 5), Effect(9.0, 1.0, 4.0, 5)]), 4)
    (0.0581, 0.0581)
    """
    if any(part.std_error == 0 for part in parts):
        return 1.0
    return max(float(stdtr(part.degrees, -part.estimate / part.std_error)) for part in parts)


def interval(parts: Sequence[Effect], level: float) -> tuple[float, float]:
    """Confidence interval of the smallest of the parts; with one part, Student's.

    >>> low, high = interval([Effect(2.0, 1.0, 4.0, 5)], 0.95)
    >>> round(low, 3), round(high, 3)
    (-0.776, 4.776)
    """
    tail = (1 - level) / 2
    low = min(part.end(tail) for part in parts)
    return low, min(part.end(1 - tail / len(parts)) for part in parts)


def family_level(n_claims: int) -> float:
    """The level of the intervals of a family of claims: 0.05 / n below, and as much above.

    >>> round(family_level(25), 4)
    0.996
    """
    return 1 - 2 * ALPHA / n_claims


def decide(parts: Sequence[Effect], margin: float, n_claims: int) -> Decision:
    """The verdict on one claim among `n_claims`.

    Args:
        parts: of the claim, written so that positive favours it.
        margin: the smallest effect that matters, positive, in the units of its measure.
    """
    level = family_level(n_claims)
    low, high = interval(parts, level)
    low95, high95 = interval(parts, 1 - ALPHA)
    weakest = min(parts, key=lambda part: part.estimate)
    p = p_value(parts)
    return Decision(
        estimate=round(weakest.estimate, DIGITS),
        ci_low=round(low, DIGITS),
        ci_high=round(high, DIGITS),
        ci95_low=round(low95, DIGITS),
        ci95_high=round(high95, DIGITS),
        std_error=round(weakest.std_error, DIGITS),
        degrees=round(weakest.degrees, DIGITS),
        n_seeds=min(part.n_seeds for part in parts),
        p_value=round(p, DIGITS),
        p_family=round(min(1.0, n_claims * p), DIGITS),
        level=level,
        n_tests=n_claims,
        verdict=conclude(weakest.estimate, low, high, margin),
        relevant=is_relevant(low, margin),
    )
