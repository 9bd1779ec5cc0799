"""Score against tokens: majority votes by the tokens of all votes, and accuracy by the tokens that training has sampled.

python -m evals.figures budget_curves --budget budget.parquet --out-prefix F
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import pandas as pd
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from evals.figures.drawn import Drawn
from evals.figures.passk_curves import diverged
from evals.figures.style import RC, look, panels
from evals.io import DataError
from evals.names import TABLE_1, describe_rule, in_order, rule_to_show, title
from evals.tables.budget import ACCURACY, MAJORITY, SAMPLING, TRAINING, read_budget
from evals.tables.score import AVERAGE
from evals.tables.table1 import estimate_text

HELD_OUT = "validation"


def budget_curves(votes: pd.DataFrame, training: pd.DataFrame) -> Figure:
    """For each model a panel of maj@k against tokens, and one of training where it is known.

    Args:
        votes: maj_at_k rows of one selection rule and one benchmark or the average, as `evals.tables.budget` writes them.
        training: its accuracy rows of one set.
    """
    arms, models = in_order(votes["arm"], TABLE_1), sorted(set(votes["model"]))
    shown = [(model, rows[rows["model"] == model]) for model in models for rows in (votes, training)]
    shown = [(model, rows) for model, rows in shown if len(rows)]
    columns = min(2, len(shown))
    with mpl.rc_context(RC):
        figure, axes = panels((len(shown) + columns - 1) // columns, columns, height=2.7)
        for axis, (model, rows) in zip(axes, shown, strict=False):
            of_votes = rows["kind"].iloc[0] == SAMPLING
            for arm in arms:
                _line(axis, rows[rows["arm"] == arm], arm, arms)
            above = f"{model}\n" if len(models) > 1 else ""
            where = title(str(rows["benchmark"].iloc[0]))
            axis.set_title(f"{above}{where}: {'majority of k answers' if of_votes else 'accuracy in training'}")
            axis.set_xlabel(
                "tokens of all k answers to a problem" if of_votes else "tokens sampled in training (thousands)"
            )
            axis.set_ylabel("maj@k (%)" if of_votes else "accuracy (%)")
            if of_votes:
                axis.set_xscale("log", base=2)
                axis.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens:g}"))
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        seeds = votes.groupby("arm")["n_seeds"].max()
        figure.legend(
            [axes[0].containers[i][0] for i in range(len(arms))],
            [f"{title(arm)} (n = {seeds[arm]})" for arm in arms],
            loc="outside lower center",
            ncols=3,
            title=f"bars: 95 % intervals, on the right over seeds alone; checkpoint: {describe_rule(votes['selection'].iloc[0])}",
            title_fontsize=7.5,
            handlelength=3,
        )
    return figure


def _line(axis: Axes, rows: pd.DataFrame, arm: str, arms: Sequence[str]) -> None:
    rows = rows.sort_values("tokens")
    estimate = 100 * rows["estimate"]
    below, above = (
        (100 * (rows["estimate"] - rows["ci_low"])).fillna(0),
        (100 * (rows["ci_high"] - rows["estimate"])).fillna(0),
    )
    bars = {"elinewidth": 0.6, "marker": "o", "markersize": 2, **look(arm, arms)}
    unit = 1 if rows["kind"].eq(SAMPLING).all() else 1000
    axis.errorbar(rows["tokens"] / unit, estimate, yerr=[below, above], **bars)


def finding(votes: pd.DataFrame) -> str:
    """What the figure shows, as one sentence: the base model's best vote beside one answer of each arm."""
    name = title(str(votes["benchmark"].iloc[0]))
    base = votes[(votes["arm"] == "base") & (votes["k"] == votes["k"].max())]
    one = votes[(votes["arm"] != "base") & (votes["k"] == 1)]
    parts = [
        f"maj@{int(row.k)} of the {title('base')} {estimate_text(row)} ({row.tokens:.0f} tokens)"
        for row in base.itertuples()
    ]
    cells = {str(row.arm): f"{estimate_text(row)} ({row.tokens:.0f} tokens)" for row in one.itertuples()}
    parts += [f"one answer of {title(arm)} {cells[arm]}" for arm in in_order(cells, TABLE_1)]
    return f"In per cent, {name}: {'; '.join(parts)}."


def draw(
    budget: Annotated[Path, typer.Option(help="table of evals.tables.budget (Parquet)")],
    selection: Annotated[
        str | None, typer.Option(help="checkpoint rule; default: one that never looks at a benchmark")
    ] = None,
) -> Drawn:
    """Draw scores against tokens."""
    table = read_budget(budget)
    frame = table.to_pandas()
    votes = frame[(frame["kind"] == SAMPLING) & (frame["metric"] == MAJORITY)]
    rule = selection or rule_to_show(votes["selection"])
    votes = votes[votes["selection"] == rule]
    if votes.empty:
        raise DataError(
            f"{budget}: no maj@k of selection {rule!r} in it; give the table of one study, made with that rule"
        )
    votes = votes[votes["benchmark"] == (AVERAGE if AVERAGE in set(votes["benchmark"]) else min(votes["benchmark"]))]
    training = frame[(frame["kind"] == TRAINING) & (frame["metric"] == ACCURACY) & (frame["benchmark"] == HELD_OUT)]
    notes = {"selection": rule, "finding": finding(votes[votes["estimate"].notna()])}
    return Drawn(budget_curves(votes, training), {"budget": table}, notes, diverged(votes))
