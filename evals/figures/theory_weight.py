"""How much an arm's expected update weighs a prompt, s(q), and how noisy one group's update is (docs/theory.md).

python -m evals.figures theory_weight --theory theory.parquet --out-prefix F
"""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from evals.figures.drawn import Drawn
from evals.figures.style import RC, look, panels
from evals.figures.theory import TheoryTable, read_part
from evals.names import title

ARMS = ("reinforce", "grpo", "asymgrpo", "maxrl", "positive_only", "negative_only")
"""Those of them that are in the table are drawn."""
ONE_SIDE = {"positive_only", "negative_only"}
"""Dotted, for one of them has AsymGRPO's colour."""
PANELS = {"s": "weight of a prompt, s(q)", "noise": "noise / signal of one update"}


def theory_weight(rows: pd.DataFrame) -> Figure:
    """Two panels over the success rate, a line per arm."""
    arms = [arm for arm in ARMS if arm in set(rows["arm"])]
    with mpl.rc_context(RC):
        figure, axes = panels(1, len(PANELS), height=2.8)
        for axis, (quantity, label) in zip(axes, PANELS.items(), strict=True):
            for arm in arms:
                mine = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)].sort_values("at")
                axis.plot(
                    mine["at"], mine["value"], **look(arm, arms) | ({"linestyle": "dotted"} if arm in ONE_SIDE else {})
                )
            axis.set(xlabel="success rate q of the prompt", ylabel=label, xlim=(0, 1))
            axis.set_ylim(bottom=0)
        figure.legend(
            axes[0].get_lines(),
            [title(arm) for arm in arms],
            loc="outside lower center",
            ncols=3,
            handlelength=3,
        )
    return figure


def finding(weight: pd.DataFrame, size: pd.DataFrame) -> str:
    """The share of hard prompts in the gain of success, as one sentence."""
    share = size[size["quantity"] == "hard_share"].set_index("arm")["value"]
    parts = [f"{title(arm)} {100 * share[arm]:.1f} %" for arm in ARMS if arm in share.index]
    return f"Share of prompts with q < 1/2 in the first-order gain of success: {'; '.join(parts)}."


def draw(theory: TheoryTable) -> Drawn:
    """Draw the weight of prompts and the noise of updates."""
    table, weight = read_part(theory, "weight", ARMS)
    _, size = read_part(theory, "size", ARMS)
    notes = {
        "caption": "The expected update is s(q) grad q. Noise: of a prompt with one correct and one wrong answer.",
        "finding": finding(weight, size),
    }
    return Drawn(theory_weight(weight), {"theory": table}, notes)
