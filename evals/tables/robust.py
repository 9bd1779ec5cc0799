"""Interquartile means, performance profiles and P(A > B) of every arm, from the scores of its runs (evals.estimates.robust).

    python -m evals.tables.robust --runs run_scores.parquet --against grpo --draws 10000 --seed 0 \\
        --out robust.parquet --markdown robust.md

Scores are avg@n by run and benchmark; the average over benchmarks is none of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from numpy.typing import NDArray

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.outcomes import AT, STEPS, finished, in_words, of_frame
from evals.estimates.robust import interquartile_mean, probability_above, profile, stratified_interval
from evals.estimates.stats import DIGITS
from evals.io import derived, read_metadata, write_table, write_text
from evals.names import EVERY_ARM, describe_rule, in_order, percent, title
from evals.tables.options import Against, Draws, Markdown, Out, Seed, require_against
from evals.tables.run_scores import read_run_scores
from evals.tables.score import AVERAGE

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "selection", "arm", "quantity", "against")),
        ("threshold", pa.float64()),  # of a profile
        *((name, pa.float64()) for name in ("estimate", "ci_low", "ci_high")),  # ends null with a single run
        ("n_seeds", pa.int32()),
        ("n_benchmarks", pa.int32()),
        ("n_diverged", pa.int32()),  # training seeds that are in no estimate
        (AT, STEPS),  # the step of each
    ]
)
IQM, PROFILE, ABOVE = "iqm", "profile", "p_above"
THRESHOLDS = tuple(round(0.1 * i, 1) for i in range(1, 10))
IN_WORDS = (0.2, 0.4, 0.6, 0.8)
"""Thresholds that the Markdown shows."""

Arms = Mapping[str, NDArray[np.float64]]
"""arm -> [runs, benchmarks]."""


def scores_of(frame: pd.DataFrame) -> Arms:
    """The scores of one model under one selection rule; runs without a score on some benchmark are left out."""
    mine = finished(frame[(frame["metric"] == "avg_at_n") & (frame["benchmark"] != AVERAGE)])
    found = {}
    for arm, rows in mine.groupby("arm"):
        wide = rows.pivot(index="train_seed", columns="benchmark", values="value").dropna()
        if len(wide):
            found[str(arm)] = wide.to_numpy(float)
    return found


def robust_rows(arms: Arms, against: str | None, seed: int, draws: int) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA without model and selection."""
    bootstrap = partial(stratified_interval, seed=seed, draws=draws)
    for arm in in_order(arms, EVERY_ARM):
        mine = arms[arm]
        about = {"arm": arm, "n_seeds": len(mine), "n_benchmarks": mine.shape[1]}
        yield about | {"quantity": IQM, **_estimated(interquartile_mean, [mine], bootstrap)}
        for threshold in THRESHOLDS:
            point = _estimated(share_of_runs(mine, threshold), [numbers(mine)], bootstrap)
            yield about | {"quantity": PROFILE, "threshold": threshold, **point}
        if against is not None and against in arms and arm != against and arms[against].shape[1] == mine.shape[1]:
            other = arms[against]
            above = _estimated(wins_of_runs(mine, other), [numbers(mine), numbers(other)], bootstrap)
            yield about | {"quantity": ABOVE, "against": against, **above}


