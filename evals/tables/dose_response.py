"""Outcomes of training against the dose of each arm (evals.protocol.dose): the table, and the same to read.

    python -m evals.tables.dose_response --measures measures.parquet --metrics runs/*/*/*/metrics.parquet \\
        --protocol protocol.json --draws 10000 --seed 2604 --out dose_response.parquet --markdown dose_response.md

Rows of `part`
  arm   an arm's dose and mean outcome, 95 % interval over runs; `in_fit`: it differs from GRPO in its advantage alone
  fit   `quantity`: slope and slope_over_arms (per 0.1 of dose), spearman; over the arms in the fit
Arms with a diverged run, or a run that lacks the measure, or fewer than three seeds are in no fit; `left_out` names them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.claims.checks import CONTROLS
from evals.claims.decided import measured
from evals.claims.effects import MIN_SEEDS, Measured, effect
from evals.claims.measures import SCHEMA as MEASURES_SCHEMA
from evals.claims.table import POOL
from evals.cli import run
from evals.estimates.stats import DIGITS
from evals.io import DataError, check_table, derived, read_metadata, read_table, write_table, write_text
from evals.names import EVERY_ARM, in_order
from evals.protocol.dose import LEVEL, OUTCOMES
from evals.protocol.rows import stated_by
from evals.tables import dose_fit
from evals.tables.dose_fit import Estimate
from evals.tables.dose_words import render
from evals.tables.doses import Doses, afterwards, declared
from evals.tables.options import Draws, Markdown, Out, Seed

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "part", "measure", "quantity", "arm")),
        ("dose", pa.float64()),  # null: the arm has none
        ("besides", pa.string()),  # what else tells the arm from GRPO
        ("in_fit", pa.bool_()),
        *((name, pa.float64()) for name in ("estimate", "ci_low", "ci_high")),  # ends null where there are too few runs
        ("n_arms", pa.int32()),
        ("n_seeds", pa.int32()),  # of an arm; of a fit: runs
        ("left_out", pa.string()),
        ("declared", pa.string()),
    ]
)
TAIL = (1 - LEVEL) / 2


def rows_of(
    doses: Doses, measure: str, arms: Mapping[str, Measured], seed: int, draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA without model, of one measure."""
    about = {"measure": measure, "declared": doses.declared}
    whole = {arm for arm, mine in arms.items() if not (mine.diverged or mine.lacking) and len(mine.values) >= MIN_SEEDS}
    fitted = {arm: x for arm, x in doses.alone.items() if arm in whole}
    pool = (POOL | set(fitted)) - CONTROLS
    for arm in in_order(doses.arms.keys() & arms.keys(), EVERY_ARM):
        if not arms[arm].values:
            continue
        alone = effect({arm: 1.0}, arms, pool=pool)
        mean = float(np.mean(list(arms[arm].values.values())))
        ends = (alone.end(TAIL), alone.end(1 - TAIL)) if alone and alone.std_error else (None, None)
        told = {"arm": arm, "dose": doses.arms[arm], "besides": ", ".join(doses.besides.get(arm, [])) or None}
        told |= {"in_fit": arm in fitted, "n_seeds": len(arms[arm].values)}
        yield about | told | {"part": "arm", **_numbers(Estimate(mean, *ends))}
    missing = [arm for arm in doses.alone if arm in arms and arm not in whole]
    told = {"n_arms": len(fitted), "n_seeds": sum(len(arms[arm].values) for arm in fitted)}
    told |= {"left_out": ", ".join(missing) or None}
    for quantity, found in fits(fitted, arms, pool, seed, draws).items():
        yield about | told | {"part": "fit", "quantity": quantity, **_numbers(found)}


def fits(
    doses: Mapping[str, float], arms: Mapping[str, Measured], pool: Collection[str], seed: int, draws: int
) -> dict[str, Estimate]:
    """Slope over runs, over arms, and Spearman's correlation; empty with fewer than three different doses."""
    if len({round(x, 9) for x in doses.values()}) < dose_fit.FEWEST:
        return {}
    runs = [np.array(list(arms[arm].values.values())) for arm in doses]
    slope = dose_fit.over_runs(doses, arms, pool)
    assert slope is not None  # every arm has seeds enough
    ends = (slope.end(TAIL), slope.end(1 - TAIL)) if slope.std_error else (None, None)
    x, means = list(doses.values()), [float(mine.mean()) for mine in runs]
    return {
        "slope": Estimate(slope.estimate, *ends),
        "slope_over_arms": dose_fit.over_arms(x, means, LEVEL),
        "spearman": dose_fit.spearman(x, runs, LEVEL, seed, draws),
    }


def _numbers(found: Estimate) -> dict[str, float | None]:
    values = {"estimate": found.value, "ci_low": found.low, "ci_high": found.high}
    return {name: None if x is None or not np.isfinite(x) else round(float(x), DIGITS) for name, x in values.items()}


def main(
    measures: Annotated[Path, typer.Option(help="measures of each run, of evals.claims (Parquet)")],
    metrics: Annotated[list[Path], typer.Option(help="metrics.parquet of the runs")],
    draws: Draws,
    seed: Seed,
    out: Out,
    markdown: Markdown,
    protocol: Annotated[
        Path | None, typer.Option(help="protocol that declares the doses (asymgrpo prereg --runs); default: none does")
    ] = None,
    conventions: Annotated[
        list[Path] | None, typer.Option(help="conventions.json of the runs: doses after the fact, if none are declared")
    ] = None,
) -> None:
    """Set outcomes of training against the doses of arms."""
    table = read_table(measures)
    check_table(table, measures, MEASURES_SCHEMA, nullable=["value", "sampling_sd", "selection", "diverged_at"])
    stated = stated_by(read_metadata(path) for path in metrics)
    doses = declared(protocol, stated) if protocol else {}
    if not doses:
        doses = afterwards(metrics, conventions or [])
    if not any(mine.arms for mine in doses.values()):
        raise DataError(
            f"{measures}: no arm of these runs has a dose; give --protocol, or --conventions of runs with GRPO"
        )
    found = list(_all_rows(table.to_pandas(), doses, seed, draws))
    made = pa.Table.from_pylist(found, SCHEMA)
    origin = derived({"measures": read_metadata(measures)})
    write_table(made, out, {"data_hash": data_hash(made), "draws": draws, "bootstrap_seed": seed, **origin})
    write_text(render(made.to_pylist()), markdown)


def _all_rows(frame: Any, doses: Mapping[str, Doses], seed: int, draws: int) -> Iterator[dict[str, Any]]:
    for model, mine in frame.groupby("model", sort=True):
        names: Sequence[str] = OUTCOMES if model in doses else ()
        for name in names:
            for row in rows_of(doses[model], name, measured(mine, name), seed, draws):
                yield {"model": model, **row}


if __name__ == "__main__":
    run(main)
