"""Checkpoint selection: a rule declared before training, applied to the evaluations made during training.

Rules: `last` (the final step), `validation` (best on the held-out split of the training set) and
`best_on:<benchmark>` (the paper's rule with math500: the score on that benchmark is then too high).
Ties go to the earliest step. The table it reads, eval.parquet, has the columns step:int32, set:string
(a benchmark name or "validation"), n_problems, n_samples and accuracy:float64 (a fraction).
"""

import math
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.study.outcome import read, stated
from evals.cli import run
from evals.io import DataError, read_table, table_metadata, write_json

COLUMNS = ("step", "set", "accuracy")


class SelectionError(DataError):
    """A rule that cannot be applied to this run."""


def select_step(evaluations: pa.Table, rule: str) -> int:
    """The step that `rule` picks.

    Args:
        evaluations: eval.parquet of one run. rule: `last`, `validation` or `best_on:<benchmark>`.

    Raises:
        SelectionError: the rule is unknown, its set was never evaluated, or a step has two values for it or none that is finite.

    >>> table = pa.table({"step": [5, 10, 15], "set": ["validation"] * 3, "accuracy": [0.2, 0.6, 0.6]})
    >>> select_step(table, "validation"), select_step(table, "last")
    (10, 15)
    """
    steps, sets = evaluations["step"].to_pylist(), evaluations["set"].to_pylist()
    if not steps:
        raise SelectionError("the evaluation table has no rows; evaluate at least one checkpoint during training")
    if rule == "last":
        return max(steps)
    name = rule if rule == "validation" else rule.removeprefix("best_on:")
    if name == rule != "validation":
        raise SelectionError(f"unknown selection rule {rule!r}; use last, validation or best_on:<benchmark>")
    scores: dict[int, float] = {}
    for step, evaluated, accuracy in zip(steps, sets, evaluations["accuracy"].to_pylist(), strict=True):
        if evaluated == name:
            if step in scores:
                raise SelectionError(f"step {step} was evaluated twice on {name!r}; keep one row per step and set")
            if accuracy is None or not math.isfinite(accuracy):
                raise SelectionError(f"the accuracy of step {step} on {name!r} is {accuracy}; evaluate that step again")
            scores[step] = accuracy
    if not scores:
        raise SelectionError(
            f"rule {rule!r}: {name!r} was not evaluated; evaluated were {', '.join(sorted(set(sets)))}"
        )
    return min(scores, key=lambda step: (-scores[step], step))


def selection_rows(
    evaluations: pa.Table, rules: list[str], model: str, arm: str, train_seed: int
) -> list[dict[str, Any]]:
    """One record (model, arm, train_seed, run_sha256, selection, step) per rule, as `evals.tables.score` reads them.

    Of a diverged run no rule picks a checkpoint: `step` is null, and the record has the run's outcome.
    """
    told = table_metadata(evaluations)
    run = {"model": model, "arm": arm, "train_seed": train_seed}
    run |= {"run_sha256": told["sha256"]} if "sha256" in told else {}
    if ended := read(told):
        return [{**run, "selection": rule, "step": None, **stated(ended)} for rule in rules]
    return [{**run, "selection": rule, "step": select_step(evaluations, rule)} for rule in rules]


def main(
    evaluations: Annotated[Path, typer.Option(help="eval.parquet of the run")],
    rule: Annotated[list[str], typer.Option(help="last, validation or best_on:<benchmark>; may be repeated")],
    model: Annotated[str, typer.Option(help="model name")],
    arm: Annotated[str, typer.Option(help="arm name")],
    train_seed: Annotated[int, typer.Option(help="training seed")],
    out: Annotated[Path, typer.Option(help="selection of this run to write (JSON)")],
) -> None:
    """Apply selection rules to one run."""
    try:
        rows = selection_rows(read_table(evaluations, COLUMNS), rule, model, arm, train_seed)
    except SelectionError as error:
        raise DataError(f"{evaluations}: {error}") from None
    write_json(rows, out)


if __name__ == "__main__":
    run(main, frames=False)
