"""The table of the one-update probes: effects of every arm over the states of all trajectories (docs/probe.md).

python -m evals.tables.probes --states results/probes/tiny/seed0.parquet ... --out results/probes.parquet

Rows of `part`
  step    what the arm's real update changes on held-out responses, beyond what momentum alone does; `accuracy` is the bin of the
          group that the prompt had in the batch
  linear  the same to first order, by the parts of the gradient; `accuracy` is the bin of the group that the part comes from
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from scipy.special import stdtrit

from asymgrpo.content import data_hash
from asymgrpo.probe.held_out import per_token
from asymgrpo.readers import read_table
from asymgrpo.study.agreement import require
from asymgrpo.study.settings import Settings
from evals import asked
from evals.cli import run
from evals.io import DataError, derived, write_table

NONE, REFERENCE = "none", "grpo"
UNIT = ["step", "batch"]
KEYS = ["part", "arm", "scale", "prompts", "accuracy", "quantity"]
BINS = {"none": (0.0, 0.0), "hard": (1e-9, 0.499999), "easy": (0.5, 0.999999), "every": (1.0, 1.0)}
"""Bins of group accuracy p, ends included: no response correct, less than half, half or more, all."""
ALL = "all"
CHANGES = ("entropy", "tokens", "success", "logp_correct", "logp_wrong")
PER_TOKEN = "token_entropy"
"""Token-mean entropy: expected entropy of a response over its expected number of tokens."""


def bin_of(accuracy: pd.Series) -> pd.Series:
    """The bin of each group accuracy; NaN stays.

    >>> bin_of(pd.Series([0.0, 0.25, 0.5, 1.0])).tolist()
    ['none', 'hard', 'easy', 'every']
    """
    found = pd.Series(pd.NA, index=accuracy.index, dtype="object")
    for name, (low, high) in BINS.items():
        found[accuracy.between(low, high)] = name
    return found


def in_bins(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows once for `all`, and once for the bin of their accuracy where they have one."""
    binned = rows.assign(accuracy=bin_of(rows["accuracy"])).dropna(subset=["accuracy"])
    return pd.concat([rows.assign(accuracy=ALL), binned], ignore_index=True)


def steps(states: pd.DataFrame) -> pd.DataFrame:
    """UNIT + KEYS, value: mean over the prompts of every change by real steps, less that of momentum alone."""
    group = [*UNIT, "arm", "scale", "prompts", "accuracy"]
    of_prompts = states[states["prompt"].notna()]
    rows = in_bins(of_prompts[of_prompts["part"] == "step"])
    wide = rows.groupby([*group, "quantity"])["value"].mean().unstack("quantity").reset_index()
    before = in_bins(of_prompts[of_prompts["part"] == "before"])
    level = before.groupby([*UNIT, "prompts", "accuracy", "quantity"])["value"].mean().unstack("quantity")
    wide = wide.merge(
        level[["entropy", "tokens"]].reset_index(), on=[*UNIT, "prompts", "accuracy"], suffixes=("", "_before")
    )
    amounts = (wide[name].to_numpy(float) for name in ("entropy_before", "tokens_before", "entropy", "tokens"))
    wide[PER_TOKEN] = per_token(*amounts)
    names = [name for name in (*CHANGES, PER_TOKEN) if name in wide]
    momentum = wide[wide["arm"] == NONE].set_index([*UNIT, "prompts", "accuracy"])[names]
    arms = wide[wide["arm"] != NONE].set_index([*UNIT, "prompts", "accuracy", "arm", "scale"])
    net = arms[names] - momentum.reindex(arms.droplevel(["arm", "scale"]).index).to_numpy()
    net["ess"] = arms["ess"]
    found = net.reset_index().melt(net.index.names, var_name="quantity").dropna(subset=["value"])
    sizes = states[(states["part"] == "step") & states["prompt"].isna() & (states["arm"] != NONE)]
    sizes = sizes.assign(prompts=ALL, accuracy=ALL)
    return pd.concat([found, sizes], ignore_index=True).assign(part="step")[[*UNIT, *KEYS, "value"]]


def linear(states: pd.DataFrame) -> pd.DataFrame:
    """The same to first order: sums over the groups that the parts of the gradient come from."""
    rows = states[states["part"] == "linear"]
    parts = in_bins(rows[rows["prompt"].notna()])
    sizes = rows[rows["prompt"].isna()].assign(prompts=ALL, accuracy=ALL)
    summed = parts.groupby([*UNIT, *KEYS])["value"].sum().reset_index()
    return pd.concat([summed, sizes], ignore_index=True)[[*UNIT, *KEYS, "value"]]


