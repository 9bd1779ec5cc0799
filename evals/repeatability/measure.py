"""Evaluate a base model again and again: greedily, one answer to each problem, first as the study does.

    python -m evals.repeatability.measure --settings S.json --problems P.parquet ... --checkpoints results/models/tiny/base \\
        --out repeats/tiny.parquet

Greedy, because at a temperature the other engine draws other random numbers, and every text differs without saying anything of
the harness. `snakemake -p repeatability` prints the command with its settings.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import typer

from asymgrpo.study.agreement import require, stated
from asymgrpo.study.config import ConfigError
from asymgrpo.study.settings import BASE, Settings, graded, samples
from evals import asked
from evals.checkpoints import SCHEMA, Checkpoints
from evals.cli import run
from evals.grade import grade_samples, reference_answers
from evals.io import DataError, provenance, write_table
from evals.repeatability.table import AGAIN, BATCH, ENGINE, FIRST, VARIANT
from evals.sample import benchmarks_of

OTHER = {"torch": "vllm", "vllm": "torch"}


class Variant(NamedTuple):
    """One evaluation: its name, its engine, and how many problems it generates together."""

    name: str
    engine: str
    batch: int


def variants(engine: str, batch: int, other: bool) -> Iterator[Variant]:
    """As the study evaluates; again; twice with smaller batches, which need no more memory; by the other engine if it is there.

    >>> [one.name for one in variants("torch", 40, other=True)]
    ['first', 'again', 'batch 20', 'batch 10', 'vllm']
    >>> [one.name for one in variants("torch", 1, other=False)]
    ['first', 'again']
    """
    yield Variant(FIRST, engine, batch)
    yield Variant(AGAIN, engine, batch)
    for smaller in dict.fromkeys((batch // 2, batch // 4)):
        if smaller:
            yield Variant(f"batch {smaller}", engine, smaller)
    if other:
        yield Variant(OTHER[engine], OTHER[engine], batch)


def is_installed(engine: str) -> bool:
    return engine == "torch" or importlib.util.find_spec(engine) is not None


def asked_of(plan: dict[str, Any]) -> Settings:
    """Settings of greedy samples of the only model of a plan, one of each problem.

    Raises:
        DataError: the plan has several models.
    """
    if len(plan["models"]) != 1:
        raise DataError("--settings: name one model; each is measured by a process of its own")
    (model,) = plan["models"]
    found = graded(plan, model, BASE, 0)
    benchmarks = {name: {"problems": one["problems"], "n_samples": 1} for name, one in found["benchmarks"].items()}
    return found | {
        "of": "sampled",
        "evaluation": found["evaluation"] | {"temperature": 0.0, "top_p": 1.0},
        "benchmarks": benchmarks,
    }


def measured(
    settings: Settings, checkpoint: Path, rows: dict[str, list[dict[str, Any]]]
) -> Iterator[tuple[Variant, pa.Table]]:
    """Every variant with its samples; rows: benchmark -> problems. The other engine is left out, and says so, if it cannot run
    this model."""
    evaluation = settings["evaluation"]
    models: Checkpoints | None = None
    engine = ""
    batch = min(
        evaluation["batch"], max(map(len, rows.values()))
    )  # a larger one is never full, and half of it might not be
    for one in variants(evaluation["engine"], batch, is_installed(OTHER[evaluation["engine"]])):
        mine = settings | {"evaluation": evaluation | {"engine": one.engine, "batch": one.batch}}
        if models is None or one.engine != engine:
            models = None  # before the next engine asks for memory
            models, engine = Checkpoints({0: checkpoint}, mine), one.engine
        try:
            found = [row for name, some in rows.items() for row in models.sample(some, samples(mine, name))]
        except ConfigError as error:
            if one.name != one.engine:  # the study's own
                raise
            typer.echo(f"{one.engine} is left out: {error}", err=True)
            continue
        yield one, pa.Table.from_pylist(found, SCHEMA)


def without_texts(samples: pa.Table) -> pa.Table:
    """The samples with hashes in place of their responses: only equality is asked of them, and some texts may not be passed
    on."""
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in samples["response"].to_pylist()]
    return samples.set_column(samples.column_names.index("response"), "response", pa.array(hashes, pa.string()))


def main(
    problems: Annotated[list[Path], typer.Option(help="problem table of each benchmark (Parquet)")],
    checkpoints: Annotated[Path, typer.Option(help="base model")],
    out: Annotated[Path, typer.Option(help="graded responses of every variant to write (Parquet)")],
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    """Evaluate one base model repeatedly."""
    plan = asked.statement().get("settings", {}).get("plan")
    if plan is None:
        raise DataError("--settings is missing; snakemake -p repeatability prints the command with it")
    import torch

    from asymgrpo.devices import own_device
    from asymgrpo.tasks.table import read_problems

    own_device()  # refuses here if it must
    torch.set_num_threads(threads)
    settings = asked_of(plan)
    named = benchmarks_of(settings, problems)
    for name, path in named.items():
        require(stated(path), plan["problems"][name], path, "make it again: snakemake --forcerun problems")
    rows = {name: read_problems(path, ("problem_id", "problem")) for name, path in named.items()}
    answers, parts = reference_answers(problems), []
    for one, table in measured(settings, checkpoints, rows):
        found = without_texts(grade_samples(table, answers, workers=threads))
        for column, value, kind in ((VARIANT, one.name, pa.string()), (ENGINE, one.engine, pa.string())):
            found = found.append_column(column, pa.array([value] * found.num_rows, kind))
        parts.append(found.append_column(BATCH, pa.array([one.batch] * found.num_rows, pa.int32())))
    write_table(pa.concat_tables(parts), out, provenance() | asked.statement())


if __name__ == "__main__":
    run(main, frames=False)
