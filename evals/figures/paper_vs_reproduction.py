"""Table 1: each method's difference from GRPO, in the paper and here.

python -m evals.figures paper_vs_reproduction --differences differences.parquet --out-prefix F
"""

import math
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import pandas as pd
import typer
from matplotlib.figure import Figure

from evals.figures.drawn import Drawn
from evals.figures.style import RC, panels
from evals.io import DataError, read_table
from evals.names import TABLE_1, describe_rule, in_order, percent, rule_to_show, title
from evals.tables import paper_values
from evals.tables.score import AVERAGE

AGAINST = "grpo"


NEEDED = (
    *("selection", "model", "benchmark", "metric", "a", "b", "estimate", "ci_low", "ci_high"),
    *("n_seeds_a", "n_seeds_b"),
)


def from_grpo(differences: pd.DataFrame) -> pd.DataFrame:
    """model, arm, estimate, ci_low, ci_high, n_seeds, paper: avg@n of each arm minus GRPO's (fractions), over all benchmarks.

    `paper` is the paper's difference of its averages, single runs without intervals.
    """
    frame = differences[differences["metric"] == "avg_at_n"]
    several = frame.groupby("model")["benchmark"].transform("nunique") > 1
    frame = frame[~several | (frame["benchmark"] == AVERAGE)]
    ahead = frame[frame["b"] == AGAINST].rename(columns={"a": "arm", "n_seeds_a": "n_seeds"})
    behind = frame[frame["a"] == AGAINST].rename(columns={"b": "arm", "n_seeds_b": "n_seeds"})
    turned = behind.assign(estimate=-behind["estimate"], ci_low=-behind["ci_high"], ci_high=-behind["ci_low"])
    both = pd.concat([ahead, turned])[["model", "arm", "estimate", "ci_low", "ci_high", "n_seeds"]]
    both["n_seeds"] = both["n_seeds"].fillna(0)  # of a pair with an arm of which every run diverged
    both = both[both["arm"].isin(paper_values.PRINTED)]
    average = {arm: values[-1] / 100 for arm, values in paper_values.PRINTED.items()}
    return both.assign(paper=[average[arm] - average[AGAINST] for arm in both["arm"]])


def paper_vs_reproduction(found: pd.DataFrame) -> Figure:
    """A panel per model, a row per arm, from the rows of `from_grpo`."""
    models, arms = sorted(set(found["model"])), in_order(found["arm"], TABLE_1)
    seeds = found.groupby("arm")["n_seeds"].max()
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), 1, height=0.7 + 0.27 * len(arms))
        for axis, model in zip(axes, models, strict=True):
            mine = found[found["model"] == model].set_index("arm").reindex(arms)
            axis.axvline(0, color="#999999", linewidth=0.6)
            bars = 100 * pd.concat([mine["estimate"] - mine["ci_low"], mine["ci_high"] - mine["estimate"]], axis=1).T
            rows = [-row for row in range(len(arms))]
            ours: dict[str, Any] = {"fmt": "o", "color": "#0072B2", "markersize": 4, "capsize": 2}
            axis.errorbar(100 * mine["estimate"], rows, xerr=bars.to_numpy(), label="here", **ours)
            label = f"paper ({paper_values.MODEL}, one run each, no interval)"
            axis.plot(
                100 * mine["paper"], rows, "D", color="#D55E00", markersize=4.5, markerfacecolor="none", label=label
            )
            axis.set_yticks(rows, [f"{title(arm)} (n = {seeds[arm]:.0f})" for arm in arms])
            axis.set_ylim(-len(arms) + 0.4, 0.6)
            axis.set_xlabel("avg@n minus GRPO's, mean over benchmarks (points)")
            axis.set_title(model)
        figure.legend(
            *axes[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=2,
            title="bars: 95 % interval over problems, samples and n training seeds of either arm",
            title_fontsize=7.5,
        )
    return figure


def finding(found: pd.DataFrame) -> str:
    """What the figure shows, as one sentence."""
    rows, parts = found.set_index("arm"), []
    for arm in in_order(found["arm"], TABLE_1):
        estimate, low, high, paper = (float(rows[name].loc[arm]) for name in ("estimate", "ci_low", "ci_high", "paper"))
        ours = "–" if math.isnan(estimate) else percent(estimate, low, high)
        parts.append(f"{title(arm)} {ours} (paper {100 * paper:+.1f})")
    listed = "; ".join(parts).replace(" -", " −").replace("[-", "[−")
    return f"Points from GRPO: {listed}."


def diverged(differences: pd.DataFrame) -> str:
    """The sentence about runs that no difference contains, "" if every run finished."""
    lost: dict[str, int] = {}
    for side in "ab":
        if f"n_diverged_{side}" in differences:
            lost |= {str(arm): int(n) for arm, n in differences.groupby(side)[f"n_diverged_{side}"].max().items() if n}
    parts = [f"{title(arm)} ({lost[arm]} run{'s' if lost[arm] > 1 else ''})" for arm in in_order(lost, TABLE_1)]
    return f"Diverged: {', '.join(parts)}." if parts else ""


def draw(
    differences: Annotated[Path, typer.Option(help="differences between arms, of evals.tables.compare (Parquet)")],
) -> Drawn:
    """Draw the paper's differences from GRPO beside ours."""
    read_table(differences, NEEDED)
    table = read_table(differences)
    frame = table.to_pandas()
    rule = rule_to_show(frame["selection"])
    found = from_grpo(frame[frame["selection"] == rule])
    if found.empty:
        raise DataError(f"{differences}: no difference between GRPO and another arm of the paper's table in it")
    notes = {"selection": rule, "caption": f"Checkpoint: {describe_rule(rule)}.", "finding": finding(found)}
    lost = diverged(frame[frame["selection"] == rule])
    return Drawn(paper_vs_reproduction(found), {"differences": table}, notes, lost)
