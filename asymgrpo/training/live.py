"""Curves of a running training for TensorBoard: `tensorboard --logdir checkpoints`.

A view, never a result: event files lie in the run's workspace, outside of the declared outputs, and may be deleted at any time.
Whether somebody watches does not belong to a study, so the environment variable ASYMGRPO_LIVE chooses it.
"""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asymgrpo.training.results import History

VARIABLE = "ASYMGRPO_LIVE"
FOLDER = "live"
"""Below the workspace of a run."""
SECONDS_BETWEEN_FLUSHES = 5


class Live(StrEnum):
    tensorboard = "tensorboard"
    none = "none"


class LiveView:
    """Shows each row of a run's history once, under its training step.

    The folder is made anew by every process and filled from the history that a checkpoint carries: a run that was killed and goes
    on has each step once, also those that it lost and did again. An error of the disk ends the view, not the training.
    """

    def __init__(self, folder: Path, warn: Callable[[str], object]):
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self.warn, self.shown = warn, {"metrics": 0, "timings": 0, "evaluations": 0}
        # purge_step: a TensorBoard that is open forgets what it read of the process before
        writer = SummaryWriter(str(folder), purge_step=0, flush_secs=SECONDS_BETWEEN_FLUSHES)
        atexit.register(writer.close)  # also when a signal stops the run
        self.writer: SummaryWriter | None = writer

    def __call__(self, history: History) -> None:
        """Show the rows that were added since the last call."""
        if self.writer is None:
            return
        try:
            for step, name, value in self._new(history):
                self.writer.add_scalar(name, value, step)
        except OSError as error:
            self.warn(f"the live view ends here, the training continues: {error}")
            self.writer = None

    def _new(self, history: History) -> Iterator[tuple[int, str, float]]:
        for table, shown in self.shown.items():
            rows = getattr(history, table)
            for row in rows[shown:]:
                for name, value in scalars(table, row).items():
                    yield row["step"], name, value
            self.shown[table] = len(rows)


def scalars(table: str, row: Mapping) -> dict[str, float]:
    """Tag -> value of one row: nulls and lists have no curve.

    >>> scalars("metrics", {"step": 3, "entropy": 0.5, "entropy_wrong": None, "groups_by_correct": [1, 0]})
    {'train/entropy': 0.5}
    >>> scalars("timings", {"step": 3, "rollout": 1.5})
    {'timing/rollout': 1.5}
    >>> scalars("evaluations", {"step": 3, "set": "validation", "accuracy": 0.25, "n_problems": 8})
    {'accuracy/validation': 0.25}
    """
    if table == "evaluations":
        return {f"accuracy/{row['set']}": row["accuracy"]}
    prefix = {"metrics": "train", "timings": "timing"}[table]
    return {f"{prefix}/{k}": v for k, v in row.items() if k != "step" and isinstance(v, int | float)}


def open_live(kind: Live, workspace: Path, warn: Callable[[str], object]) -> LiveView | None:
    """The view of a run, or None if it is switched off or TensorBoard is not installed (which is said)."""
    if kind is Live.none:
        return None
    try:
        return LiveView(workspace / FOLDER, warn)
    except ImportError:
        warn(f"no live view: TensorBoard is not installed; {VARIABLE}={Live.none} silences this line")
        return None
