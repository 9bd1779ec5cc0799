"""Write the problem table of a data set: `python -m asymgrpo.tasks.prepare --dataset math500 --source directory --data-dir D …`.

A training set is divided once, by a hash: `--split validation` holds `--validation-size` problems, `--split train` all others.
`--split-by numbers` keeps the problems of a generated set together that have the same numbers. `--limit` cuts after that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.console import run
from asymgrpo.errors import InputError
from asymgrpo.tasks.table import Row


class SourceName(StrEnum):
    embedded = "embedded"
    directory = "directory"
    hub = "hub"


class Split(StrEnum):
    all = "all"
    train = "train"
    validation = "validation"


class SplitBy(StrEnum):
    """As asymgrpo.study.sections.data says it."""

    problem = "problem"
    numbers = "numbers"


def split_rows(
    rows: list[Row], split: Split, validation_size: int, key: Callable[[Row], str] = itemgetter("problem_id")
) -> list[Row]:
    """The rows of one split, in their order; rows of one key stay together. Raises InputError when they cannot be divided so.

    >>> rows = [{"problem_id": str(i)} for i in range(10)]
    >>> parts = [split_rows(rows, s, 3) for s in (Split.train, Split.validation)]
    >>> [len(part) for part in parts], len({row["problem_id"] for part in parts for row in part})
    ([7, 3], 10)
    """
    from asymgrpo.seeds import derive

    if split is Split.all:
        return rows
    if not 0 < validation_size < len(rows):
        raise InputError(f"validation size {validation_size} must lie between 1 and {len(rows) - 1}, the rows but one.")
    sizes, left = Counter(map(key, rows)), validation_size
    held_out = set()
    for name in sorted(sizes, key=lambda name: derive("validation", name)):
        if sizes[name] <= left:
            held_out.add(name)
            left -= sizes[name]
    if left:
        raise InputError(
            f"validation size {validation_size} cannot be met with whole groups of problems; choose another."
        )
    return [row for row in rows if (key(row) in held_out) is (split is Split.validation)]


def key_of(dataset: str, split_by: SplitBy) -> Callable[[Row], str]:
    """What the split of a training set keeps together, of each row (asymgrpo.study.sections.data)."""
    from asymgrpo.tasks.families import family
    from asymgrpo.tasks.spec import dataset_spec

    spec = dataset_spec(dataset)
    if split_by is SplitBy.problem or spec.source != "generated":
        return itemgetter("problem_id")
    return lambda row: family(spec.family).key_of(row["problem"])


def main(
    dataset: Annotated[str, typer.Option(help="Name of a training set or a benchmark.")],
    source: Annotated[SourceName, typer.Option(help="Where the rows come from.")],
    lock: Annotated[Path, typer.Option(help="The data lock.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the files, for source directory.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Keep the first rows only.")] = None,
    split: Annotated[Split, typer.Option(help="Part of a training set.")] = Split.all,
    validation_size: Annotated[int | None, typer.Option(min=1, help="Problems of the validation split.")] = None,
    split_by: Annotated[SplitBy, typer.Option(help="What the split keeps together.")] = SplitBy.problem,
    embedded_n: Annotated[int | None, typer.Option(min=1, help="Rows of a generated set, before splitting.")] = None,
    embedded_seed: Annotated[int | None, typer.Option(help="Seed of a generated set.")] = None,
) -> None:
    from asymgrpo.tasks.sources import EmbeddedSize, load_dataset_rows
    from asymgrpo.tasks.table import content_sha256, write_problems

    size = None if embedded_n is None or embedded_seed is None else EmbeddedSize(embedded_n, embedded_seed)
    loaded = load_dataset_rows(dataset, source.value, data_dir, lock, size)
    if split is not Split.all and validation_size is None:
        raise InputError(f"--split {split.value} needs --validation-size.")
    rows = split_rows(loaded.rows, split, validation_size or 0, key_of(dataset, split_by))[:limit]
    kept = {row["problem_id"] for row in rows}
    given = {
        "validation_size": validation_size,
        "embedded_n": embedded_n,
        "embedded_seed": embedded_seed,
        "limit": limit,
    }
    settings = {"of": "problems", "dataset": dataset, "source": source.value}
    settings |= {} if split is Split.all else {"split": split.value}
    settings |= {} if split_by is SplitBy.problem else {"split_by": split_by.value}
    metadata = {
        "settings": settings | {name: value for name, value in given.items() if value is not None},
        "dataset": dataset,
        "source": source.value,
        "revision": loaded.revision,
        "split": split.value,
        "rows": len(rows),
        "content_sha256": content_sha256(rows),
        "dataset_sha256": content_sha256(loaded.rows),  # as in the lock: workflow.locked compares them
        "patched": [patch for patch in loaded.patched if patch["problem_id"] in kept],
    }
    write_problems(out, rows, metadata)


if __name__ == "__main__":
    run(main)
