"""What a budget of training runs can decide: per claim the smallest effect found at n seeds, and the seeds that its margin needs.

    asymgrpo power RESULTS --seeds 8 16 36

Standard deviations between seeds are those of the finished runs in RESULTS (pooled over arms as in evals.claims.effects); they
are estimates, and half of the time too small. "Found" means: the lower end of the interval is above 0 in 80 % of studies, at
the level of the whole family, with n seeds in every arm of the pool. A claim of several parts is taken at its noisiest part,
the others being far above. Hours are of the CPUs, for training, sampling and grading one run, times the arms of the claim; arms
that several claims share need to be run once only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy.special import nctdtrinc, stdtrit

from evals.claims.claim import Claim, Contrast
from evals.claims.decide import ALPHA
from evals.claims.decided import measured
from evals.claims.effects import BASE, Measured, pooled_variance
from evals.claims.measures import MEASURES
from evals.claims.readings import Endpoint, at
from evals.claims.table import CONTROLS, POOL, TESTS
from evals.claims.words import shown
from evals.cost.jobs import read_jobs
from evals.io import DataError, read_table

POWER = 0.8
MOST_SEEDS = 4096
RUN_RULES = ("train", "sample", "grade")


@dataclass(frozen=True)
class Noise:
    """Of a contrast: the variance that one seed of every arm leaves, the variance that seeds do not lower (answers of the base
    model), and the number of arms whose seeds estimate the first."""

    per_seed: float
    fixed: float
    n_pool: int

    def smallest(self, n_seeds: int, n_claims: int) -> float:
        """The effect that is found with probability POWER with n seeds in every arm.

        >>> round(Noise(2.0, 0.0, 1000).smallest(100, 1), 3)
        0.352
        """
        degrees = float(self.n_pool * (n_seeds - 1))
        critical = float(stdtrit(degrees, 1 - ALPHA / n_claims))
        ratio = float(nctdtrinc(degrees, 1 - POWER, critical))
        return ratio * math.sqrt(self.per_seed / n_seeds + self.fixed)

    def seeds_for(self, effect: float, n_claims: int) -> int | None:
        """The fewest seeds that find an effect; None if more than MOST_SEEDS."""
        low, high = 1, MOST_SEEDS
        if self.smallest(high, n_claims) > effect:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.smallest(middle, n_claims) <= effect else (middle, high)
        return high


def noise(weights: Contrast, arms: Mapping[str, Measured]) -> Noise | None:
    """The noise of a contrast of arms; None where the runs cannot tell it: no arm of the pool, or a control, has two seeds."""
    pool = [
        list(found.values.values()) for arm, found in arms.items() if arm in POOL - {BASE} and len(found.values) > 1
    ]
    alone = {arm: list(arms[arm].values.values()) for arm in weights if arm in CONTROLS and arm in arms}
    needed = [arm for arm in weights if arm in CONTROLS or arm == BASE]
    if not pool or any(arm not in arms for arm in needed) or any(len(values) < 2 for values in alone.values()):
        return None
    together = pooled_variance(pool).variance
    per_seed = fixed = 0.0
    for arm, weight in weights.items():
        if arm == BASE:
            fixed += (weight * arms[arm].sampling_sd) ** 2
        else:
            per_seed += weight**2 * (float(np.var(alone[arm], ddof=1)) if arm in alone else together)
    return Noise(per_seed, fixed, len(pool))


def noisiest(claim: Claim, arms: Mapping[str, Measured]) -> Noise | None:
    """The noise of a claim's noisiest part."""
    found = [one for weights in claim.parts if (one := noise(weights, arms))]
    return max(found, key=lambda one: one.per_seed + one.fixed) if len(found) == len(claim.parts) else None


def hours_of_a_run(jobs: pd.DataFrame, model: str) -> float | None:
    """CPU hours of training, sampling and grading one run, the mean over a model's runs; None if nothing was measured."""
    mine = jobs[jobs["rule"].isin(RUN_RULES) & (jobs["model"] == model) & (jobs["arm"] != BASE)]
    seconds = mine["cpu_seconds"].fillna(mine["seconds"])
    by_rule = seconds.groupby(mine["rule"]).mean()
    return float(by_rule.sum()) / 3600 if len(by_rule) else None


def report(
    model: str,
    measures: pd.DataFrame,
    jobs: pd.DataFrame,
    seeds: Sequence[int],
    endpoint: Endpoint = Endpoint.checkpoint,
) -> str:
    """The table of one model as Markdown."""
    hours = hours_of_a_run(jobs, model)
    head = [
        "claim",
        *(f"found with {n} seeds" for n in seeds),
        "margin",
        f"seeds for {100 * POWER:.0f} %",
        "CPU hours for them",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for claim in at(endpoint, TESTS):
        found = noisiest(claim, measured(measures, claim.measure))
        if found is None or claim.margin is None or found.per_seed == 0:
            continue
        unit = MEASURES[claim.measure].unit
        needed = found.seeds_for(claim.margin.value, len(TESTS))
        n_arms = len([arm for arm in claim.arms if arm != BASE])
        cost = "–" if needed is None or hours is None else f"{needed * n_arms * hours:.1f}"
        effects = [shown(claim.measure, found.smallest(n, len(TESTS))) for n in seeds]
        margin = f"{shown(claim.measure, claim.margin.value)} {unit}".strip()
        cells = [claim.sentence, *effects, margin, str(needed or f"over {MOST_SEEDS}"), cost]
        lines.append(f"| {' | '.join(cells)} |")
    told = "" if hours is None else f"One run takes {hours:.3f} CPU hours. "
    if len(lines) == 2:
        return f"## {model}\n\nNo arm has two finished seeds: nothing says how much runs differ.\n"
    return (
        f"## {model}\n\n"
        + "\n".join(lines)
        + f"\n\n{told}Effects in the margin's unit; {len(TESTS)} claims share 5 %.\n"
    )


def main(
    results: Annotated[Path, typer.Argument(help="folder of results with measures.parquet")],
    seeds: Annotated[list[int] | None, typer.Option(min=2, help="seeds of every arm; default 8 16 36")] = None,
    endpoint: Annotated[
        Endpoint, typer.Option(help="of claims on accuracy, evaluation.endpoint of the study to come")
    ] = Endpoint.checkpoint,
) -> None:
    """Say what a number of seeds can decide."""
    path = results / "measures.parquet"
    if not path.is_file():
        raise DataError(f"{path}: no such file; run snakemake tables for these results first")
    frame, jobs = read_table(path).to_pandas(), read_jobs(results).to_pandas()
    for model, mine in frame.groupby("model", sort=True):
        typer.echo(report(str(model), mine, jobs, seeds or [8, 16, 36], endpoint))


if __name__ == "__main__":
    from evals.cli import run

    run(main)
