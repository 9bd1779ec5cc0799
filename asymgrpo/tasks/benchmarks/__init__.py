"""Benchmarks, one YAML file each in this folder: to add one, add its file and its entry in config/data.lock.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field

from asymgrpo.errors import DataError
from asymgrpo.tasks.spec import DatasetSpec, dataset_spec

FOLDER = Path(__file__).parent
BENCHMARKS: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""Names of all benchmarks."""


class Benchmark(DatasetSpec):
    """A data set that models are evaluated on."""

    paper_samples: int | None = Field(gt=0)
    """Samples per problem behind the paper's average; null when the paper does not report this benchmark."""
    n_passk: int = Field(gt=0)
    """Samples per problem for pass@k curves up to k = n_passk / 2."""


def load(name: str) -> Benchmark:
    """The benchmark of that name. Raises DataError naming the known ones.

    >>> load("aime24").paper_samples
    10
    """
    if name not in BENCHMARKS:
        raise DataError(f"unknown benchmark {name!r}; known are {', '.join(BENCHMARKS)}.")
    dataset_spec(name)  # says in one sentence what is wrong with a malformed file
    return Benchmark.model_validate(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
