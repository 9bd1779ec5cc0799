"""Per-problem estimates from repeated samples: avg@n, pass@k, maj@k. Arrays in, arrays out.

All three are estimates for *one* problem (and one training seed); averaging over problems and seeds, and
the intervals, are in `evals.estimates.stats`.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Below this log-probability of failing, 1 - exp(x) rounds to 1.0 in double precision.
LOG_FAIL_FLOOR = -40.0


def avg_at_n(n: ArrayLike, c: ArrayLike) -> NDArray[np.float64]:
    """Share of correct samples, c / n, the unbiased estimate of the probability of a correct sample.

    Args:
        n: samples per problem, any shape that broadcasts against `c`.
        c: correct samples among them.

    Raises:
        ValueError: a count is negative, not whole, c > n, or n = 0.

    >>> avg_at_n(10, [0, 3, 10])
    array([0. , 0.3, 1. ])
    """
    n_, c_ = _counts(n, c)
    return c_ / n_


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> NDArray[np.float64]:
    """Unbiased pass@k: 1 - C(n-c, k) / C(n, k), the share of size-k subsets with a correct sample.

    Chen et al. 2021 (arXiv:2107.03374), equation 1. With m = min(c, k) and M = max(c, k) the ratio equals the
    product over i < m of 1 - M / (n - i), because C(n-c, k) / C(n, k) = C(n-k, c) / C(n, c). It is summed as
    log1p with compensation and returned as -expm1, so that every term has the same sign and nothing cancels:
    the *relative* error is below 1e-13 for n up to 100,000, also where pass@k is tiny. Results above
    1 - e^-40 are 1.0, which is the nearest double.

    Args:
        n: samples per problem. c: correct samples. k: subset size. All three broadcast.

    Returns:
        float64 array of the broadcast shape, in [0, 1].

    Raises:
        ValueError: k > n, k < 1, c > n, a negative or a fractional count.

    >>> pass_at_k(4, [0, 1, 2, 4], 2)
    array([0.        , 0.5       , 0.83333333, 1.        ])
    """
    n_, c_ = _counts(n, c)
    k_ = _whole("k", k)
    if np.any(k_ < 1):
        raise ValueError(f"pass@k: k must be at least 1, found {k_.min()}")
    if n_.size and k_.ndim == 0 and n_.shape == c_.shape and n_.min() == n_.max() >= k_:
        return _by_number_correct(int(n_.flat[0]), int(k_))[c_]
    n_, c_, k_ = np.broadcast_arrays(n_, c_, k_)
    if np.any(k_ > n_):
        at = int(np.argmax(k_ > n_))
        raise ValueError(
            f"pass@k: k = {k_.flat[at]} is larger than n = {n_.flat[at]} samples; draw more samples or lower k"
        )
    triples = np.stack([n_.ravel(), c_.ravel(), k_.ravel()], axis=1)
    unique, inverse = _unique_rows(triples)
    return _pass_at_k_rows(*unique.T)[inverse].reshape(n_.shape)


@lru_cache(maxsize=64)
def _by_number_correct(n: int, k: int) -> NDArray[np.float64]:
    """[n + 1] pass@k of a problem with 0, ..., n correct samples: studies have few n and k, and many problems."""
    return _pass_at_k_rows(np.full(n + 1, n), np.arange(n + 1), np.full(n + 1, k))


def _pass_at_k_rows(n: NDArray, c: NDArray, k: NDArray) -> NDArray[np.float64]:
    """pass@k for 1-D arrays of distinct (n, c, k)."""
    result = np.ones(len(n))
    result[c == 0] = 0.0
    # log fail <= -c k / n, and fail is exactly 0 where fewer than k samples are wrong.
    open_ = np.flatnonzero((c > 0) & (n - c >= k) & (c * k < -LOG_FAIL_FLOOR * n))
    if not len(open_):
        return result
    n, low, high = n[open_], np.minimum(c, k)[open_], np.maximum(c, k)[open_]
    order = np.argsort(-low, kind="stable")
    open_, n, low, high = open_[order], n[order], low[order], high[order]
    total, lost = np.zeros(len(n)), np.zeros(len(n))
    for i in range(int(low[0])):
        active = int(np.searchsorted(-low, -i, side="left"))  # rows with low > i come first
        term = np.log1p(-high[:active] / (n[:active] - i)) - lost[:active]
        new = total[:active] + term
        lost[:active] = (new - total[:active]) - term
        total[:active] = new
    result[open_] = -np.expm1(total)
    return result


def _unique_rows(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct (n, c, k) rows and the index of each row among them."""
    base = int(rows.max(initial=0)) + 1
    if base < 2_000_000:  # base^3 fits in int64
        keys = (rows[:, 0] * base + rows[:, 1]) * base + rows[:, 2]
        values, inverse = np.unique(keys, return_inverse=True)
        return np.stack([values // base**2, values // base % base, values % base], axis=1), inverse
    unique, inverse = np.unique(rows, axis=0, return_inverse=True)
    return unique, inverse.ravel()


def maj_at_k(answers: NDArray[np.int64], correct: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """Majority vote of k samples, estimated over disjoint blocks.

    Estimator: the n samples, in the order of their sample_id, are cut into floor(n / k) blocks of k (a
    remainder is left out); each block votes, and the credits are averaged. Samples are independent, so
    this is unbiased for maj@k; unlike an average over all size-k subsets it is cheap and needs no random
    numbers.

    Convention: -1 does not vote; a block without votes earns 0. In a tie every leading answer is equally
    likely to be named, so the block earns the mean worth of the leading answers. An answer is worth the
    mean verdict of the samples in the block that gave it (0 or 1 unless equal spellings were judged
    differently).

    Args:
        answers: [..., n] codes of the final answers, equal where the answers are, -1 where there is none.
        correct: [..., n] verdicts.
        k: votes per block.

    Returns:
        float64 [...].

    Raises:
        ValueError: k > n or k < 1.

    >>> answers = np.array([[7, 7, 9, 8], [7, 9, -1, 8]])
    >>> correct = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    >>> maj_at_k(answers, correct, 4), maj_at_k(answers, correct, 2)
    (array([1.        , 0.33333333]), array([0.5 , 0.25]))
    """
    n = answers.shape[-1]
    if not 1 <= k <= n:
        raise ValueError(f"maj@k: k = {k} must be between 1 and n = {n} samples; draw more samples or lower k")
    kept = n // k * k
    votes = np.sort(answers[..., :kept].reshape(-1, k), axis=1)
    order = np.argsort(answers[..., :kept].reshape(-1, k), axis=1, kind="stable")
    verdicts = np.take_along_axis(correct[..., :kept].reshape(-1, k), order, axis=1).ravel()
    starts = np.ones(votes.shape, bool)
    starts[:, 1:] = votes[:, 1:] != votes[:, :-1]
    first = np.flatnonzero(starts)  # one entry per (block, answer)
    counts = np.diff(np.append(first, votes.size)).astype(float)
    worth = np.add.reduceat(verdicts.astype(float), first) / counts
    block = first // k
    counts[votes.ravel()[first] == -1] = 0.0
    most = np.maximum.reduceat(counts, np.flatnonzero(np.diff(block, prepend=-1)))
    leads = (counts == most[block]) & (counts > 0)
    credit = np.bincount(block, weights=leads * worth, minlength=len(votes))
    leaders = np.bincount(block, weights=leads, minlength=len(votes))
    credit = np.divide(credit, leaders, out=np.zeros(len(votes)), where=leaders > 0)
    return credit.reshape(*answers.shape[:-1], n // k).mean(axis=-1)


def normalise_answer(text: str) -> str:
    """The spelling under which two answers count as the same vote: no spaces, no sizing, no trailing point.

    >>> normalise_answer(r"\\left( 3, \\dfrac{1}{2} \\right).") == normalise_answer(r"(3,\\frac{1}{2})")
    True
    """
    for old, new in (
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("\\!", ""),
    ):
        text = text.replace(old, new)
    for spacing in ("\\,", "\\;", "\\ ", "~", "$"):
        text = text.replace(spacing, "")
    return "".join(text.split()).rstrip(".")


def _counts(n: ArrayLike, c: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n_, c_ = _whole("n", n), _whole("c", c)
    if np.any(n_ < 1):
        raise ValueError(f"n, the number of samples, must be at least 1, found {n_.min()}")
    if np.any(c_ < 0) or np.any(c_ > n_):
        raise ValueError("c, the number of correct samples, must be between 0 and n for every problem")
    return n_, c_


def _whole(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        if array.size and not np.all(np.equal(np.mod(array, 1), 0)):
            raise ValueError(f"{name} must hold whole numbers")
        array = array.astype(np.int64)
    return array.astype(np.int64)
