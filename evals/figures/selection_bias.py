"""How much scores change when a reported benchmark selects the checkpoint, against a rule that never looks at one.

python -m evals.figures selection_bias --run-scores run_scores.parquet --out-prefix F
"""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from evals.estimates.outcomes import finished, of_frame
from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import IN_WORDS, Band, RunScores
from evals.figures.style import RC, panels
from evals.io import DataError
from evals.names import EVERY_ARM, describe_rule, in_order, rule_to_show, title
from evals.tables.run_scores import read_run_scores
from evals.tables.score import AVERAGE

LOOKS = (("selected", "#D55E00", "o"), ("other", "#0072B2", "s"))


def gains(scores: pd.DataFrame, best_on: str, never_looks: str) -> pd.DataFrame:
    """model, arm, train_seed, `selected` and `other`: avg@n under the rule `best_on` minus under the rule `never_looks`, on the
    benchmark that `best_on` looks at and on the mean of the others."""
    name = best_on.removeprefix("best_on:")
    chosen = scores[(scores["metric"] == "avg_at_n") & (scores["arm"] != "base") & (scores["benchmark"] != AVERAGE)]
    wide = chosen.pivot_table(
        index=["model", "arm", "train_seed", "benchmark"], columns="selection", values="value", observed=True
    )
    difference = (wide[best_on] - wide[never_looks]).rename("gain").reset_index()
    kind = difference["benchmark"].eq(name).map({True: "selected", False: "other"}).rename("kind")
    return difference.groupby(["model", "arm", "train_seed", kind])["gain"].mean().unstack("kind").reset_index()


def selection_bias(found: pd.DataFrame, best_on: str, never_looks: str, band: Band) -> Figure:
    """A panel per model, a row per arm, from the rows of `gains`."""
    models, arms, seeds = sorted(set(found["model"])), in_order(found["arm"], EVERY_ARM), series.counted(found)
    benchmark = best_on.removeprefix("best_on:")
    labels = {"selected": f"on {title(benchmark)} itself", "other": "mean of the other benchmarks"}
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), 1, height=0.6 + 0.27 * len(arms))
        for axis, model in zip(axes, models, strict=True):
            axis.axvline(0, color="#999999", linewidth=0.6)
            for (kind, colour, marker), shift in zip(LOOKS, (0.14, -0.14), strict=True):
                for row, arm in enumerate(arms):
                    mine = found[(found["arm"] == arm) & (found["model"] == model)]
                    point = series.summary(100 * mine[kind], band) if kind in mine else series.summary([], band)
                    bars = [[point.mean - point.low], [point.high - point.mean]]
                    label = labels[kind] if row == 0 and axis is axes[0] else None
                    style: dict[str, Any] = {
                        "color": colour,
                        "marker": marker,
                        "markersize": 4,
                        "capsize": 2,
                        "linestyle": "none",
                    }
                    axis.errorbar([point.mean], [shift - row], xerr=bars, label=label, **style)
            axis.set_yticks([-row for row in range(len(arms))], [f"{title(arm)} (n = {seeds[arm]})" for arm in arms])
            axis.set_ylim(-len(arms) + 0.4, 0.6)
            axis.set_xlabel(f"avg@n, checkpoint best on {title(benchmark)} minus {never_looks} (points)")
            axis.set_title(model if len(models) > 1 else "")
        heading = f"mean over n training seeds; bars: {IN_WORDS[band]}"
        figure.legend(loc="outside lower center", ncols=2, title=heading, title_fontsize=7.5)
    return figure


def finding(found: pd.DataFrame, best_on: str, never_looks: str) -> str:
    """What the figure shows, as one sentence. Arms share a seed's random numbers, so they are averaged within it first."""
    by_seed, parts = found.groupby("train_seed")[[kind for kind, *_ in LOOKS if kind in found]].mean(), []
    band = Band.t if len(by_seed) >= series.MIN_SEEDS else Band.range
    for kind, words in (("selected", "on that benchmark"), ("other", "on the others")):
        if kind in by_seed:
            parts.append(f"{series.summary(100 * by_seed[kind], band).text('+.1f')} points {words}")
    return (
        f"Reporting the checkpoint {describe_rule(best_on)} instead of the one {describe_rule(never_looks)} changes avg@n by "
        f"{' and '.join(parts)} (mean over arms, then over n = {len(by_seed)} seeds)."
    )


def draw(run_scores: RunScores) -> Drawn:
    """Draw what selecting on a benchmark does."""
    table = read_run_scores(run_scores)
    scores = table.to_pandas()
    rules = sorted(set(scores["selection"]))
    best_on, never_looks = next((rule for rule in rules if rule.startswith("best_on:")), None), rule_to_show(rules)
    if best_on is None or never_looks == best_on:
        raise DataError(f"{run_scores}: selection rules are {', '.join(rules)}; one best_on: and one other are needed")
    lost = of_frame(scores[scores["selection"] == never_looks])
    scores = finished(scores)
    if scores[scores["arm"] != "base"].empty:
        return nothing_finished({"run_scores": table}, lost)
    found = gains(scores, best_on, never_looks)
    band = series.band_of(found)
    notes = {"band": band.value, "seeds": series.counted(found), "finding": finding(found, best_on, never_looks)}
    return Drawn(selection_bias(found, best_on, never_looks, band), {"run_scores": table}, notes, diverged(lost))
