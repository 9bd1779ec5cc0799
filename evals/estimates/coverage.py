"""How reliably problems are solved, from counts: Cover@tau, G-Pass@k, pass^k, Bayes@N. Arrays in, arrays out.

All are arithmetic on n samples and c correct ones per problem, as in `evals.estimates.passk`. Conventions:

- **Cover@tau** (Dragoi et al. 2025, arXiv:2510.08325) is the share of problems with success probability p >= tau. No unbiased
  estimator of 1[p >= tau] exists, so p is replaced by c / n: "at least", and tau > 0, since every problem has p >= 0.
- **at least j of k** is the share of size-k subsets with j or more correct samples, which is unbiased. Its cases: pass@k is
  j = 1, **pass^k** is j = k (all right), **G-Pass@k** at tau (Liu et al. 2024, arXiv:2412.13147) is j = tau k, rounded up, and at
  least 1: tau = 0 is pass@k.
- tau is compared with the double nearest to j / k, so that 0.07 of 100 means 7 although 0.07 * 100 > 7 in doubles.
- **Bayes@N** (Hariri et al. 2025, arXiv:2510.04265) has a uniform prior, Beta(1, 1), for every problem and training seed:
  the posterior mean is (c + 1) / (n + 2). It is biased towards 1/2, and ranks arms with equal n as avg@n does.
"""

from collections.abc import Callable
from functools import lru_cache
from math import comb
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimates.passk import avg_at_n

Weights = Callable[[int], NDArray[np.float64]]
"""Number of samples n -> [n] weights of Cover at 1/n, 2/n, ..., 1."""


def needed(k: int, tau: float) -> int:
    """How many of k samples must be correct: the least j >= 1 with j / k >= tau.

    Raises:
        ValueError: tau is outside [0, 1].

    >>> needed(8, 0.5), needed(8, 0.51), needed(100, 0.07), needed(8, 0.0)
    (4, 5, 7, 1)
    """
    if not 0 <= tau <= 1:
        raise ValueError(f"tau must be between 0 and 1, found {tau}")
    return max(1, int(np.searchsorted(np.arange(k + 1) / k, tau)))


def cover(n: ArrayLike, c: ArrayLike, tau: float) -> NDArray[np.float64]:
    """1 where c / n >= tau, else 0; its mean over problems is Cover@tau.

    Args:
        n: samples per problem, any shape that broadcasts against `c`.
        c: correct samples among them.
        tau: share of correct samples, 0 < tau <= 1.

    Raises:
        ValueError: tau is outside (0, 1], or as `avg_at_n`.

    >>> cover(10, [0, 2, 3, 10], 0.3)
    array([0., 0., 1., 1.])
    """
    if not 0 < tau <= 1:
        raise ValueError(f"Cover@tau: tau must be above 0 and at most 1, found {tau}")
    return (avg_at_n(n, c) >= tau).astype(float)


def at_least(n: ArrayLike, c: ArrayLike, k: int, j: int) -> NDArray[np.float64]:
    """Share of size-k subsets of the n samples with j or more correct ones, the unbiased estimate of that probability.

    The sum of C(c, i) C(n - c, k - i) / C(n, k) over i >= j, in whole numbers: the result is the nearest double.

    Args:
        n: samples per problem. c: correct samples. Both broadcast.
        k: subset size, at most n. j: 1 to k.

    Raises:
        ValueError: k or j is out of range, or as `avg_at_n`.

    >>> at_least(4, [0, 1, 2, 4], 2, 1), at_least(4, [0, 1, 2, 4], 2, 2)
    (array([0.        , 0.5       , 0.83333333, 1.        ]), array([0.        , 0.        , 0.16666667, 1.        ]))
    """
    avg_at_n(n, c)  # the counts are possible
    n_, c_ = np.broadcast_arrays(np.asarray(n, np.int64), np.asarray(c, np.int64))
    if not 1 <= j <= k:
        raise ValueError(f"at least {j} of k = {k}: must be between 1 and k")
    if n_.size and k > n_.min():
        raise ValueError(f"k = {k} is larger than n = {n_.min()} samples; draw more samples or lower k")
    result = np.empty(n_.shape)
    for size in np.unique(n_):
        result[n_ == size] = _by_number_correct(int(size), k, j)[c_[n_ == size]]
    return result


@lru_cache(maxsize=256)
def _by_number_correct(n: int, k: int, j: int) -> NDArray[np.float64]:
    """[n + 1] `at_least` of a problem with 0, ..., n correct samples."""
    subsets = comb(n, k)
    good = (sum(comb(c, i) * comb(n - c, k - i) for i in range(j, min(c, k) + 1)) for c in range(n + 1))
    return np.array([ways / subsets for ways in good])


