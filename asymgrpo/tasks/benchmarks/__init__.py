"""Benchmarks, one YAML file each in this folder: to add one, add its file and its entry in config/data.lock.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from asymgrpo.errors import DataError
from asymgrpo.tasks.spec import DatasetSpec, read_spec

FOLDER = Path(__file__).parent
BENCHMARKS: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""Names of all benchmarks."""


Month = Annotated[str, Field(pattern="^[0-9]{4}-(0[1-9]|1[0-2])$")]
"""YYYY-MM: as text, later months are larger."""


class Benchmark(DatasetSpec):
    """A data set that models are evaluated on."""

    contest_date: Month | None
    """Month in which the first of its problems became public; null when it is not known, or there was no such month."""
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
    return read_spec(FOLDER / f"{name}.yaml", Benchmark)


def younger(name: str, cutoff: str | None) -> bool:
    """Whether all problems of a benchmark became public after the month `cutoff`; what is not known is not called younger.

    >>> younger("aime26", "2025-05"), younger("aime24", "2025-05"), younger("aime26", None), younger("chain4", "2025-05")
    (True, False, False, False)
    """
    date = load(name).contest_date if name in BENCHMARKS else None
    return cutoff is not None and date is not None and date > cutoff