def of_trajectory(states: pd.DataFrame) -> pd.DataFrame:
    """KEYS -> value, difference: means over states and batches of one trajectory; the difference is GRPO's in the same batch."""
    units = pd.concat([steps(states), linear(states)], ignore_index=True)
    same = [key for key in (*UNIT, *KEYS) if key != "arm"]
    reference = units[units["arm"] == REFERENCE].set_index(same)["value"]
    theirs = reference.reindex(pd.MultiIndex.from_frame(units[same])).to_numpy()
    units = units.assign(difference=units["value"] - theirs)
    return units.groupby(KEYS)[["value", "difference"]].mean().reset_index()


def interval(values: np.ndarray) -> dict[str, float | None]:
    """Mean over trajectories, its 95 % Student interval and t; None where one trajectory gives no interval.

    >>> {name: round(x, 3) for name, x in interval(np.array([1.0, 2.0, 3.0])).items()}
    {'': 2.0, '_low': -0.484, '_high': 4.484, '_t': 3.464}
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return {"": None, "_low": None, "_high": None, "_t": None}
    mean = float(known.mean())
    if len(known) < 2:
        return {"": mean, "_low": None, "_high": None, "_t": None}
    error = float(known.std(ddof=1) / np.sqrt(len(known)))
    half = float(stdtrit(len(known) - 1, 0.975)) * error
    return {"": mean, "_low": mean - half, "_high": mean + half, "_t": mean / error if error > 0 else None}


def summarised(trajectories: pd.DataFrame) -> Iterator[dict]:
    """A row per model and KEYS, from rows of `of_trajectory` with `model` and `train_seed`."""
    for names, mine in trajectories.groupby(["model", *KEYS], sort=True):
        told = dict(zip(["model", *KEYS], names, strict=True))
        for column in ("value", "difference"):
            told |= {f"{column}{end}": x for end, x in interval(mine[column].to_numpy(float)).items()}
        yield told | {"n_trajectories": int(mine["value"].notna().sum())}


def as_table(rows: Iterator[dict]) -> pa.Table:
    numbers = [f"{column}{end}" for column in ("value", "difference") for end in ("", "_low", "_high", "_t")]
    fields = [(name, pa.string()) for name in ("model", *KEYS)] + [(name, pa.float64()) for name in numbers]
    return pa.Table.from_pylist(list(rows), schema=pa.schema([*fields, ("n_trajectories", pa.int32())]))


def read_states(path: Path, settings: Settings | None) -> tuple[pd.DataFrame, dict]:
    """The states of one trajectory, and what its table says of itself; `settings`: those asked of the table of all.

    Raises:
        DataError: it is not a table of states. SettingsError: it is none of those that are asked for.
    """
    from asymgrpo.probe.states import metadata

    table = read_table(path, [*UNIT, *KEYS, "prompt", "value"])
    about = metadata(table)
    told = about.get("settings")
    if not isinstance(told, dict) or told.get("of") != "probe":
        raise DataError(f"{path}: not the table of a trajectory's states; asymgrpo probe writes it.")
    if settings is not None:
        wanted = [s for s in settings["options"]["probes"] if (s["model"], s["seed"]) == (told["model"], told["seed"])]
        if not wanted:
            raise DataError(f"{path}: {told['model']} seed {told['seed']} is not asked for; leave it out.")
        require(told, wanted[0], path, "make it again: snakemake probe")
    return table.to_pandas(), about


def main(
    states: Annotated[list[Path], typer.Option(help="tables of trajectories (asymgrpo.probe)")],
    out: Annotated[Path, typer.Option(help="table of all probes (Parquet)")],
) -> None:
    """Summarise the probes of all trajectories."""
    found, inputs = [], {}
    for path in states:
        frame, about = read_states(path, asked.statement().get("settings"))
        told = about["settings"]
        inputs[f"{told['model']}/seed{told['seed']}"] = about
        found.append(of_trajectory(frame).assign(model=told["model"], train_seed=told["seed"]))
    table = as_table(summarised(pd.concat(found, ignore_index=True)))
    write_table(table, out, {"data_hash": data_hash(table), **derived(inputs)})


if __name__ == "__main__":
    run(main)
