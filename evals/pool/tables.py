"""The tables of a pool, from the tables of its joined bundle: Table 1, claims and disagreements."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from asymgrpo.content import data_hash
from asymgrpo.study.stored import document
from evals.claims.decided import SCHEMA as CLAIMS
from evals.claims.measures import SCHEMA as MEASURES
from evals.claims.readings import Endpoint
from evals.estimates.outcomes import AT
from evals.estimates.stats import DIGITS
from evals.io import DataError, check_table, derived, read_metadata, read_object, read_table, write_table, write_text
from evals.pool import settings as of_settings
from evals.pool.claims import Labs, Pool, by_laboratory, claim_rows, disagreements, opposite
from evals.pool.factor import LABORATORY, Factor
from evals.pool.laboratories import Laboratory
from evals.pool.measured import of_all
from evals.pool.scores import CELL, rows
from evals.pool.words import page
from evals.tables.run_scores import read_run_scores

SPREADS = [(f"sd_{name}", pa.float64()) for name in ("seeds", "laboratory", "laboratory_arm")]
"""Standard deviations of the random effects, in the units of what they are of."""
LEFT_OUT = ("selection", "checks", "protocol", "sentence", "n_diverged")
POOLED_CLAIMS = pa.schema(
    [*(field for field in CLAIMS if field.name not in LEFT_OUT), *SPREADS, ("verdict_without", pa.string())]
)
ENDS = [(name, pa.float64()) for name in ("estimate", "ci_low", "ci_high")]
POOLED_SCORES = pa.schema(
    [
        *((name, pa.int32() if name == "k" else pa.string()) for name in CELL),
        ("arm", pa.string()),
        *ENDS,  # ends null where no arm has two runs
        *SPREADS,
        ("n_seeds", pa.int32()),
        ("n_laboratories", pa.int32()),
        ("laboratories", pa.list_(pa.struct([("laboratory", pa.string()), ("mean", pa.float64())]))),
    ]
)
DISAGREEMENTS = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "id", "laboratory", "measure", "unit")),
        *((name, pa.float64()) for name in ("estimate", "ci95_low", "ci95_high")),  # of this laboratory alone
        ("n_seeds", pa.int32()),
        ("verdict", pa.string()),
        ("why_not", pa.string()),
        ("p_differ", pa.float64()),  # of all laboratories having one contrast
        ("differ", pa.bool_()),  # p_differ is below 0.05 / claims tested
        ("opposite", pa.bool_()),  # one laboratory supports the claim, another contradicts it
    ]
)
BY_LABORATORY = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "laboratory", "arm", "measure", "unit")),
        *((name, pa.float64()) for name in ("estimate", "ci95_low", "ci95_high", "std_error", "degrees")),
        ("n_seeds", pa.int32()),
    ]
)
"""Every measure of every arm in each laboratory by itself; its arms share one variance between seeds."""
READ = ("pooled_table1", "pooled_claims", "disagreements")
"""Tables that pooled.md shows."""
TABLES = (*READ, "by_laboratory")
SETTINGS = "settings.json"


def labs_of(laboratories: Mapping[str, Mapping[str, Any]]) -> Labs:
    """(model, arm, seed) -> laboratory, from config/laboratories.json.

    >>> labs_of({"lima": {"runs": ["tiny/grpo/seed3"]}})
    {('tiny', 'grpo', 3): 'lima'}
    """
    found = {}
    for name, told in laboratories.items():
        for run in told["runs"]:
            model, arm, seed = run.split("/")
            found[model, arm, int(seed.removeprefix("seed"))] = name
    return found


def make(
    laboratories: Path, run_scores: Path, measures: Path, out: Path, endpoint: Endpoint = Endpoint.checkpoint
) -> None:
    """Write the tables of TABLES and pooled.md from those of a joined bundle; endpoint: of claims on accuracy.

    Raises:
        DataError: a table is of other runs than the laboratories'.
    """
    of_labs = read_object(laboratories)
    labs, by_run = labs_of(of_labs), read_table(measures)
    check_table(by_run, measures, MEASURES, nullable=["value", "sampling_sd", "selection", AT])
    scores = read_run_scores(run_scores).to_pandas()
    frame = by_run.to_pandas()
    for path, mine in ((run_scores, scores), (measures, frame)):
        _need_laboratories(path, mine, labs)
    origin = derived({"run_scores": read_metadata(run_scores), "measures": read_metadata(measures)})
    write(of_labs, scores, frame, out, endpoint, LABORATORY, origin)


def make_of_settings(
    settings: Sequence[Laboratory], differ: Sequence[str], out: Path, factor: Factor = Factor("setting", settings=True)
) -> None:
    """The same from the bundles of settings, and settings.json: the value that each has of every key that differs.

    Args:
        differ: keys of the configuration that are meant to differ.

    Raises:
        KeyUnknown, PoolError: as evals.pool.settings.require.
    """
    of_settings.require(settings, differ)
    scores, frame = of_all(settings)
    about = of_settings.told(settings, differ, factor.name)
    write_text(document(about), out / SETTINGS)
    endpoint = Endpoint(settings[0].study.evaluation.endpoint)
    origin = derived({name: {"data_hash": one["manifest_sha256"]} for name, one in about["settings"].items()})
    write(about["settings"], scores, frame, out, endpoint, factor, origin | {"settings_differ": about["differ"]})


def write(
    laboratories: Mapping[str, Mapping[str, Any]],
    scores: pd.DataFrame,
    measures: pd.DataFrame,
    out: Path,
    endpoint: Endpoint,
    factor: Factor,
    origin: Mapping[str, Any],
) -> None:
    """Write the tables of TABLES and pooled.md.

    Args:
        laboratories: name -> {runs, ...}. scores, measures: of all runs. origin: what the tables say of theirs.
    """
    labs = labs_of(laboratories)
    pools = {
        str(model): Pool(mine, str(model), labs, endpoint, factor)
        for model, mine in measures.groupby("model", sort=True)
    }
    found = {
        "pooled_table1": pa.Table.from_pylist([rounded(row) for row in rows(scores, labs)], POOLED_SCORES),
        "pooled_claims": pa.Table.from_pylist(list(_of_models(pools, claim_rows)), POOLED_CLAIMS),
        "disagreements": pa.Table.from_pylist(list(_disagreements(pools)), DISAGREEMENTS),
        "by_laboratory": pa.Table.from_pylist(list(_of_models(pools, by_laboratory)), BY_LABORATORY),
    }
    for name, table in found.items():
        write_table(table, out / f"{name}.parquet", {"data_hash": data_hash(table), **origin})
    scored, claims, apart = (found[name].to_pylist() for name in READ)
    write_text(page(laboratories, scored, claims, apart, factor), out / "pooled.md")


def _need_laboratories(path: Path, frame: pd.DataFrame, labs: Labs) -> None:
    runs = frame[frame["arm"].isin({arm for _, arm, _ in labs})][["model", "arm", "train_seed"]].drop_duplicates()
    for model, arm, seed in runs.itertuples(index=False):
        if (model, arm, int(seed)) not in labs:
            raise DataError(f"{path}: no laboratory has {model}/{arm}/seed{seed}; make it of the pool's own runs")


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers without the digits that machines disagree on."""
    return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in row.items()}


def _of_models(pools: Mapping[str, Pool], made: Callable[[Pool], Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for model, pool in pools.items():
        yield from ({"model": model, **rounded(row)} for row in made(pool))


def _disagreements(pools: Mapping[str, Pool]) -> Iterator[dict[str, Any]]:
    for model, pool in pools.items():
        found = list(disagreements(pool))
        both_ways = set(opposite(found))
        yield from ({"model": model, **rounded(row), "opposite": row["id"] in both_ways} for row in found)
