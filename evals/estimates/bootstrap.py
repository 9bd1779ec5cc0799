"""Draws of the hierarchical bootstrap: how far a mean over seeds and problems may lie from its expectation.

Model of the cell values: y[s, p] = mean + seed[s] + problem[p] + rest[s, p]; problems are crossed
with training seeds, samples are nested in the cell, so sampling noise is part of `rest`. The method
and its assumptions are described in `evals.estimates.stats`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Cells = Sequence[NDArray[np.float64]]
"""Values of one arm: a matrix [S seeds, P problems] per benchmark, with the same seeds in each."""

CHUNK = 1000  # draws per matrix product; bounds the memory at CHUNK * P doubles


@dataclass(frozen=True)
class SeedVariance:
    """Analysis of variance of the seed means; the seeds' own variance is estimated by `between - rest`.

    between: variance (ddof 1) of the seed means.
    rest: the part of it that `rest[s, p]`, with the sampling noise in it, explains.
    degrees: degrees of freedom of `between`.
    """

    between: float
    rest: float
    degrees: int


@dataclass(frozen=True)
class Levels:
    """A contrast of arms taken apart: centred problem effects per benchmark, seed variance per arm.

    effects: per benchmark [P], already divided by the number of benchmarks.
    seeds: (variance, number of seeds) of each arm whose seed variance is known.
    """

    estimate: float
    effects: tuple[NDArray[np.float64], ...]
    seeds: tuple[tuple[SeedVariance, int], ...]

    @property
    def from_problems(self) -> float:
        """Variance of the estimate due to problems, samples and the rest (0 for a single problem)."""
        return sum(float(e.var(ddof=1)) / len(e) for e in self.effects if len(e) > 1)

    @property
    def std_error(self) -> float:
        """Standard error: problem level plus seed level, at least 0."""
        from_seeds = sum((v.between - v.rest) / n_seeds for v, n_seeds in self.seeds)
        return float(np.sqrt(max(0.0, self.from_problems + from_seeds)))


def split_levels(
    arms: Sequence[Cells], signs: Sequence[float], seed_variances: Sequence[SeedVariance | None]
) -> Levels:
    """Levels of the contrast sum_arm sign * mean(cells), benchmarks weighted equally.

    Raises:
        ValueError: a matrix is empty or not finite, or the benchmarks of an arm differ in their seeds.
    """
    for cells in arms:
        check_cells(cells)
    n_benchmarks = len(arms[0])
    signed = list(zip(signs, arms, strict=True))
    means = [sum(sign * cells[i].mean(axis=0) for sign, cells in signed) for i in range(n_benchmarks)]
    values = [np.asarray(mean) / n_benchmarks for mean in means]
    known = zip(seed_variances, arms, strict=True)
    return Levels(
        estimate=float(sum(value.mean() for value in values)),
        effects=tuple(value - value.mean() for value in values),
        seeds=tuple((variance, cells[0].shape[0]) for variance, cells in known if variance is not None),
    )


def rest_variance(block: NDArray[np.float64]) -> float:
    """What `rest` adds to the variance of one seed's mean: residual mean square over P."""
    n_seeds, n_problems = block.shape
    if n_problems < 2:
        return 0.0
    residual = block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()
    return float((residual**2).sum()) / ((n_seeds - 1) * (n_problems - 1)) / n_problems


def draw_deviations(contrasts: Sequence[Levels], seed: int, draws: int) -> NDArray[np.float64]:
    """[contrasts, draws] deviations of the estimates; all contrasts have the same benchmark sizes.

    The same resampled problems and the same scales serve every contrast, so arms stay comparable.
    """
    problem = np.zeros((len(contrasts), draws))
    for i, effects in enumerate(zip(*(contrast.effects for contrast in contrasts), strict=True)):
        n_problems = len(effects[0])
        if n_problems > 1:
            scale = inverse_chi(seed, f"problems {i}", n_problems - 1, draws)
            inflation = np.sqrt(n_problems / (n_problems - 1) * scale)
            problem += _resampled_means(np.stack(effects), seed, i, draws) * inflation
    normal = named_rng(seed, "seed effects").standard_normal(draws)
    for row, contrast in enumerate(contrasts):
        problem[row] = _add_seeds(problem[row], contrast, normal, seed)
    return problem


