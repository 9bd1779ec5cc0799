"""The held-out problems of a study that are training problems in another order, and what accuracy is without them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from evals.io import read_table
from evals.names import in_order, title

COLUMNS = ("arm", "train_seed", "problems", "n_problems", "value")
"""`problems`: one of KINDS; `value`: the run's accuracy on these, mean over the evaluations late in training."""
KINDS = {
    "all": "all held-out problems",
    "apart": "those whose numbers no training problem has",
    "reordered": "those that are trained on in another order",
}
REFERENCE = "grpo"


def section(path: Path) -> Iterator[str]:
    """The section of the page of results. Raises DataError when the table cannot be read."""
    frame = read_table(path, COLUMNS).to_pandas()
    sizes = frame.groupby("problems")["n_problems"].first()
    arms = in_order(frame["arm"], [REFERENCE])
    yield "### What is held out\n"
    yield (
        f"Of the {sizes['all']} held-out problems {sizes['reordered']} are training problems in another order, which the split "
        "of this study did not look at (docs/evaluation.md). The runs of these arms were trained again, to the same metrics bit "
        f"by bit, and evaluated on the {sizes['apart']} others alone. In per cent and points, means over seeds, with 95 % "
        "intervals of Student over seeds; differences are taken within seeds:\n"
    )
    names = [title(arm) for arm in arms]
    others = [f"{title(arm)} − {title(REFERENCE)}" for arm in arms if arm != REFERENCE]
    yield f"| accuracy late in training on | problems | {' | '.join([*names, *others])} |"
    yield "|---|--:|" + "--:|" * (len(names) + len(others))
    for kind, words in KINDS.items():
        mine = frame[frame["problems"] == kind].pivot(index="train_seed", columns="arm", values="value")
        means = [f"{100 * mine[arm].mean():.1f}" for arm in arms]
        gaps = [_interval((mine[arm] - mine[REFERENCE]).dropna().to_numpy()) for arm in arms if arm != REFERENCE]
        yield f"| {words} | {sizes[kind]} | {' | '.join([*means, *gaps])} |"
    yield ""


def _interval(values: NDArray[np.float64]) -> str:
    """A mean in points with its 95 % interval of Student.

    >>> _interval(np.array([0.0, 0.01, 0.02]))
    '+1.0 [−1.5, +3.5] (n = 3)'
    """
    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    low, middle, high = (
        f"{100 * x:+.1f}".replace("-", "−") for x in (values.mean() - half, values.mean(), values.mean() + half)
    )
    return f"{middle} [{low}, {high}] (n = {len(values)})"