def g_pass(n: ArrayLike, c: ArrayLike, k: int, tau: float) -> NDArray[np.float64]:
    """G-Pass@k at tau per problem: at least `needed(k, tau)` of k samples are correct. Raises ValueError as `at_least`.

    >>> g_pass(4, [1, 2, 3, 4], 3, 0.5)
    array([0. , 0.5, 1. , 1. ])
    """
    return at_least(n, c, k, needed(k, tau))


def pass_hat(n: ArrayLike, c: ArrayLike, k: int) -> NDArray[np.float64]:
    """pass^k per problem: all of k samples are correct. Raises ValueError as `at_least`.

    >>> pass_hat(4, [1, 2, 3, 4], 3)
    array([0.  , 0.  , 0.25, 1.  ])
    """
    return at_least(n, c, k, k)


def beta_weights(k: int) -> Weights:
    """Weights of Beta(1, k), the law of the least of k uniform numbers, for a curve that is constant between j / n.

    >>> beta_weights(2)(4)
    array([0.4375, 0.3125, 0.1875, 0.0625])
    """
    return lambda n: -np.diff((1 - np.arange(n + 1) / n) ** k)


def drawn_weights(k: int) -> Weights:
    """Its finite form: the law of the least of k *different* numbers among 1, ..., n, divided by n.

    >>> drawn_weights(2)(4)
    array([0.5       , 0.33333333, 0.16666667, 0.        ])
    """
    return lambda n: np.array([comb(n - j, k - 1) / comb(n, k) for j in range(1, n + 1)])


def pass_with_replacement(n: ArrayLike, c: ArrayLike, k: int) -> NDArray[np.float64]:
    """1 - (1 - c / n)^k per problem: pass@k if the k samples may repeat. It is at most the unbiased pass@k.

    >>> pass_with_replacement(4, [0, 2, 4], 2)
    array([0.  , 0.75, 1.  ])
    """
    return 1 - (1 - avg_at_n(n, c)) ** k


def mean_of_cover(n: NDArray[np.int64], c: NDArray[np.int64], weights: Weights) -> float:
    """Weighted mean of the Cover curve of these cells.

    A problem is covered up to tau = c / n, so the mean under a law of tau is the mean over problems of its distribution function
    at c / n. `beta_weights(k)` give `pass_with_replacement`, which is the identity of Cover's paper at p = c / n.
    `drawn_weights(k)` give the unbiased pass@k. They agree where n is large against k.

    Args:
        n, c: [...] samples and correct ones, of the same shape.
        weights: of Cover at 1/n, ..., 1.
    """
    total = 0.0
    for size in np.unique(n):
        mine = c[n == size]
        curve = (mine[:, None] >= np.arange(1, size + 1)).mean(axis=0)
        total += mine.size / c.size * float(curve @ weights(int(size)))
    return total


def bayes_mean(n: ArrayLike, c: ArrayLike) -> NDArray[np.float64]:
    """Bayes@N per problem: the posterior mean of p under a uniform prior. Raises ValueError as `avg_at_n`.

    >>> bayes_mean(8, [0, 4, 8])
    array([0.1, 0.5, 0.9])
    """
    avg_at_n(n, c)
    return avg_at_n(np.asarray(n) + 2, np.asarray(c) + 1)


def bayes_variance(n: ArrayLike, c: ArrayLike) -> NDArray[np.float64]:
    """Posterior variance of p, of the same Beta(c + 1, n - c + 1).

    >>> bayes_variance(8, 4)
    array(0.02272727)
    """
    mean = bayes_mean(n, c)
    return np.asarray(mean * (1 - mean) / (np.asarray(n) + 3))


def credible_interval(
    blocks: list[tuple[NDArray[np.int64], NDArray[np.int64]]], level: float = 0.95
) -> tuple[float, float]:
    """Credible interval of the mean success probability of *these* problems and training seeds: sampling noise alone.

    Success probabilities are independent a posteriori, so their variances add; the interval is normal, as in the paper of
    Bayes@N, and cut to [0, 1]. It holds on average over problems whose p is uniform. Where nearly all are never (or always)
    solved, the prior pulls the mean by up to 1 / (n + 2), further than the interval is wide.

    Args:
        blocks: (n, c) of each benchmark, [S, P] each; benchmarks have equal weight.
        level: posterior probability.

    >>> low, high = credible_interval([(np.array([[8, 8]]), np.array([[4, 4]]))])
    >>> round(low, 3), round(high, 3)
    (0.291, 0.709)
    """
    mean = float(np.mean([bayes_mean(n, c).mean() for n, c in blocks]))
    variance = sum(float(bayes_variance(n, c).sum()) / c.size**2 for n, c in blocks) / len(blocks) ** 2
    half = NormalDist().inv_cdf((1 + level) / 2) * variance**0.5
    return max(0.0, mean - half), min(1.0, mean + half)
