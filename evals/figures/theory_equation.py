"""The paper's entropy equation, predicted against measured, in four cases (docs/theory.md).

python -m evals.figures theory_equation --theory theory.parquet --out-prefix F
"""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evals.figures.drawn import Drawn
from evals.figures.style import RC, panels
from evals.figures.theory import TheoryTable, read_part

ARMS = {"grpo": "centred group (GRPO)", "asymgrpo": "uncentred group (AsymGRPO)"}
GRADIENTS = {"natural": "natural gradient", "plain": "plain gradient"}


def slopes(rows: pd.DataFrame, arm: str, gradient: str) -> pd.DataFrame:
    """A row per random policy and group: the slope as measured and as predicted."""
    mine = rows[(rows["arm"] == arm) & (rows["gradient"] == gradient) & (rows["update"] == "group")]
    return mine.pivot(index="case", columns="quantity", values="value")


def error(found: pd.DataFrame, prediction: str) -> float:
    """Root mean square error of a prediction, over the root mean square of the measured slopes."""
    return float(np.sqrt(((found[prediction] - found["measured"]) ** 2).mean() / (found["measured"] ** 2).mean()))


def cases_of(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(gradient, arm) of every panel. In groups of two AsymGRPO is GRPO, and the table has one of them."""
    there = set(rows["arm"])
    return [(gradient, arm) for gradient in GRADIENTS for arm in ARMS if arm in there]


def theory_equation(rows: pd.DataFrame) -> Figure:
    """A panel for each kind of gradient and group: predicted across, measured up."""
    shown = cases_of(rows)
    with mpl.rc_context(RC):
        figure, axes = panels(len(GRADIENTS), len(shown) // len(GRADIENTS), height=2.6)
        for axis, (gradient, arm) in zip(axes, shown, strict=True):
            found = slopes(rows, arm, gradient)
            axis.axline((0, 0), slope=1, color="#999999", linewidth=0.8)
            axis.plot(found["with_drift"], found["measured"], "x", color="#56B4E9", markersize=3.5)
            axis.plot(found["paper"], found["measured"], "o", color="#D55E00", markersize=3)
            axis.set_title(f"{GRADIENTS[gradient]}, {ARMS[arm]}\n{agreement(found)}")
            axis.set(xlabel="predicted dH / η (nats)", ylabel="measured dH / η (nats)")
        lines = axes[0].get_lines()
        figure.legend(
            [lines[2], lines[1], lines[0]],
            ["−Cov(log π, A) of the group", "the same with (m_S − m_F) H added", "predicted = measured"],
            loc="outside lower center",
            ncols=3,
        )
    return figure


def agreement(found: pd.DataFrame) -> str:
    """Error and correlation of -Cov(log pi, A) with the measured slopes."""
    wrong = error(found, "paper")
    share = "0" if wrong < 1e-4 else f"{100 * wrong:.0f} %"
    return f"error {share}, r = {np.corrcoef(found['paper'], found['measured'])[0, 1]:.2f}"


def finding(rows: pd.DataFrame) -> str:
    """What the figure shows, as one sentence."""
    parts = [
        f"{GRADIENTS[gradient]}, {ARMS[arm]}: {agreement(slopes(rows, arm, gradient))}"
        for gradient, arm in cases_of(rows)
    ]
    return f"dH = −η Cov(log π, A), its error as a share of the measured slopes: {'; '.join(parts)}."


def draw(theory: TheoryTable) -> Drawn:
    """Draw predicted against measured slopes of entropy."""
    table, rows = read_part(theory, "equation", tuple(ARMS))
    notes = {
        "caption": "Each point: one random policy, one mixed group, one step; the error is the root mean square.",
        "finding": finding(rows),
    }
    return Drawn(theory_equation(rows), {"theory": table}, notes)
