"""Write the lm-eval task of every benchmark: `python -m evals.lm_eval` into this folder, `--out DIR` elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
import yaml

from asymgrpo.tasks.benchmarks import BENCHMARKS, load
from evals.cli import run
from evals.io import write_text
from evals.lm_eval import FOLDER, SAMPLES, task_config


def task_text(benchmark: str, n: int, folder: Path) -> str:
    """The YAML of one task for a file in `folder`."""
    include = os.path.relpath(FOLDER / "_benchmark.yaml", folder)
    body = yaml.safe_dump({"include": include, **task_config(benchmark, n)}, sort_keys=False, width=120)
    return (
        f"# Written by `python -m evals.lm_eval` from asymgrpo/tasks/benchmarks/{benchmark}.yaml; do not edit.\n{body}"
    )


def main(
    out: Annotated[Path, typer.Option(help="folder to write, for lm-eval's --include_path")] = FOLDER,
    samples: Annotated[int | None, typer.Option(min=1, help="samples per problem; else the paper's, else 8")] = None,
) -> None:
    """Write the lm-eval task of every benchmark."""
    for name in BENCHMARKS:
        n = samples or load(name).paper_samples or SAMPLES
        write_text(task_text(name, n, out.resolve()), out / f"{name}.yaml")


if __name__ == "__main__":
    run(main)
