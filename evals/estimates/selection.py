"""Which checkpoint each run reports under each rule, as `evals.select` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from evals import asked
from evals.estimates.cells import codes, take
from evals.estimates.outcomes import Lost, outcome_of
from evals.io import DataError, read_json, read_table

COLUMNS = ("model", "arm", "train_seed", "selection", "step")
BASE = "base"


class Chosen(NamedTuple):
    """The checkpoint of one run under one rule. Of a run that diverged at a step, `step` is None."""

    model: str
    arm: str
    train_seed: int
    selection: str
    step: int | None
    diverged_at: int | None


def read_selection(paths: Sequence[str | Path]) -> list[Chosen]:
    """The checkpoints of JSON lists or Parquet files of (model, arm, train_seed, selection, step), each once.

    Raises:
        DataError: no file is given, one is no selection, or a run has two checkpoints under one rule.
    """
    if not paths:
        raise DataError("no selection of checkpoints was given; name at least one (evals.select writes them)")
    found = list(dict.fromkeys(chosen for path in paths for chosen in _selections(path)))
    seen: dict[tuple[str, str, int, str], Chosen] = {}
    for chosen in found:
        if seen.setdefault(chosen[:4], chosen) is not chosen:
            raise DataError(f"two checkpoints are selected for {chosen._asdict()}; keep one")
    return found


def _selections(path: str | Path) -> list[Chosen]:
    rows = read_table(path).to_pylist() if str(path).endswith(".parquet") else _read_rows(path)
    asked.check_selection(path, rows)
    ends = [outcome_of(path, row) for row in rows]
    if missing := sorted(set(COLUMNS) - set.intersection(*map(set, rows))):
        raise DataError(f"{path}: column(s) {', '.join(missing)} missing; write it with evals.select")
    if any(row["step"] is None and ended is None for row, ended in zip(rows, ends, strict=True)):
        raise DataError(f"{path}: no step for a run that did not diverge; write it with evals.select")
    steps = [None if ended is None else ended.step for ended in ends]
    return [
        Chosen(**{name: row[name] for name in COLUMNS}, diverged_at=at) for row, at in zip(rows, steps, strict=True)
    ]


def _read_rows(path: str | Path) -> list[dict[str, Any]]:
    rows = read_json(path)
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise DataError(f"{path}: not a list of selected checkpoints; write it with evals.select")
    for i, row in enumerate(rows, start=1):
        whole = [k for k in ("train_seed", "step") if row.get(k) is not None]
        odd = [k for k in whole if isinstance(row[k], bool) or not isinstance(row[k], int)]
        odd += [k for k in ("model", "arm", "selection") if k in row and not isinstance(row[k], str)]
        if odd:
            raise DataError(f"{path}, entry {i}: {odd[0]} is {row[odd[0]]!r}; write it with evals.select")
    return rows


def by_rule(selection: Iterable[Chosen]) -> dict[str, list[Chosen]]:
    """Rule -> its checkpoints, rules sorted."""
    found: dict[str, list[Chosen]] = {}
    for chosen in selection:
        found.setdefault(chosen.selection, []).append(chosen)
    return dict(sorted(found.items()))


def lost_of(selection: Iterable[Chosen]) -> Lost:
    """The runs that diverged, of the checkpoints of one rule.

    >>> lost_of([Chosen("m", "a", 0, "last", 9, None), Chosen("m", "a", 1, "last", None, 3)])
    {('m', 'a'): {1: 3}}
    """
    lost: dict[tuple[str, str], dict[int, int]] = {}
    for chosen in sorted(selection, key=lambda row: row[:3]):
        if chosen.diverged_at is not None:
            lost.setdefault((chosen.model, chosen.arm), {})[chosen.train_seed] = chosen.diverged_at
    return lost


def select(rows: pa.Table, selection: Iterable[Chosen]) -> dict[str, pa.Table]:
    """Rule -> the rows (samples or cells) of the checkpoints it picks, then those of the base model, which belongs to every rule.
    A diverged run belongs to none.

    Raises:
        DataError: a selected checkpoint has no rows.
    """
    keys = ["model", "arm", "train_seed", "step"]
    _, first, run = np.unique(codes(rows, keys), return_index=True, return_inverse=True)
    index = {tuple(row.values()): i for i, row in enumerate(take(rows.select(keys), first).to_pylist())}
    base = np.array([key[1] == BASE for key in index], bool)
    found = {}
    for rule, picked in by_rule(selection).items():
        wanted = np.zeros(len(index), bool)
        for chosen in picked:
            if chosen.arm != BASE and chosen.diverged_at is None:
                if (at := index.get((*chosen[:3], chosen.step))) is None:
                    run_of = {name: getattr(chosen, name) for name in keys}
                    raise DataError(
                        f"selection {rule!r}: no graded samples for {run_of}; sample and grade that checkpoint"
                    )
                wanted[at] = True
        found[rule] = take(rows, np.concatenate([np.flatnonzero(wanted[run]), np.flatnonzero(base[run])]))
    return found
