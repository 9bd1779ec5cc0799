"""Aggregates of runs over benchmarks that one far run cannot move: interquartile means, performance profiles, P(A > B).

The definitions are rliable's (Agarwal et al. 2021, arXiv:2108.13264), for scores [runs, benchmarks]. The bootstrap is stratified
by arm and draws whole runs: rliable's strata are the tasks, which have runs of their own there, while here one run answers every
benchmark and its scores go up and down together. With 5 to 8 runs a percentile interval is somewhat too short; verdicts on
claims use Student's (evals.claims.effects).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""[..., runs, benchmarks] fractions."""


def interquartile_mean(scores: Scores) -> NDArray[np.float64]:
    """Mean of the middle half of all scores; a quarter is left out at each end, rounded down.

    >>> float(interquartile_mean(np.array([[0.0, 0.4], [0.6, 1.0]])))
    0.5
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)


def profile(scores: Scores, threshold: float) -> NDArray[np.float64]:
    """Share of scores above a threshold: one point of the performance profile.

    >>> float(profile(np.array([[0.0, 0.4], [0.6, 1.0]]), 0.5))
    0.5
    """
    return (scores > threshold).mean(axis=(-2, -1))


def probability_above(a: Scores, b: Scores) -> NDArray[np.float64]:
    """P(A > B): of a run of A and one of B on the same benchmark, mean over benchmarks; a tie counts half.

    >>> float(probability_above(np.array([[0.5], [0.9]]), np.array([[0.5], [0.1]])))
    0.875
    """
    wins = a[..., :, None, :] > b[..., None, :, :]
    ties = a[..., :, None, :] == b[..., None, :, :]
    return (wins + 0.5 * ties).mean(axis=(-3, -2, -1))


def stratified_interval(
    statistic: Callable[..., NDArray[np.float64]],
    arms: Sequence[Scores],
    *,
    seed: int,
    draws: int,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval of a statistic of arms, whose runs are resampled within each arm; None if an arm has a single run.

    Args:
        statistic: of as many arrays of scores as there are arms, with leading axes for draws.
        arms: [runs, benchmarks] each.
    """
    if any(len(scores) < 2 for scores in arms):
        return None
    rng = np.random.default_rng(seed)
    resampled = [scores[rng.integers(len(scores), size=(draws, len(scores)))] for scores in arms]
    low, high = np.quantile(statistic(*resampled), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
