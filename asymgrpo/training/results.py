"""What a run leaves: its rows while it trains, and the files that it publishes from them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from asymgrpo.files import remove_partial, write_json, write_table
from asymgrpo.provenance import machine
from asymgrpo.readers import read_table
from asymgrpo.rollout import Rollout
from asymgrpo.study.outcome import Diverged, stated
from asymgrpo.training.metrics import SCHEMA
from asymgrpo.training.stopwatch import PHASES

EVALUATION_SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("set", pa.string()),
        ("n_problems", pa.int32()),
        ("n_samples", pa.int32()),
        ("accuracy", pa.float64()),
    ]
)
ROLLOUT_SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("prompt", pa.string()),
        ("response", pa.string()),
        ("sample_id", pa.int64()),
        ("sample_seed", pa.int64()),
        ("n_tokens", pa.int64()),
        ("finish_reason", pa.string()),
        ("reward", pa.float64()),
    ]
)
TIMING_SCHEMA = pa.schema(
    [("step", pa.int32()), *((phase, pa.float64()) for phase in PHASES), ("response_tokens", pa.int64())]
)


@dataclass
class History:
    """Rows written so far; travels with the checkpoints."""

    metrics: list[dict] = field(default_factory=list)
    timings: list[dict] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)


def rollout_rows(
    step: int, groups: Sequence[Sequence[Rollout]], rewards: np.ndarray, decode: Callable[[Sequence[int]], str]
) -> list[dict]:
    """Rows of ROLLOUT_SCHEMA: rollouts as text, with their rewards [prompts, G]."""
    return [
        {
            "step": step,
            "prompt": decode(r.prompt_ids),
            "response": decode(r.response_ids),
            "sample_id": i,
            "sample_seed": r.seed,
            "n_tokens": len(r.response_ids),
            "finish_reason": r.finish_reason,
            "reward": float(rewards[p, i]),
        }
        for p, group in enumerate(groups)
        for i, r in enumerate(group)
    ]


def write_results(
    workspace: Path,
    out: Path,
    history: History,
    outcome: Diverged | None,
    metadata: Mapping[str, Any],
    left_out: Iterable[str],
) -> None:
    """The declared outputs from a run's workspace; `left_out`: candidates that stay there. done.json comes last.

    Everything in the workspace stays, too: candidates are linked.
    """
    out.mkdir(parents=True, exist_ok=True)
    remove_partial(out)
    tables = {
        "metrics": pa.Table.from_pylist(history.metrics, SCHEMA),
        "timings": pa.Table.from_pylist(history.timings, TIMING_SCHEMA),
        "eval": pa.Table.from_pylist(history.evaluations, EVALUATION_SCHEMA),
        "rollouts": _all_rollouts(workspace / "rollouts"),
    }
    ended = stated(outcome)
    about = {**metadata, **(ended if outcome else {})}
    for name, table in tables.items():
        where = {"machine": machine()} if name == "timings" else {}  # beside seconds, and nowhere else
        write_table(table, out / f"{name}.parquet", about | where)
    # Linked, not moved: a run killed in here resumes from its last checkpoint and needs the earlier candidates again.
    shutil.rmtree(out / "candidates", ignore_errors=True)
    leave = set(left_out)
    (workspace / "candidates").mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        workspace / "candidates",
        out / "candidates",
        copy_function=_link_or_copy,
        ignore=lambda _, names: leave.intersection(names),
    )
    write_json({**metadata, **ended}, out / "done.json")


def _all_rollouts(folder: Path) -> pa.Table:
    """The rollouts of every step that was stored, step after step."""
    paths = sorted(folder.glob("step*.parquet"))
    return pa.concat_tables(read_table(p) for p in paths) if paths else ROLLOUT_SCHEMA.empty_table()


def _link_or_copy(source: str, target: str) -> None:
    """A hard link where the file system can, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
