"""Intervals for benchmark means and for differences between arms, training-seed variance included.

**Data.** One value per (training seed s, problem p): avg@n, pass@k or maj@k of that cell, a matrix
[S, P] per benchmark. Problems are crossed with seeds (every seed answers every problem); samples are
nested in the cell.

**Model.** y[s, p] = mean + seed[s] + problem[p] + rest[s, p]. Sampling noise is inside `rest`:
resampling samples *and* problems counts it twice (nominal 95 % covered 100 % of studies with 5 seeds and
nothing but sampling noise). Resampling a few seeds with replacement shows too little spread (51 % with 2
seeds and nothing but seed variance). Both were measured on the studies of tests/evals/test_stats.py.

**Method.** A hierarchical bootstrap in which each level is drawn with the variance of its own:

1. problems, with the samples in them, are resampled within their benchmark, scaled by sqrt(P / (P - 1));
2. the seed variance is the variance of the seed means less the part that `rest` explains (analysis of
   variance of a crossed design). Where it comes out negative it is taken off the problem level rather
   than set to 0, so that the total stays unbiased;
3. seed effects are drawn from a normal law: a handful of seeds does not show a shape;
4. the scale of each level is drawn anew as df / chi2_df, so that few seeds give Student's width (exactly
   so where one level is all there is: S - 1 or P - 1 degrees of freedom; Welch's for two arms).

The interval of a mean m takes the percentiles of the draws to the score scale, as Wilson's interval does:
for the percentile d its end x solves (x - m)^2 = d^2 x (1 - x) / (m (1 - m)). It stays inside [0, 1], leans
the right way where success is rare and stays short where nearly everything is solved. The interval of a
difference is the plain percentile interval. Problems and seeds are both random: the intervals speak about
new problems of the same kind and new training seeds.

**Limits, said aloud.** An arm with two seeds of its own has one degree of freedom and a very wide
interval; `pooled_seed_variance` borrows from the other arms, at the price of an assumption. With one
seed and no pooling the seed variance is unknown: the interval covers problems and samples only, and
`n_seeds == 1` marks it. If every cell is 0 (or every cell 1) there is nothing to resample, and the exact
binomial interval for P problems is used. Few problems with very rare success (30 problems, mean 3 %)
give coverage slightly below nominal (mean 9 %: 92.7 % measured).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.estimates.bootstrap import Cells, Levels, SeedVariance, draw_deviations, rest_variance, split_levels

DIGITS = 12
"""Decimals kept: below the noise of the draws, above the differences between linear algebra libraries."""


@dataclass(frozen=True)
class Interval:
    """A mean over problems and seeds with its interval; fractions, not per cent."""

    estimate: float
    ci_low: float
    ci_high: float
    std_error: float
    n_seeds: int
    n_problems: int


@dataclass(frozen=True)
class Difference:
    """Arm A minus arm B on the same problems; `p_value` is two-sided for no difference."""

    estimate: float
    ci_low: float
    ci_high: float
    std_error: float
    p_value: float
    n_seeds_a: int
    n_seeds_b: int
    n_problems: int


def own_seed_variance(cells: Cells) -> SeedVariance | None:
    """The seed variance as one arm shows it, None with a single seed."""
    n_seeds = cells[0].shape[0]
    if n_seeds < 2:
        return None
    seed_means = np.mean([block.mean(axis=1) for block in cells], axis=0)
    rest = sum(rest_variance(block) for block in cells) / len(cells) ** 2
    return SeedVariance(float(seed_means.var(ddof=1)), rest, n_seeds - 1)


def pooled_seed_variance(arms: Sequence[Cells]) -> SeedVariance | None:
    """One seed variance for several arms: their own ones weighted by degrees of freedom.

    Assumes that training seeds matter equally in all these arms, as a one-way analysis of variance does.
    With 2 or 3 seeds per arm this is what makes intervals useful: 7 arms of 2 seeds have 7 degrees of
    freedom together instead of 1 each. An arm more erratic than the others gets too short an interval.
    Where arms share their seeds' random numbers, their seed effects may be correlated: the variance stays
    unbiased, but the degrees of freedom are then fewer than counted.
    None if no arm has two seeds.
    """
    own = [variance for variance in map(own_seed_variance, arms) if variance is not None]
    if not own:
        return None
    degrees = sum(variance.degrees for variance in own)
    between = sum(variance.degrees * variance.between for variance in own) / degrees
    rest = sum(variance.degrees * variance.rest for variance in own) / degrees
    return SeedVariance(between, rest, degrees)


def mean_intervals(
    arms: Sequence[Cells],
    seed_variances: Sequence[SeedVariance | None],
    *,
    seed: int,
    draws: int,
    level: float,
) -> list[Interval]:
    """`mean_interval` for many arms or metrics over the same benchmarks in one go."""
    if not arms:
        return []
    levels = [split_levels([c], [1.0], [v]) for c, v in zip(arms, seed_variances, strict=True)]
    deviations = draw_deviations(levels, seed, draws)
    tails = np.quantile(deviations, _tails(level), axis=1)
    return [
        _interval(cells, split, float(low), float(high), level)
        for cells, split, low, high in zip(arms, levels, *tails, strict=True)
    ]


def mean_interval(cells: Cells, seed_variance: SeedVariance | None, *, seed: int, draws: int, level: float) -> Interval:
    """Mean over benchmarks of the mean over seeds and problems, with its hierarchical bootstrap interval.

    Args:
        cells: one [S, P] matrix of fractions per benchmark. A single benchmark is a list of one; several
            are averaged with equal weight whatever their size (the paper's last column).
        seed_variance: `own_seed_variance(cells)`, a pooled one, or None where it is unknown or nothing
            was trained (the base model): the interval then covers problems and samples only.
        seed: names the random stream.
        draws: bootstrap draws; 10,000 for published numbers.
        level: nominal coverage, 0.95 in the tables.

    Raises:
        ValueError: a matrix is empty or not finite, or the benchmarks differ in their number of seeds.

    >>> cells = [np.full((3, 8), 0.25)]
    >>> got = mean_interval(cells, own_seed_variance(cells), seed=0, draws=1000, level=0.95)
    >>> got.estimate, got.ci_low, got.ci_high
    (0.25, 0.25, 0.25)
    """
    return mean_intervals([cells], [seed_variance], seed=seed, draws=draws, level=level)[0]


def paired_difference(
    a: Cells,
    b: Cells,
    seed_variances: tuple[SeedVariance | None, SeedVariance | None],
    *,
    seed: int,
    draws: int,
    level: float,
) -> Difference:
    """Arm A minus arm B: paired by problem, with independent training seeds.

    The problem level resamples the *differences* per problem, so what makes a problem hard for both arms
    cancels. The p value is the share of draws at least as far out as the estimate, (1 + count) / (1 + draws).

    Args:
        a: cells of arm A, one [S_a, P] matrix per benchmark.
        b: cells of arm B, [S_b, P], problems in the same order.
        seed_variances: of A and of B, as in `mean_interval`; twice the same if pooled.
        seed, draws, level: as in `mean_interval`.

    Raises:
        ValueError: the arms do not have the same problems, or as in `mean_interval`.
    """
    return paired_differences([(a, b, seed_variances)], seed=seed, draws=draws, level=level)[0]


Pair = tuple[Cells, Cells, tuple[SeedVariance | None, SeedVariance | None]]
"""Cells of arm A and of arm B, and their seed variances."""
AT_ONCE = 64  # contrasts; bounds the memory at AT_ONCE * draws doubles


def paired_differences(pairs: Sequence[Pair], *, seed: int, draws: int, level: float) -> list[Difference]:
    """`paired_difference` for many pairs of arms on the same benchmarks in one go: their draws resample the same problems."""
    found = []
    for start in range(0, len(pairs), AT_ONCE):
        some = pairs[start : start + AT_ONCE]
        for a, b, _ in some:
            if [block.shape[1] for block in a] != [block.shape[1] for block in b]:
                raise ValueError("a paired difference needs the same problems in both arms")
        splits = [split_levels([a, b], [1.0, -1.0], variances) for a, b, variances in some]
        for pair, split, deviations in zip(some, splits, draw_deviations(splits, seed, draws), strict=True):
            found.append(_difference(pair, split, deviations, level))
    return found


def _difference(pair: Pair, split: Levels, deviations: NDArray[np.float64], level: float) -> Difference:
    a, b, _ = pair
    low, high = np.quantile(split.estimate + deviations, _tails(level))
    extreme = int(np.count_nonzero(np.abs(deviations) >= abs(split.estimate) - 1e-12))
    return Difference(
        round(split.estimate, DIGITS),
        round(max(-1.0, float(low)), DIGITS),
        round(min(1.0, float(high)), DIGITS),
        round(split.std_error, DIGITS),
        (1 + extreme) / (1 + len(deviations)),
        a[0].shape[0],
        b[0].shape[0],
        sum(block.shape[1] for block in a),
    )


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's step-down adjustment: family-wise error over all comparisons passed together.

    Four lines of our own, tested against statsmodels, whose import takes longer than all comparisons of a study.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepwise = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepwise, 1.0)
    return adjusted


def _interval(cells: Cells, split: Levels, low: float, high: float, level: float) -> Interval:
    n_problems = sum(block.shape[1] for block in cells)
    if split.estimate in (0.0, 1.0):
        ends = _exact_binomial(split.estimate == 1.0, n_problems, level)
    else:
        ends = _score_end(split.estimate, low), _score_end(split.estimate, high)
    return Interval(
        round(split.estimate, DIGITS),
        round(ends[0], DIGITS),
        round(ends[1], DIGITS),
        round(split.std_error, DIGITS),
        cells[0].shape[0],
        n_problems,
    )


def _score_end(estimate: float, deviation: float) -> float:
    """The end of the interval on the side of `deviation`: the x that is as far from the estimate as its *own* variance says.

    Solves (x - estimate)^2 = deviation^2 * x (1 - x) / (estimate (1 - estimate)), as Wilson's interval does for a binomial: it
    stays inside [0, 1], leans the right way near 0 and 1, and does not explode there as a logit scale does.

    >>> round(_score_end(0.5, 0.1), 3), round(_score_end(0.999, -0.001), 4)
    (0.598, 0.9974)
    """
    spread = estimate * (1 - estimate)
    a = deviation**2 / spread
    root = np.sqrt(a**2 + 4 * a * spread)
    return float((2 * estimate + a + np.copysign(root, deviation)) / (2 * (1 + a)))


def _exact_binomial(all_succeed: bool, trials: int, level: float) -> tuple[float, float]:
    """Clopper and Pearson's interval where all trials succeed, or none: its open end x solves x^trials = (1 - level) / 2.

    >>> low, high = _exact_binomial(True, 40, 0.95)
    >>> round(low, 4), high
    (0.9119, 1.0)
    """
    end = _tails(level)[0] ** (1 / trials)
    return (end, 1.0) if all_succeed else (0.0, 1 - end)


def _tails(level: float) -> list[float]:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, found {level}")
    return [(1 - level) / 2, (1 + level) / 2]
