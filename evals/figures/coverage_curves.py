"""pass@k against k, and beside it Cover@tau against tau: the share of problems solved at least so often, by arm and benchmark.

python -m evals.figures coverage_curves --scores scores.parquet --coverage coverage.parquet --out-prefix F
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

from evals.figures.drawn import Drawn
from evals.figures.passk_curves import axis_of_k, diverged, line
from evals.figures.style import RC, look, panels
from evals.io import DataError
from evals.names import TABLE_1, describe_rule, in_order, rule_to_show, title
from evals.tables import paper_values
from evals.tables.coverage import COVER, read_coverage
from evals.tables.score import read_scores
from evals.tables.table1 import estimate_text

COLUMNS = 3
BARS_AT = (0.25, 0.5, 0.75, 1.0)
"""tau whose intervals are drawn; at every one they would hide the lines."""
SPREAD = 0.06  # of tau: how far the arms' bars are set apart


def coverage_curves(passes: pd.DataFrame, covers: pd.DataFrame) -> Figure:
    """For each model a panel of pass@k of the average (or the only benchmark), then one of Cover@tau for each benchmark.

    Args:
        passes: pass_at_k rows of one selection rule, as `evals.tables.score` writes them.
        covers: cover rows of the same rule, as `evals.tables.coverage` writes them.
    """
    arms, shown = in_order(covers["arm"], TABLE_1), []
    for model in sorted(set(covers["model"])):
        mine, theirs = (frame[frame["model"] == model] for frame in (covers, passes))
        names = in_order(mine["benchmark"], paper_values.BENCHMARKS)
        shown.append(("pass@k", model, names[-1], theirs[theirs["benchmark"] == names[-1]]))
        shown += [("Cover@tau", model, name, mine[mine["benchmark"] == name]) for name in [names[-1], *names[:-1]]]
    columns = min(COLUMNS, len(shown))
    with mpl.rc_context(RC):
        figure, axes = panels(math.ceil(len(shown) / columns), columns, height=2.5)
        for axis, (kind, model, name, rows) in zip(axes, shown, strict=False):
            (_passes if kind == "pass@k" else _covers)(axis, rows, arms)
            several = covers["model"].nunique() > 1
            what = f"{title(name)}: {kind}"
            axis.set_title(f"{model}\n{what}" if several else what)
            axis.set_ylim(0, 100)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        seeds = covers.groupby("arm")["n_seeds"].max()
        rule = describe_rule(covers["selection"].iloc[0])
        figure.legend(
            [axes[0].containers[i][0] for i in range(len(arms))],
            [f"{title(arm)} (n = {seeds[arm]})" for arm in arms],
            loc="outside lower center",
            ncols=3,
            title=f"bars: 95 % intervals over problems, samples and the n training seeds; checkpoint: {rule}",
            title_fontsize=7.5,
            handlelength=3,
        )
    return figure


def _passes(axis: Axes, rows: pd.DataFrame, arms: Sequence[str]) -> None:
    for position, arm in enumerate(arms):
        line(axis, rows[rows["arm"] == arm], position, arms)
    axis_of_k(axis, sorted(set(rows["k"].astype(int))))
    axis.set_ylabel("pass@k (%)")


def _covers(axis: Axes, rows: pd.DataFrame, arms: Sequence[str]) -> None:
    for position, arm in enumerate(arms):
        mine = rows[rows["arm"] == arm].sort_values("tau")
        axis.plot(mine["tau"], 100 * mine["estimate"], **look(arm, arms))
        barred = mine[mine["tau"].isin(BARS_AT)]
        at = barred["tau"] + SPREAD * ((position + 0.5) / len(arms) - 0.5)
        estimate = 100 * barred["estimate"]
        below, above = estimate - 100 * barred["ci_low"], 100 * barred["ci_high"] - estimate
        axis.errorbar(at, estimate, yerr=[below, above], fmt="none", elinewidth=0.6, ecolor=look(arm, arms)["color"])
    axis.set_xticks([0, *BARS_AT], ["0", *(f"{tau:g}" for tau in BARS_AT)])
    axis.set_xlabel("tau (share of correct samples)")
    axis.set_ylabel("Cover@tau (%)")


def finding(covers: pd.DataFrame) -> str:
    """What the figure shows, as one sentence: how many problems are solved rarely, and how many reliably."""
    name = in_order(covers["benchmark"], paper_values.BENCHMARKS)[-1]
    chosen = covers[covers["benchmark"] == name]
    low, high = chosen["tau"].min(), max(tau for tau in BARS_AT if tau < 1)
    parts = []
    for tau in (low, high):
        cells = {str(row.arm): estimate_text(row) for row in chosen[chosen["tau"] == tau].itertuples()}
        parts.append(f"Cover@{tau:g} {', '.join(f'{title(arm)} {cells[arm]}' for arm in in_order(cells, TABLE_1))}")
    return f"In per cent, {title(name)}: {'; '.join(parts)}."


def draw(
    scores: Annotated[Path, typer.Option(help="scores of evals.tables.score (Parquet)")],
    coverage: Annotated[Path, typer.Option(help="table of evals.tables.coverage (Parquet)")],
    selection: Annotated[
        str | None, typer.Option(help="checkpoint rule; default: one that never looks at a benchmark")
    ] = None,
) -> Drawn:
    """Draw pass@k and Cover@tau curves."""
    tables = {"scores": read_scores(scores), "coverage": read_coverage(coverage)}
    frames = {name: table.to_pandas() for name, table in tables.items()}
    passes = frames["scores"][frames["scores"]["metric"] == "pass_at_k"]
    covers = frames["coverage"][frames["coverage"]["metric"] == COVER]
    rule = selection or rule_to_show(covers["selection"])
    passes, covers = passes[passes["selection"] == rule], covers[covers["selection"] == rule]
    for path, rows in ((scores, passes), (coverage, covers)):
        if rows.empty:
            raise DataError(
                f"{path}: nothing of selection {rule!r} in it; give tables of one study, made with that rule"
            )
    notes = {"selection": rule, "finding": finding(covers)}
    return Drawn(coverage_curves(passes, covers), tables, notes, diverged(covers))
