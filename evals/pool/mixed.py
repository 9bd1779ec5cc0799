"""The laboratory as a random effect: a run's number is that of its arm, plus its laboratory, laboratory x arm, and its seed.

    y = arm + u(laboratory) + v(laboratory, arm) + e(seed),   u, v, e independent with variances of their own

Arms are fixed. `u` moves all arms of a laboratory together, so it cancels in a difference of arms that every laboratory ran
equally often; `v` does not. All arms of a pool share the three variances, as they share the variance between seeds in one study.

**Estimation.** Restricted maximum likelihood, variances at least 0. A variance that is estimated as 0 is left out, and with both
at 0 the analysis *is* that of one study (evals.claims.effects, pooled): same means, same variance, same degrees of freedom. So
pooling parts of one study gives back the whole, unless chance makes its parts differ more than its seeds do; then the interval is
wider, because the parts do not know that they are of one study. Otherwise means are weighted by least squares, and contrasts
have Satterthwaite's degrees of freedom. With two laboratories a variance between them is hardly known: it can be estimated as 0
when it is not, and intervals are then too short (docs/pooling.md says by how much).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Runs = Mapping[str, Mapping[str, Sequence[float]]]
"""arm -> laboratory -> the numbers of its runs."""
TINY = 1e-12
"""Below this share of the squared values a variance is rounding."""


@dataclass(frozen=True)
class Cells:
    """Means of runs by arm and laboratory, and what lies within."""

    arms: tuple[str, ...]
    x: Array
    """[C, A] which arm a cell is of."""
    z: Array
    """[C, L] which laboratory."""
    n: Array
    """[C] runs."""
    mean: Array
    within: float
    """Sum of squares of runs around the mean of their cell."""

    @property
    def freedom(self) -> int:
        """Runs less arms."""
        return int(self.n.sum()) - len(self.arms)


def cells_of(runs: Runs) -> Cells:
    """Cells of arms and laboratories that have runs."""
    found = [
        (arm, lab, np.asarray(values, float))
        for arm, labs in runs.items()
        for lab, values in labs.items()
        if len(values)
    ]
    arms = tuple(dict.fromkeys(arm for arm, *_ in found))
    labs = tuple(dict.fromkeys(lab for _, lab, _ in found))
    x = np.array([[arm == name for name in arms] for arm, _, _ in found], float)
    z = np.array([[lab == name for name in labs] for _, lab, _ in found], float)
    n, mean = np.array([len(v) for *_, v in found], float), np.array([v.mean() for *_, v in found])
    within = sum(float(((v - v.mean()) ** 2).sum()) for *_, v in found)
    return Cells(arms, x, z, n, mean, within)


@dataclass(frozen=True)
class Fit:
    """Variances between seeds, laboratories and laboratories x arm; `parts`: [C, C] the derivative of the cells' covariance by
    each variance that is not 0, seeds first."""

    cells: Cells
    seeds: float
    laboratory: float
    laboratory_arm: float
    parts: tuple[Array, ...]

    @property
    def covariance(self) -> Array:
        amounts = [self.seeds, *(x for x in (self.laboratory, self.laboratory_arm) if x)]
        return sum((x * part for x, part in zip(amounts, self.parts, strict=True)), np.zeros_like(self.parts[0]))

    def contrast(self, weights: Mapping[str, float]) -> tuple[float, float, float]:
        """(estimate, variance, degrees of freedom) of the sum of weight x mean over arms."""
        x, w = self.cells.x, np.array([weights.get(arm, 0.0) for arm in self.cells.arms])
        if self.seeds == 0:
            return float(w @ _means(self.cells, np.diag(self.cells.n))), 0.0, float(self.cells.freedom)
        inverse = np.linalg.inv(self.covariance)
        of_means = np.linalg.inv(x.T @ inverse @ x)
        loads = inverse @ x @ of_means @ w  # of each cell in the contrast
        slope = np.array([loads @ part @ loads for part in self.parts])  # of the variance, by each variance
        rest = inverse - inverse @ x @ of_means @ x.T @ inverse
        products = [rest @ part for part in self.parts]
        information = np.array([[np.trace(a @ b) / 2 for b in products] for a in products])
        information[0, 0] += (self.cells.n.sum() - len(self.cells.n)) / (2 * self.seeds**2)
        variance = float(w @ of_means @ w)
        return (
            float(loads @ self.cells.mean),
            variance,
            float(2 * variance**2 / (slope @ np.linalg.solve(information, slope))),
        )


def _means(cells: Cells, inverse: Array) -> Array:
    return np.asarray(np.linalg.solve(cells.x.T @ inverse @ cells.x, cells.x.T @ inverse @ cells.mean), float)


def _structures(cells: Cells) -> tuple[Array, Array, Array]:
    """What a variance of 1 between seeds, laboratories, and laboratories x arm gives the cells."""
    return np.diag(1 / cells.n), cells.z @ cells.z.T, np.eye(len(cells.n))


def _profile(cells: Cells, ratios: Array) -> tuple[float, float]:
    """(minus twice the restricted log likelihood, variance between seeds) at ratios of the other variances to it."""
    seeds, laboratory, both = _structures(cells)
    root = np.linalg.cholesky(seeds + ratios[0] * laboratory + ratios[1] * both)
    x, y = np.linalg.solve(root, cells.x), np.linalg.solve(root, cells.mean)
    inner = x.T @ x
    residual = y - x @ np.linalg.solve(inner, x.T @ y)
    variance = (float(residual @ residual) + cells.within) / cells.freedom
    spread = 2 * float(np.log(np.diag(root)).sum()) + float(np.linalg.slogdet(inner)[1])
    return cells.freedom * float(np.log(variance)) + spread, variance


def free_parts(cells: Cells) -> tuple[bool, bool]:
    """Whether these cells can tell the variances of laboratories, and of laboratories x arm, from that between seeds."""
    several = cells.z.shape[1] > 1
    crossed = several and len(cells.arms) > 1
    return several, bool(crossed and (cells.n > 1).any())


def fit(runs: Runs, arms: Collection[str] | None = None, crossed: bool = True) -> Fit:
    """The variances of some arms (None: of all) together; not crossed: without laboratory x arm.

    Raises:
        ValueError: no arm has two runs, so that nothing says how far runs differ.
    """
    from scipy.optimize import minimize

    cells = cells_of({arm: labs for arm, labs in runs.items() if arms is None or arm in arms})
    if cells.freedom < 1:
        raise ValueError("no arm has two runs")
    structures, free = _structures(cells), np.array(free_parts(cells)) & [True, crossed]
    scale = float((cells.n * cells.mean**2).sum()) + cells.within
    none = np.zeros(2)
    if _spread(cells) <= TINY * (1 + scale):
        return Fit(cells, 0.0, 0.0, 0.0, (structures[0],))
    best, ratios = _profile(cells, none)[0], none
    for start in (0.05, 1.0):
        found = minimize(
            lambda at: _profile(cells, at)[0],
            start * free,
            method="L-BFGS-B",
            bounds=[(0, 1e6 if part else 0) for part in free],
        )
        if found.fun < best - 1e-7:
            best, ratios = float(found.fun), np.where(found.x > 1e-6, found.x, 0.0)
    seeds = _profile(cells, ratios)[1]
    kept = [structures[0], *(part for part, ratio in zip(structures[1:], ratios, strict=True) if ratio)]
    return Fit(cells, seeds, float(seeds * ratios[0]), float(seeds * ratios[1]), tuple(kept))


def _spread(cells: Cells) -> float:
    """Sum of squares of runs around the mean of their arm."""
    means = _means(cells, np.diag(cells.n))
    return cells.within + float((cells.n * (cells.mean - cells.x @ means) ** 2).sum())


def differ(runs: Runs, weights: Mapping[str, float], arms: Collection[str] | None = None) -> float | None:
    """p value of all laboratories having one contrast: F test against the variance between seeds within laboratories.

    None if fewer than two laboratories have all arms of the contrast, or nothing varies within them.

    Args:
        runs: of the study. weights: arm -> weight. arms: those that share the variance between seeds; None: all.
    """
    from scipy.special import fdtrc

    cells = cells_of({arm: labs for arm, labs in runs.items() if arms is None or arm in arms})
    degrees = float(cells.n.sum()) - len(cells.n)
    labs = set.intersection(*({lab for lab, values in runs[arm].items() if len(values)} for arm in weights))
    if len(labs) < 2 or degrees < 1 or cells.within <= 0:
        return None
    values = np.array([sum(w * np.mean(runs[arm][lab]) for arm, w in weights.items()) for lab in sorted(labs)])
    sizes = np.array([sum(w**2 / len(runs[arm][lab]) for arm, w in weights.items()) for lab in sorted(labs)])
    middle = (values / sizes).sum() / (1 / sizes).sum()
    f = ((values - middle) ** 2 / sizes).sum() / (len(values) - 1) / (cells.within / degrees)
    return float(fdtrc(len(values) - 1, degrees, f))
