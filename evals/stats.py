"""Intervals for benchmark means and for differences between arms, with training-seed variance included.

**Data.** One value per (training seed s, problem p): avg@n, pass@k or maj@k of that cell, a matrix [S, P] per
benchmark. Problems are crossed with seeds (every seed answers every problem); samples are nested in the cell.

**Model.** y[s, p] = mean + seed[s] + problem[p] + rest[s, p]. Sampling noise is inside `rest`: resampling
samples *and* problems would count it twice, which is why nested bootstraps over-cover. Resampling 2 to 8 seeds
with replacement shows too little spread, which is why plain ones under-cover.

**Method.** A hierarchical bootstrap in which each level is drawn with the variance that belongs to it alone:

1. problems (with the samples in them) are resampled within their benchmark, rescaled by sqrt(P / (P - 1));
2. the seed variance is the variance of the seed means less the part that `rest` explains (analysis of variance
   for a crossed design; it may come out negative, and is then taken off the problem level, not set to 0, so that
   the total stays unbiased);
3. seed effects are drawn from a normal law: the shape cannot be learnt from a handful of seeds;
4. the scale of each level is drawn anew as (df / chi2_df), so that quantiles have Student's width for few seeds
   (in the limits exactly: Student with S - 1 or P - 1 degrees of freedom).

The interval is the percentile interval of the draws, cut at the range of the quantity. Both problems and seeds
are random: the interval speaks about new problems of the same kind and new training seeds.

**Limits, said aloud.** The seed variance is the arm's own, or pooled over arms (`pooled_seed_variance`): with two
seeds of its own an arm has one degree of freedom and an interval too wide to be of use. With one seed the seed variance is unknown: the interval covers problems and samples only
(`n_seeds == 1` marks it). If every cell is 0 (or 1) there is no variance to resample and the exact binomial
interval for P problems is used. Few problems with rare success give skewed means and coverage below nominal.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions

Cells = Sequence[NDArray[np.float64]]
"""Cell values of one arm: one matrix [S seeds, P problems] per benchmark, the same seeds in the same order."""


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
    """Arm A minus arm B on the same problems; `p_value` is two-sided for the hypothesis of no difference."""

    estimate: float
    ci_low: float
    ci_high: float
    std_error: float
    p_value: float
    n_seeds_a: int
    n_seeds_b: int
    n_problems: int


@dataclass(frozen=True)
class SeedVariance:
    """Analysis of variance of the seed means: the seeds' own variance is estimated by `between - rest`.

    between: variance (ddof 1) of the seed means. rest: the part of it that `rest` (with sampling noise) explains.
    degrees: degrees of freedom of `between`.
    """

    between: float
    rest: float
    degrees: int


@dataclass(frozen=True)
class _Components:
    """What the draws need: problem effects per benchmark, and the variance of the mean by level."""

    estimate: float
    problem_effects: tuple[NDArray[np.float64], ...]
    problem_variance: tuple[float, ...]
    seed_levels: tuple[tuple["SeedVariance", int], ...]  # per arm whose seed variance is known: (variance, S)


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on the seed and the names only, not on what was drawn before."""
    digest = hashlib.sha256("\0".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def own_seed_variance(cells: Cells) -> SeedVariance | None:
    """The seed variance as one arm shows it, or None with a single seed."""
    n_seeds = cells[0].shape[0]
    if n_seeds < 2:
        return None
    seed_means = np.mean([block.mean(axis=1) for block in cells], axis=0)
    rest = sum(_rest_variance(block) for block in cells) / len(cells) ** 2
    return SeedVariance(float(seed_means.var(ddof=1)), rest, n_seeds - 1)


def pooled_seed_variance(arms: Sequence[Cells]) -> SeedVariance | None:
    """One seed variance for several arms, their own ones weighted by degrees of freedom.

    Assumes that training seeds matter equally in all of these arms (as a one-way analysis of variance does). With
    2 or 3 seeds per arm this is what makes intervals useful: 7 arms of 2 seeds have 7 degrees of freedom instead
    of 1 each. An arm that is far more erratic than the others gets too short an interval.
    """
    own = [variance for variance in map(own_seed_variance, arms) if variance is not None]
    if not own:
        return None
    degrees = sum(variance.degrees for variance in own)
    between = sum(variance.degrees * variance.between for variance in own) / degrees
    rest = sum(variance.degrees * variance.rest for variance in own) / degrees
    return SeedVariance(between, rest, degrees)


def mean_interval(
    cells: Cells, seed_variance: SeedVariance | None, *, seed: int, draws: int, level: float
) -> Interval:
    """Mean over benchmarks of the mean over seeds and problems, with a hierarchical bootstrap interval.

    Args:
        cells: one [S, P] matrix of fractions per benchmark. One benchmark is a list of one; several are
            averaged with equal weight, whatever their size (the paper's last column).
        seed_variance: `own_seed_variance(cells)`, a pooled one, or None where it is unknown or there is no
            training (the base model): the interval then covers problems and samples only.
        seed: names the random stream. draws: bootstrap draws, 10,000 for published numbers. level: coverage.

    Raises:
        ValueError: a matrix is empty or not finite, or the benchmarks differ in their number of seeds.

    >>> cells = [np.full((3, 8), 0.25)]
    >>> got = mean_interval(cells, own_seed_variance(cells), seed=0, draws=1000, level=0.95)
    >>> got.estimate, got.ci_low, got.ci_high
    (0.25, 0.25, 0.25)
    """
    parts = _components([cells], [1.0], [seed_variance])
    n_seeds, n_problems = cells[0].shape[0], sum(block.shape[1] for block in cells)
    deviations = _draw(parts, seed, draws)
    low, high = np.quantile(parts.estimate + deviations, _tails(level))
    if parts.estimate in (0.0, 1.0):
        exact = distributions.binomtest(round(parts.estimate * n_problems), n_problems).proportion_ci(level)
        low, high = exact.low, exact.high
    return Interval(
        parts.estimate, max(0.0, float(low)), min(1.0, float(high)), _std_error(parts), n_seeds, n_problems
    )


def paired_difference(
    a: Cells,
    b: Cells,
    seed_variances: tuple[SeedVariance | None, SeedVariance | None],
    *,
    seed: int,
    draws: int,
    level: float,
) -> Difference:
    """Arm A minus arm B: paired by problem, independent training seeds.

    The problem level resamples the *differences* per problem, so what makes a problem hard for both arms cancels.
    The p value is the share of draws at least as far from 0 as the estimate, (1 + count) / (1 + draws).

    Args:
        a: cells of arm A, one [S_a, P] matrix per benchmark. b: the same with [S_b, P], problems in the same order.
        seed_variances: of A and of B, as in `mean_interval`; the same object twice if it is pooled.

    Raises:
        ValueError: the arms do not have the same problems, or as in `mean_interval`.
    """
    if [block.shape[1] for block in a] != [block.shape[1] for block in b]:
        raise ValueError("a paired difference needs the same problems in both arms")
    parts = _components([a, b], [1.0, -1.0], seed_variances)
    deviations = _draw(parts, seed, draws)
    low, high = np.quantile(parts.estimate + deviations, _tails(level))
    extreme = int(np.count_nonzero(np.abs(deviations) >= abs(parts.estimate) - 1e-12))
    return Difference(
        parts.estimate,
        max(-1.0, float(low)),
        min(1.0, float(high)),
        _std_error(parts),
        (1 + extreme) / (1 + draws),
        a[0].shape[0],
        b[0].shape[0],
        sum(block.shape[1] for block in a),
    )


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's step-down adjustment: family-wise error over all the comparisons passed together.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    from statsmodels.stats.multitest import multipletests

    if not len(p_values):
        return np.zeros(0)
    return multipletests(np.asarray(p_values), method="holm")[1]


def _tails(level: float) -> list[float]:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, found {level}")
    return [(1 - level) / 2, (1 + level) / 2]


def _components(
    arms: Sequence[Cells], signs: Sequence[float], seed_variances: Sequence[SeedVariance | None]
) -> _Components:
    """Levels of the contrast sum_arm sign * mean(cells), benchmarks weighted equally."""
    for cells in arms:
        _check(cells)
    n_benchmarks = len(arms[0])
    contrast = [
        sum(sign * cells[i].mean(axis=0) for sign, cells in zip(signs, arms, strict=True)) / n_benchmarks
        for i in range(n_benchmarks)
    ]
    return _Components(
        estimate=float(sum(values.mean() for values in contrast)),
        problem_effects=tuple(values - values.mean() for values in contrast),
        problem_variance=tuple(
            float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0 for values in contrast
        ),
        seed_levels=tuple(
            (variance, cells[0].shape[0])
            for variance, cells in zip(seed_variances, arms, strict=True)
            if variance is not None
        ),
    )


def _rest_variance(block: NDArray[np.float64]) -> float:
    """Mean square of the seed x problem residual, over P: its share in the variance of one seed's mean."""
    n_seeds, n_problems = block.shape
    if n_problems < 2:
        return 0.0
    residual = block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()
    return float((residual**2).sum()) / ((n_seeds - 1) * (n_problems - 1)) / n_problems


def _draw(parts: _Components, seed: int, draws: int) -> NDArray[np.float64]:
    """[draws] deviations of the estimate from its expectation."""
    problem = np.zeros(draws)
    for i, (effects, variance) in enumerate(zip(parts.problem_effects, parts.problem_variance, strict=True)):
        n_problems = len(effects)
        if variance > 0:
            weights = _resample_weights(seed, i, n_problems, draws)
            scale = _inverse_chi(seed, f"problems {i}", n_problems - 1, draws)
            problem += weights @ effects * np.sqrt(n_problems / (n_problems - 1) * scale)
    from_problems = sum(parts.problem_variance)
    from_seeds = np.zeros(draws)
    for arm, (variance, n_seeds) in enumerate(parts.seed_levels):
        # A pooled variance is one and the same unknown in both arms: it gets the same draws.
        shared = arm if variance != parts.seed_levels[0][0] else 0
        scale = _inverse_chi(seed, f"seeds {shared}", variance.degrees, draws)
        from_seeds += (variance.between * scale - variance.rest) / n_seeds
    from_seeds = np.maximum(from_seeds, -from_problems)
    if from_problems > 0:
        problem *= np.sqrt(np.clip(1 + np.minimum(from_seeds, 0) / from_problems, 0, None))
    normal = named_rng(seed, "seed effects").standard_normal(draws)
    return problem + normal * np.sqrt(np.maximum(from_seeds, 0))


@lru_cache(maxsize=8)
def _resample_weights(seed: int, index: int, n_problems: int, draws: int) -> NDArray[np.float64]:
    """[draws, P] bootstrap weights that sum to 1; shared by all arms and metrics of a benchmark."""
    rng = named_rng(seed, f"problems {index} {n_problems}")
    counts = rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), size=draws)
    return counts / n_problems


@lru_cache(maxsize=64)
def _inverse_chi(seed: int, name: str, degrees: int, draws: int) -> NDArray[np.float64]:
    """[draws] of df / chi2_df: turns a normal draw into a Student draw."""
    return degrees / named_rng(seed, "scale", name, str(degrees)).chisquare(degrees, draws)


def _std_error(parts: _Components) -> float:
    from_seeds = sum((variance.between - variance.rest) / n_seeds for variance, n_seeds in parts.seed_levels)
    return float(np.sqrt(max(0.0, sum(parts.problem_variance) + from_seeds)))


def _check(cells: Cells) -> None:
    if not cells:
        raise ValueError("no benchmark given: pass at least one [seeds, problems] matrix")
    for block in cells:
        if block.ndim != 2 or 0 in block.shape:
            raise ValueError(f"cells must be a non-empty [seeds, problems] matrix, found shape {block.shape}")
        if not np.isfinite(block).all():
            raise ValueError("cells hold a value that is not finite: a problem lacks samples for some seed")
        if block.shape[0] != cells[0].shape[0]:
            raise ValueError("every benchmark of an arm needs the same training seeds")
