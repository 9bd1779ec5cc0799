"""The tables of a pool, from the tables of its joined bundle: Table 1, claims and disagreements."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from asymgrpo.content import data_hash
from evals.claims.decided import SCHEMA as CLAIMS
from evals.claims.measures import SCHEMA as MEASURES
from evals.claims.readings import Endpoint
from evals.estimates.outcomes import AT
from evals.estimates.stats import DIGITS
from evals.io import DataError, check_table, derived, read_metadata, read_object, read_table, write_table, write_text
from evals.pool.claims import Labs, Pool, claim_rows, disagreements, opposite
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
    """Write pooled_table1.parquet, pooled_claims.parquet, disagreements.parquet and pooled.md; endpoint: of claims on accuracy.

    Raises:
        DataError: a table is of other runs than the laboratories'.
    """
    told = read_object(laboratories)
    labs, by_run = labs_of(told), read_table(measures)
    check_table(by_run, measures, MEASURES, nullable=["value", "sampling_sd", "selection", AT])
    scores = read_run_scores(run_scores).to_pandas()
    frame = by_run.to_pandas()
    for path, mine in ((run_scores, scores), (measures, frame)):
        _need_laboratories(path, mine, labs)
    pools = {str(model): Pool(mine, str(model), labs, endpoint) for model, mine in frame.groupby("model", sort=True)}
    tables = {
        "pooled_table1": pa.Table.from_pylist([rounded(row) for row in rows(scores, labs)], POOLED_SCORES),
        "pooled_claims": pa.Table.from_pylist(list(_claims(pools)), POOLED_CLAIMS),
        "disagreements": pa.Table.from_pylist(list(_disagreements(pools)), DISAGREEMENTS),
    }
    origin = derived({"run_scores": read_metadata(run_scores), "measures": read_metadata(measures)})
    for name, table in tables.items():
        write_table(table, out / f"{name}.parquet", {"data_hash": data_hash(table), **origin})
    write_text(page(told, *(table.to_pylist() for table in tables.values())), out / "pooled.md")


def _need_laboratories(path: Path, frame: pd.DataFrame, labs: Labs) -> None:
    runs = frame[frame["arm"].isin({arm for _, arm, _ in labs})][["model", "arm", "train_seed"]].drop_duplicates()
    for model, arm, seed in runs.itertuples(index=False):
        if (model, arm, int(seed)) not in labs:
            raise DataError(f"{path}: no laboratory has {model}/{arm}/seed{seed}; make it of the pool's own runs")


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers without the digits that machines disagree on."""
    return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in row.items()}


def _claims(pools: Mapping[str, Pool]) -> Iterator[dict[str, Any]]:
    for model, pool in pools.items():
        yield from ({"model": model, **rounded(row)} for row in claim_rows(pool))


def _disagreements(pools: Mapping[str, Pool]) -> Iterator[dict[str, Any]]:
    for model, pool in pools.items():
        found = list(disagreements(pool))
        both_ways = set(opposite(found))
        yield from ({"model": model, **rounded(row), "opposite": row["id"] in both_ways} for row in found)
