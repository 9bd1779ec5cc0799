"""pass@k against k, by arm and benchmark, with 95 % intervals.

python -m evals.figures passk_curves --scores scores.parquet --selection last --out-prefix F
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import pandas as pd
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evals.estimates.outcomes import AT, in_words
from evals.figures.drawn import Drawn
from evals.figures.style import RC, look, panels
from evals.io import DataError
from evals.names import TABLE_1, describe_rule, in_order, rule_to_show, title
from evals.tables import paper_values
from evals.tables.score import AVERAGE, read_scores
from evals.tables.table1 import estimate_text

COLUMNS = 3
SPREAD = 0.3  # of an octave: how far the arms' bars are set apart so that they can be told


def passk_curves(scores: pd.DataFrame) -> Figure:
    """One panel per model and benchmark, one line per arm.

    Args:
        scores: pass_at_k rows of one selection rule, as `evals.tables.score` writes them.
    """
    arms, models = in_order(scores["arm"], TABLE_1), sorted(set(scores["model"]))
    names = in_order(scores["benchmark"], paper_values.BENCHMARKS)
    there = set(zip(scores["model"], scores["benchmark"], strict=True))
    shown = [(model, name) for model in models for name in names if (model, name) in there]
    columns = min(COLUMNS, len(shown))
    with mpl.rc_context(RC):
        figure, axes = panels(math.ceil(len(shown) / columns), columns, height=2.5)
        for axis, (model, name) in zip(axes, shown, strict=False):
            rows = scores[(scores["benchmark"] == name) & (scores["model"] == model)]
            for position, arm in enumerate(arms):
                line(axis, rows[rows["arm"] == arm], position, arms)
            _label(axis, name, rows, f"{model}\n" if len(models) > 1 else "")
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        for axis in axes[: len(shown) : columns]:
            axis.set_ylabel("pass@k (%)")
        seeds = scores.groupby("arm")["n_seeds"].max()
        rule, more = describe_rule(scores["selection"].iloc[0]), more_samples(scores)
        figure.legend(
            [axes[0].containers[i][0] for i in range(len(arms))],
            [f"{title(arm)} (n = {seeds[arm]}{more.get(arm, '')})" for arm in arms],
            loc="outside lower center",
            ncols=3,
            title=f"bars: 95 % intervals over problems, samples and the n training seeds; checkpoint: {rule}",
            title_fontsize=7.5,
            handlelength=3,
        )
    return figure


def line(axis: Axes, rows: pd.DataFrame, position: int, arms: Sequence[str]) -> None:
    """pass@k of the arm at a position among those of a figure, with bars."""
    rows, shift = rows.sort_values("k"), 2 ** (SPREAD * ((position + 0.5) / len(arms) - 0.5))
    estimate = 100 * rows["estimate"]
    below, above = estimate - 100 * rows["ci_low"], 100 * rows["ci_high"] - estimate
    bars = {"elinewidth": 0.7, "marker": "o", "markersize": 2, **look(arms[position], arms)}
    axis.errorbar(rows["k"] * shift, estimate, yerr=[below, above], **bars)


def axis_of_k(axis: Axes, ks: Sequence[int]) -> None:
    """k from left to right, doubling."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(ks, [str(k) for k in ks])
    axis.minorticks_off()
    axis.set_xlabel("k (samples)")


def more_samples(scores: pd.DataFrame) -> dict[str, str]:
    """What the legend adds for an arm with more samples per problem than the others, as the base model may have."""
    cells = scores["n_problems"] * scores["n_seeds"]
    most = (scores["n_samples"] / cells.where(cells > 0)).groupby(scores["arm"]).max()
    return {str(arm): f"; {n:.0f} samples" for arm, n in most.items() if n > most.min()}


def _label(axis: Axes, name: str, rows: pd.DataFrame, above: str) -> None:
    axis_of_k(axis, sorted(set(rows["k"])))
    rows = rows[rows["estimate"].notna()]
    problems, samples = int(rows["n_problems"].max()), rows["n_samples"] / (rows["n_problems"] * rows["n_seeds"])
    # The average weighs benchmarks equally, so its samples per problem mean nothing.
    per_problem = "" if name == "average" else f" × {samples.min():.0f} samples"
    axis.set_title(f"{above}{title(name)}: {problems} problems{per_problem}")


def finding(scores: pd.DataFrame) -> str:
    """What the figure shows, as one sentence: the largest k of all arms, averaged over the benchmarks if there are several."""
    name = AVERAGE if AVERAGE in set(scores["benchmark"]) else in_order(scores["benchmark"], ())[0]
    chosen = scores[scores["benchmark"] == name]
    chosen = chosen[chosen["k"] == chosen.groupby("arm")["k"].max().min()]  # the base model may have more samples
    cells = {row.arm: estimate_text(row) for row in chosen.itertuples()}
    parts = [f"{title(arm)} {cells[arm]}" for arm in in_order(chosen["arm"], TABLE_1)]
    return f"pass@{chosen['k'].max()} in per cent, {title(name)}: {'; '.join(parts)}."


def diverged(scores: pd.DataFrame) -> str:
    """The sentence about seeds that no line contains, "" if every run finished."""
    parts = []
    for (model, arm), rows in scores.groupby(["model", "arm"], sort=False):
        steps = rows[AT].iloc[0] if AT in rows else []
        if len(steps):
            where = f"{model}: " if scores["model"].nunique() > 1 else ""
            parts.append(f"{where}{title(str(arm))} {in_words(int(rows['n_seeds'].max()), steps)}")
    return f"Left out: {'; '.join(parts)}." if parts else ""


def draw(
    scores: Annotated[Path, typer.Option(help="scores of evals.tables.score (Parquet)")],
    selection: Annotated[
        str | None, typer.Option(help="checkpoint rule; default: one that never looks at a benchmark")
    ] = None,
) -> Drawn:
    """Draw pass@k curves."""
    table = read_scores(scores)
    frame = table.to_pandas()
    frame = frame[frame["metric"] == "pass_at_k"].astype({"k": int})
    if frame.empty:
        raise DataError(f"{scores}: no pass@k in it; score with --k")
    rule = selection or rule_to_show(frame["selection"])
    chosen = frame[frame["selection"] == rule]
    if chosen.empty:
        raise DataError(f"{scores}: no selection {rule!r}; there are {', '.join(sorted(set(frame['selection'])))}")
    notes = {"selection": rule, "finding": finding(chosen)}
    return Drawn(passk_curves(chosen), {"scores": table}, notes, diverged(chosen))