def _add_seeds(
    problem: NDArray[np.float64], contrast: Levels, normal: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """[draws] problem-level draws with the seed level added, or taken off where it is estimated negative."""
    from_problems, extra = contrast.from_problems, np.zeros(len(problem))
    if contrast.seeds:
        between, degrees = _between_seeds(contrast)
        rest = sum(variance.rest / n_seeds for variance, n_seeds in contrast.seeds)
        extra = between * inverse_chi(seed, "seeds", degrees, len(problem)) - rest
    if from_problems > 0:
        problem = problem * np.sqrt(np.clip(1 + np.minimum(extra, 0) / from_problems, 0, None))
    return problem + normal * np.sqrt(np.maximum(extra, 0))


def _between_seeds(contrast: Levels) -> tuple[float, float]:
    """Variance of the contrast between seeds, and its degrees of freedom (Welch and Satterthwaite).

    A pooled variance is one unknown for all arms that share it: its parts are added before they are
    squared.
    """
    parts: dict[SeedVariance, float] = {}
    for variance, n_seeds in contrast.seeds:
        parts[variance] = parts.get(variance, 0.0) + variance.between / n_seeds
    total = sum(parts.values())
    if total == 0:
        return 0.0, 1.0
    return total, total**2 / sum(part**2 / variance.degrees for variance, part in parts.items())


def _resampled_means(effects: NDArray[np.float64], seed: int, index: int, draws: int) -> NDArray[np.float64]:
    """[A, draws] means of effects [A, P] over resampled problems."""
    counts = _resample_counts(seed, index, effects.shape[1], draws)
    chunks = [counts[i : i + CHUNK] @ effects.T for i in range(0, draws, CHUNK)]
    return np.concatenate(chunks).T / effects.shape[1]


@lru_cache(maxsize=8)
def _resample_counts(seed: int, index: int, n_problems: int, draws: int) -> NDArray[np.uint8]:
    """[draws, P] how often each problem is drawn; a problem drawn over 255 times is not a case."""
    rng = named_rng(seed, f"problems {index} {n_problems}")
    counts = np.empty((draws, n_problems), np.uint8)
    for start in range(0, draws, CHUNK):
        rows = min(CHUNK, draws - start)
        drawn = rng.integers(n_problems, size=(rows, n_problems))
        flat = (drawn + n_problems * np.arange(rows)[:, None]).ravel()
        counts[start : start + rows] = np.bincount(flat, minlength=rows * n_problems).reshape(rows, -1)
    return counts


@lru_cache(maxsize=64)
def inverse_chi(seed: int, name: str, degrees: float, draws: int) -> NDArray[np.float64]:
    """[draws] of df / chi2_df: the square of what turns a normal draw into a Student draw."""
    return degrees / named_rng(seed, "scale", name, f"{degrees:.6g}").chisquare(degrees, draws)


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on the seed and the names only, not on what was drawn before."""
    digest = hashlib.sha256("\0".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def check_cells(cells: Cells) -> None:
    """Raise ValueError unless `cells` are non-empty matrices of fractions over the same seeds."""
    if not cells:
        raise ValueError("no benchmark given: pass at least one [seeds, problems] matrix")
    for block in cells:
        if block.ndim != 2 or 0 in block.shape:
            raise ValueError(f"cells must be a non-empty [seeds, problems] matrix, found {block.shape}")
        if not np.isfinite(block).all():
            raise ValueError("cells hold a value that is not finite: some problem lacks samples")
        if block.min() < 0 or block.max() > 1:
            raise ValueError("cells must be fractions between 0 and 1, not per cent")
        if block.shape[0] != cells[0].shape[0]:
            raise ValueError("every benchmark of an arm needs the same training seeds")
