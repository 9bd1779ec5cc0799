"""What one training run's metrics (docs/metrics.md) and evaluations say of the claims, as one number each.

"Late" is the later half of the steps, "early" the first tenth. A measure whose columns a run does not have, or that has nothing
to measure, is NaN.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ("step", "entropy", "none_solved_share", "logp_change_correct", "groups_by_correct", "cov_by_correct")
"""Of every run."""
OPTIONAL = (
    *("reward_mean", "response_tokens_mean", "entropy_correct", "entropy_wrong", "all_solved_share", "hard_weight"),
    *("clip_share_high", "update_norm"),
)
"""Read where a run has them: an older one may not, and what is measured by them is then not tested."""
EVALUATED = ("step", "set", "accuracy")
"""Of every run's evaluations, eval.parquet."""
HELD_OUT = "validation"
"""The set of problems held out of the training set, which every run is evaluated on."""
REFERENCE = "grpo"
"""The arm whose success sets the level at which entropies are compared."""


def late(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The later half of the steps.

    >>> late(np.arange(5.0))
    array([2., 3., 4.])
    """
    return values[len(values) // 2 :]


def early(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first tenth of the steps, at least one."""
    return values[: max(1, len(values) // 10)]


def cov_correlation(
    groups: NDArray[np.float64], covariance: NDArray[np.float64], low: float = 0.0, high: float = 1.0
) -> float:
    """Correlation of p and the covariance, each cell weighted with its groups; NaN if there are no two values of p.

    Unanimous groups (p = 0 and p = 1) count with their covariance of 0 if the range has them in it.

    Args:
        groups: [steps, G + 1] number of prompts with 0, ..., G correct rollouts.
        covariance: [steps, G + 1] their mean covariance, NaN where there is none.
        low, high: the range of p, ends included.

    >>> groups, covariance = np.ones((1, 5)), np.array([[0.0, 1.0, 2.0, 3.0, 0.0]])
    >>> [round(cov_correlation(groups, covariance, *ends), 3) for ends in ((0.25, 0.75), (0, 0.5), (0.5, 1), (0, 1))]
    [1.0, 1.0, -0.655, 0.243]
    """
    share = np.arange(groups.shape[1]) / (groups.shape[1] - 1)
    inside = (share >= low) & (share <= high)
    weights = np.where(np.isnan(covariance), 0.0, groups)[:, inside]
    if np.count_nonzero(weights.sum(axis=0)) < 2:
        return float("nan")
    p, values = np.broadcast_to(share[inside], weights.shape), np.nan_to_num(covariance[:, inside])
    both = np.cov(p.ravel(), values.ravel(), aweights=weights.ravel(), ddof=0)
    return float(both[0, 1] / np.sqrt(both[0, 0] * both[1, 1])) if both[1, 1] > 0 else float("nan")


def mixed_correlation(groups: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """The same over the groups with some but not all rollouts correct."""
    size = groups.shape[1] - 1
    return cov_correlation(groups, covariance, 1 / size, 1 - 1 / size)


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Means of `width` neighbours.

    >>> running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2)
    array([2., 4., 6.])
    """
    return np.convolve(values, np.full(width, 1 / width), "valid")


def matched_level(curves: Sequence[pd.DataFrame]) -> float:
    """The reward in the middle between early and late, mean over the runs of the reference arm; NaN without such runs."""
    rewards = [curve["reward_mean"].to_numpy(float) for curve in curves if "reward_mean" in curve]
    return float(np.mean([(early(x).mean() + late(x).mean()) / 2 for x in rewards])) if rewards else float("nan")


def entropy_at(level: float, reward: NDArray[np.float64], entropy: NDArray[np.float64]) -> float:
    """Entropy where the reward first reaches a level, both as running means over a tenth of the steps; between two steps
    linearly.

    NaN if the reward begins above the level or never reaches it.

    >>> entropy_at(0.25, np.array([0.0, 0.2, 0.3]), np.array([3.0, 2.0, 1.0]))
    1.5
    """
    width = max(1, len(reward) // 10)
    reward, entropy = running_mean(reward, width), running_mean(entropy, width)
    reached = np.flatnonzero(reward >= level)
    if not len(reached) or reached[0] == 0:
        return float("nan")
    after = reached[0]
    share = (level - reward[after - 1]) / (reward[after] - reward[after - 1])
    return float(entropy[after - 1] + share * (entropy[after] - entropy[after - 1]))


def accuracy_late(evaluations: pd.DataFrame, steps: int) -> float:
    """Mean accuracy on the held-out problems over the evaluations late in a training of `steps` steps; NaN without one.

    >>> rows = [(2, "validation", 0.1), (3, "validation", 0.4), (4, "validation", 0.6), (4, "chain4", 0.9)]
    >>> accuracy_late(pd.DataFrame(rows, columns=list(EVALUATED)), 4)
    0.5
    """
    mine = evaluations[(evaluations["set"] == HELD_OUT) & (evaluations["step"] > steps // 2)]
    return _mean(mine["accuracy"].to_numpy(float))


def training_measures(
    metrics: pd.DataFrame, level: float = float("nan"), evaluations: pd.DataFrame | None = None
) -> dict[str, float]:
    """The training measures of one run; level: the reward at which entropies are compared."""

    def column(name: str) -> NDArray[np.float64]:
        return metrics[name].to_numpy(float) if name in metrics else np.full(len(metrics), np.nan)

    entropy, reward, per_response = column("entropy"), column("reward_mean"), column("response_tokens_mean")
    return {
        "accuracy_late": float("nan") if evaluations is None else accuracy_late(evaluations, len(metrics)),
        "reward_late": float(late(reward).mean()),
        "entropy_late": float(np.log(late(entropy).mean())),
        "sequence_entropy_late": float(np.log(late(entropy * per_response).mean())),
        "entropy_lost": float(np.log(early(entropy).mean() / late(entropy).mean())),
        "entropy_matched": float(np.log(entropy_at(level, reward, entropy))),
        "entropy_moved": _moved(column("entropy_correct")) - _moved(column("entropy_wrong")),
        "none_solved": float(late(column("none_solved_share")).mean()),
        "all_solved": float(late(column("all_solved_share")).mean()),
        "hard_weight": _mean(column("hard_weight")),
        "logp_gain": _mean(column("logp_change_correct")),
        "clip_high": _mean(column("clip_share_high")),
        "update_norm": _mean(column("update_norm")),
        **group_measures(metrics),
    }


def group_measures(metrics: pd.DataFrame) -> dict[str, float]:
    """Those of the groups by their number of correct rollouts."""
    groups = np.stack(metrics["groups_by_correct"].tolist()).astype(float)
    covariance = np.stack([np.asarray(row, float) for row in metrics["cov_by_correct"]])
    return {
        "mixed_share": float(groups[:, 1:-1].sum() / groups.sum()),
        "cov_correlation": cov_correlation(groups, covariance, low=1 / (groups.shape[1] - 1)),
        "cov_rise": cov_correlation(groups, covariance, low=1 / (groups.shape[1] - 1), high=0.5),
        "cov_fall": -cov_correlation(groups, covariance, low=0.5),
        "cov_every": cov_correlation(groups, covariance),
        "cov_mixed": mixed_correlation(groups, covariance),
    }


def _moved(entropy: NDArray[np.float64]) -> float:
    """Log of late over early, of the steps that have a value."""
    begin, end = (_mean(part) for part in (early(entropy), late(entropy)))
    return float(np.log(end / begin)) if begin > 0 and end > 0 else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
