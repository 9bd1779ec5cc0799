"""The six verdicts: exclusive, exhaustive, and in a written order."""

import math

import numpy as np
import pytest

from evals.claims.verdict import Conclusion, conclude, is_relevant


def definitions(low: float, high: float, margin: float) -> dict[Conclusion, bool]:
    """Each verdict by its own condition, without any order: what docs/evaluation.md says."""
    return {
        Conclusion.SUPPORTED: low > 0,
        Conclusion.EQUIVALENT: low > -margin and high < margin,
        Conclusion.CONTRADICTED: high < 0,
        Conclusion.TOO_SMALL: high < margin,
    }


ORDER = (Conclusion.SUPPORTED, Conclusion.EQUIVALENT, Conclusion.CONTRADICTED, Conclusion.TOO_SMALL)


def intervals(n: int) -> list[tuple[float, float, float, float]]:
    """(estimate, low, high, margin) at random, and every interval with ends on the boundaries."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(n):
        ends = np.sort(rng.normal(size=3) * rng.choice([0.3, 1.0, 3.0]))
        found.append((float(ends[1]), float(ends[0]), float(ends[2]), float(rng.uniform(0.05, 2))))
    places = (-math.inf, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, math.inf)
    return found + [(low, low, high, 1.0) for low in places for high in places if low <= high]


def test_the_first_condition_that_holds_is_the_verdict_and_one_always_is() -> None:
    seen = set()
    for estimate, low, high, margin in intervals(5000):
        holds = definitions(low, high, margin)
        expected = next((verdict for verdict in ORDER if holds[verdict]), Conclusion.INCONCLUSIVE)
        got = conclude(estimate, low, high, margin)
        assert got is expected, (low, high, margin)
        seen.add(got)
        if got is Conclusion.INCONCLUSIVE:
            assert low <= 0 <= margin <= high, "what stays open holds both 0 and the margin"
    assert seen == set(Conclusion) - {Conclusion.NOT_TESTED}


def test_nothing_estimated_and_nothing_else_is_not_tested() -> None:
    assert conclude(None, None, None, 1.0) is Conclusion.NOT_TESTED
    for broken in ((None, 0.0, 1.0), (0.5, None, 1.0), (2.0, 0.0, 1.0), (math.nan, 0.0, 1.0)):
        with pytest.raises(ValueError, match="must lie in its interval"):
            conclude(*broken, 1.0)
    for margin in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="margin must be positive"):
            conclude(0.5, 0.0, 1.0, margin)


def test_more_data_never_turn_a_decision_around() -> None:
    """A narrower interval inside the old one keeps what was said, or says something that agrees with it."""
    agrees = {
        Conclusion.SUPPORTED: {Conclusion.SUPPORTED},
        Conclusion.EQUIVALENT: {Conclusion.EQUIVALENT, Conclusion.SUPPORTED},
        Conclusion.CONTRADICTED: {Conclusion.CONTRADICTED, Conclusion.EQUIVALENT},
        Conclusion.TOO_SMALL: {Conclusion.TOO_SMALL, Conclusion.EQUIVALENT, Conclusion.CONTRADICTED, Conclusion.SUPPORTED},
        Conclusion.INCONCLUSIVE: set(Conclusion),
    }  # fmt: skip
    rng = np.random.default_rng(1)
    for estimate, low, high, margin in intervals(3000):
        if not math.isfinite(low) or not math.isfinite(high):
            continue
        share = rng.uniform()
        inner = conclude(estimate, estimate - share * (estimate - low), estimate + share * (high - estimate), margin)
        assert inner in agrees[conclude(estimate, low, high, margin)]


def test_relevant_means_above_the_margin_and_implies_supported() -> None:
    for estimate, low, high, margin in intervals(2000):
        if is_relevant(low, margin):
            assert conclude(estimate, low, high, margin) is Conclusion.SUPPORTED
    assert not is_relevant(1.0, 1.0)
