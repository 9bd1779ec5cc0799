"""Table 1 of a pool: the mean of every arm over runs and laboratories, with the laboratory as a random effect.

The intervals speak about new seeds in new laboratories on the study's own problems. Those of `table1.parquet`, which is made from
the same runs without the random effect, are over problems and samples too.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from evals.claims.checks import CONTROLS
from evals.claims.effects import BASE
from evals.estimates.outcomes import finished
from evals.names import EVERY_ARM, in_order
from evals.pool import mixed
from evals.pool.claims import Labs

CELL = ["model", "selection", "benchmark", "metric", "k"]


def rows(scores: pd.DataFrame, labs: Labs) -> Iterator[dict[str, Any]]:
    """A row per cell and trained arm: estimate, 95 % interval, standard deviations, and the mean of each laboratory."""
    mine = finished(scores[scores["arm"] != BASE])
    for key, cell in mine.groupby(CELL, dropna=False, sort=True):
        told: dict[str, Any] = dict(zip(CELL, key, strict=True))
        told["k"] = None if pd.isna(told["k"]) else int(told["k"])
        runs: dict[str, dict[str, list[float]]] = {}
        for row in cell.sort_values("train_seed").itertuples():
            lab = labs[str(row.model), str(row.arm), int(row.train_seed)]  # type: ignore[arg-type]
            runs.setdefault(str(row.arm), {}).setdefault(lab, []).append(float(row.value))  # type: ignore[arg-type]
        yield from (told | row for row in _arms(runs))


def _arms(runs: Mapping[str, Mapping[str, list[float]]]) -> Iterator[dict[str, Any]]:
    pool = [arm for arm in runs if arm not in CONTROLS]
    shared = mixed.fit(runs, pool) if _several(runs, pool) else None
    for arm in in_order(runs, EVERY_ARM):
        fit = shared if arm in pool else mixed.fit(runs, [arm]) if _several(runs, [arm]) else None
        means = {lab: float(np.mean(values)) for lab, values in runs[arm].items()}
        about = {"arm": arm, "n_seeds": sum(map(len, runs[arm].values())), "n_laboratories": len(means)}
        about |= {"laboratories": [{"laboratory": lab, "mean": mean} for lab, mean in means.items()]}
        if fit is None:
            yield about | {"estimate": float(np.mean([x for values in runs[arm].values() for x in values]))}
            continue
        estimate, variance, degrees = fit.contrast({arm: 1.0})
        half = float(stdtrit(degrees, 0.975)) * variance**0.5
        found = {"estimate": estimate, "ci_low": estimate - half, "ci_high": estimate + half}
        spreads = {"seeds": fit.seeds, "laboratory": fit.laboratory, "laboratory_arm": fit.laboratory_arm}
        yield about | found | {f"sd_{name}": float(np.sqrt(x)) for name, x in spreads.items()}


def _several(runs: Mapping[str, Mapping[str, list[float]]], arms: list[str]) -> bool:
    """Whether some arm has two runs."""
    return any(sum(map(len, runs[arm].values())) > 1 for arm in arms)