def numbers(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The runs of an arm by number, [runs, 1], to be resampled by statistics that have looked at every run before."""
    return np.arange(len(scores))[:, None]


def share_of_runs(scores: NDArray[np.float64], threshold: float) -> Callable[..., NDArray[np.float64]]:
    """`profile` of resampled runs, given by number: how many scores of a run are above a threshold is the same in every draw.

    >>> float(share_of_runs(np.array([[0.0, 0.4], [0.6, 1.0]]), 0.5)(np.array([[0], [1]])))
    0.5
    """
    benchmarks = scores.shape[1]
    above = np.rint(benchmarks * profile(scores[:, None], threshold))  # whole numbers, whose sums are exact

    def statistic(drawn: NDArray[np.intp]) -> NDArray[np.float64]:
        return above[drawn[..., 0]].sum(axis=-1) / (drawn.shape[-2] * benchmarks)

    return statistic


def wins_of_runs(a: NDArray[np.float64], b: NDArray[np.float64]) -> Callable[..., NDArray[np.float64]]:
    """`probability_above` of resampled runs, given by number: two runs compare alike in every draw that has both.

    >>> float(wins_of_runs(np.array([[0.5], [0.9]]), np.array([[0.5], [0.1]]))(np.array([[0], [1]]), np.array([[0], [1]])))
    0.875
    """
    benchmarks = a.shape[1]
    halves = 2 * benchmarks * probability_above(a[:, None, None], b[None, :, None])  # [runs, runs]: a win is 2, a tie 1
    wins = np.rint(halves)

    def statistic(first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float64]:
        pairs = 2 * first.shape[-2] * second.shape[-2] * benchmarks
        return ((how_often(first, len(a)) @ wins) * how_often(second, len(b))).sum(axis=-1) / pairs

    return statistic


def how_often(drawn: NDArray[np.intp], runs: int) -> NDArray[np.intp]:
    """How often each run is drawn, [..., runs], from the numbers of those drawn, [..., drawn, 1].

    >>> how_often(np.array([[0], [2], [2]]), 3).tolist()
    [1, 0, 2]
    """
    draws = drawn.reshape(-1, drawn.shape[-2])
    places = draws + runs * np.arange(len(draws))[:, None]
    return np.bincount(places.ravel(), minlength=runs * len(draws)).reshape(*drawn.shape[:-2], runs)


def _estimated(statistic: Any, arms: Sequence[NDArray[Any]], bootstrap: Any) -> dict[str, float | None]:
    low, high = bootstrap(statistic, arms) or (None, None)
    values = {"estimate": float(statistic(*arms)), "ci_low": low, "ci_high": high}
    return {name: None if value is None else round(value, DIGITS) for name, value in values.items()}


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown, a block for each model and selection rule."""
    parts = ["# Robust aggregates\n"]
    for model, rule in dict.fromkeys((row["model"], row["selection"]) for row in rows):
        mine = [row for row in rows if (row["model"], row["selection"]) == (model, rule)]
        parts += [f"## {model}, checkpoint: {describe_rule(rule)}\n", block(mine)]
    parts.append(
        "Of avg@n by run and benchmark, in per cent with 95 % intervals (runs resampled within their arm). Interquartile mean: "
        "of the middle half of all scores. P(above): of two runs, one of each arm, on one benchmark; 50 says that neither is "
        "better. Last: share of scores above 20, 40, 60 and 80 %. Definitions: evals/estimates/robust.py.\n"
    )
    return "\n".join(parts)


def block(rows: Sequence[Mapping[str, Any]]) -> str:
    """One row per arm."""
    against = next((row["against"] for row in rows if row["against"]), None)
    head = ["arm", "seeds", "interquartile mean", *([f"P(above {title(against)})"] if against else []), "scores above"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        one = {row["quantity"]: row for row in mine if row["quantity"] != PROFILE}
        seeds = "; ".join(filter(None, [str(one[IQM]["n_seeds"]), in_words(one[IQM]["n_seeds"], one[IQM][AT])]))
        shares = [f"{100 * row['estimate']:.0f}" for row in mine if row["threshold"] in IN_WORDS]
        cells = [title(arm), seeds, _text(one[IQM])]
        cells += [_text(one[ABOVE]) if ABOVE in one else "–"] if against else []
        lines.append(f"| {' | '.join([*cells, ' / '.join(shares)])} |")
    return "\n".join(lines) + "\n"


def _text(row: Mapping[str, Any]) -> str:
    if row["estimate"] is None:
        return "–"
    if row["ci_low"] is None:
        return f"{100 * row['estimate']:.1f}"
    return percent(row["estimate"], row["ci_low"], row["ci_high"])


def main(
    runs: Annotated[Path, typer.Option(help="scores of each run, of evals.tables.run_scores (Parquet)")],
    draws: Draws,
    seed: Seed,
    out: Out,
    markdown: Markdown,
    against: Against = None,
) -> None:
    """Aggregate runs so that one far run does not decide."""
    scores = read_run_scores(runs).to_pandas()
    require_against(against, scores["arm"], str(runs))
    rows = []
    for (model, rule), frame in scores.groupby(["model", "selection"], sort=True):
        about = {"model": model, "selection": rule}
        lost = {arm: sorted(seeds.values()) for (_, arm), seeds in of_frame(frame).items()}
        found = list(robust_rows(scores_of(frame), against, seed, draws))
        gone = [{"arm": arm, "quantity": IQM, "n_seeds": 0} for arm in lost if all(row["arm"] != arm for row in found)]
        for row in [*found, *gone]:
            steps = lost.get(row["arm"], [])
            rows.append(about | row | {"n_diverged": len(steps), AT: steps})
    table = pa.Table.from_pylist(rows, SCHEMA)
    origin = derived({"run_scores": read_metadata(runs)})
    write_table(table, out, {"data_hash": data_hash(table), "draws": draws, "bootstrap_seed": seed, **origin})
    write_text(render(table.to_pylist()), markdown)


if __name__ == "__main__":
    run(main)
