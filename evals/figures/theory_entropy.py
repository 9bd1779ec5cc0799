"""Entropy at matched success in the tabular study, each arm against GRPO (docs/theory.md).

python -m evals.figures theory_entropy --theory theory.parquet --out-prefix F
"""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtrit

from evals.figures import series
from evals.figures.drawn import Drawn
from evals.figures.series import Summary
from evals.figures.style import RC, panels
from evals.figures.theory import TheoryTable, read_part

GRADIENTS = {"plain": "plain gradient", "natural": "natural gradient"}
MARKS = {"sampled": ("o", "#000000", "sampled groups"), "expected": ("D", "white", "expected updates")}
NAMED = ("asymgrpo", "positive_only", "reinforce", "negative_only")
"""Of the sentence below the figure."""


def highest(rows: pd.DataFrame) -> pd.DataFrame:
    """Entropies at the highest success rate; `whole`: as many seeds reach it as do with GRPO."""
    found = rows[(rows["quantity"] == "entropy") & (rows["at"] == rows["at"].max())].dropna(subset=["difference"])
    group = ["gradient", "update"]
    of_grpo = found[found["arm"] == "grpo"].set_index(group)["n_seeds"]
    wanted = of_grpo.reindex(pd.MultiIndex.from_frame(found[group])).to_numpy()
    return found.assign(wanted=wanted, whole=found["n_seeds"].to_numpy() >= wanted)


def too_slow(rows: pd.DataFrame) -> str:
    """A sentence on arms of which only the fastest seeds reach that rate, which do not stand for the arm; "" without any."""
    found = highest(rows)
    few = found[~found["whole"]]
    columns = (few[name].tolist() for name in ("arm", "gradient", "update", "n_seeds", "wanted"))
    parts = [
        f"{series.short(arm)} ({GRADIENTS[gradient]}, {MARKS[update][2]}: {n:.0f} of {wanted:.0f} seeds)"
        for arm, gradient, update, n, wanted in zip(*columns, strict=True)
    ]
    return f"Not shown, since not all seeds reach it: {', '.join(parts)}." if parts else ""


def at_success(rows: pd.DataFrame) -> pd.DataFrame:
    """The entropies there of all other arms, with a 95 % Student interval of the difference from GRPO."""
    found = highest(rows)
    found = found[found["whole"]]
    half = stdtrit(np.maximum(found["n_seeds"].astype(float) - 1, 1), 0.975) * found["difference_se"]
    return found.assign(low=found["difference"] - half, high=found["difference"] + half)


def theory_entropy(found: pd.DataFrame) -> Figure:
    """A panel per gradient, a row per arm; arms by the plain gradient's difference."""
    order = found[(found["gradient"] == "plain") & (found["update"] == "sampled")].sort_values("difference")["arm"]
    arms = [*order, *sorted(set(found["arm"]) - set(order))]
    with mpl.rc_context(RC):
        figure, axes = panels(1, len(GRADIENTS), height=1.2 + 0.16 * len(arms))
        for axis, (gradient, title) in zip(axes, GRADIENTS.items(), strict=True):
            _panel(axis, found[found["gradient"] == gradient], arms)
            axis.set(title=title, xlabel="entropy less GRPO's (nats)", ylim=(-1, len(arms)))
        axes[0].set_yticks(range(len(arms)), [series.short(arm) for arm in arms])
        axes[1].set_yticks(range(len(arms)), [])
        rate, seeds = found["at"].max(), int(found["n_seeds"].max())
        figure.legend(
            [container[0] for container in axes[0].containers],
            [words for _, _, words in MARKS.values()],
            loc="outside lower center",
            ncols=2,
            title=f"at mean success {rate:g}, paired over {seeds} seeds; bars: 95 % intervals of the mean (Student)",
            title_fontsize=7.5,
        )
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, arms: list[str]) -> None:
    axis.axvline(0, color="#999999", linewidth=0.6)
    for shift, (update, (marker, fill, _)) in zip((0.14, -0.14), MARKS.items(), strict=True):
        mine = rows[rows["update"] == update].set_index("arm").reindex([a for a in arms if a in set(rows["arm"])])
        places = [arms.index(arm) + shift for arm in mine.index]
        bars = np.abs([mine["difference"] - mine["low"], mine["high"] - mine["difference"]])
        look: dict[str, Any] = {"marker": marker, "markerfacecolor": fill, "color": "black", "markersize": 3.5}
        axis.errorbar(mine["difference"], places, xerr=bars, linestyle="none", elinewidth=0.9, **look)


def finding(found: pd.DataFrame) -> str:
    """What the figure shows of the plain gradient on sampled groups, as one sentence."""
    mine = found[(found["gradient"] == "plain") & (found["update"] == "sampled")]
    columns = (mine[name].tolist() for name in ("arm", "value", "difference", "low", "high", "n_seeds"))
    entropies, differences = {}, {}
    for arm, value, *numbers in zip(*columns, strict=True):
        entropies[arm], differences[arm] = value, Summary(*numbers).text("+.3f")
    parts = [f"{series.short(arm)} {differences[arm]}" for arm in NAMED if arm in differences]
    reference = entropies.get("grpo", np.nan)
    return f"Entropy at mean success {found['at'].max():g} less GRPO's {reference:.3f} nats: {'; '.join(parts)}."


def draw(theory: TheoryTable) -> Drawn:
    """Draw entropy at matched success."""
    table, rows = read_part(theory, "crossing")
    found = at_success(rows)
    about = (
        "Softmax policies of a few answers, one learning rate for all arms. Expected updates have no sampling noise."
    )
    notes = {
        "caption": " ".join(filter(None, [about, too_slow(rows)])),
        "finding": finding(found),
    }
    return Drawn(theory_entropy(found), {"theory": table}, notes)
