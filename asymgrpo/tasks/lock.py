"""config/data.lock.yaml: rows and content hash per data set, and the hub revision once somebody has fetched it.

`python -m asymgrpo.tasks.lock --data-dir DIR --lock FILE [NAME ...]` rewrites entries from a local directory (and the generator);
revisions of untouched content are kept, revisions of changed content are forgotten.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asymgrpo.tasks.spec import DataError

HEADER = """\
# Data sets by content: number of rows, and sha256 over the sorted, blank-normalised (problem, gold) pairs after cleaning
# (asymgrpo.tasks.table.content_sha256). `revision` is the hub commit: null until a first fetch writes it, verified ever after.
# `seed` is that of a generated set; the entry then holds for this seed and this number of rows.
"""


class LockEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    rows: Annotated[int, Field(gt=0)]
    content_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    revision: str | None = None
    seed: int | None = None


def read_lock(path: Path) -> dict[str, LockEntry]:
    """All entries. Raises DataError when the file is missing or malformed."""
    if not path.is_file():
        raise DataError(f"{path} is missing; restore it from the repository.")
    try:
        return {name: LockEntry.model_validate(entry) for name, entry in yaml.safe_load(path.read_text()).items()}
    except (ValidationError, AttributeError, yaml.YAMLError) as error:
        raise DataError(f"{path} is malformed ({str(error).splitlines()[0]}); restore it from the repository.") from None


def write_lock(path: Path, entries: dict[str, LockEntry]) -> None:
    """Write the whole file in one step, entries by name, fields that do not apply left out."""
    from asymgrpo.tasks.files import write_whole

    content = {}
    for name in sorted(entries):
        entry = entries[name].model_dump()
        del entry["revision" if entry["seed"] is not None else "seed"]
        content[name] = entry
    text = HEADER + yaml.safe_dump(content, sort_keys=False)
    write_whole(path, lambda work: work.write_text(text))


def write_revision(path: Path, name: str, revision: str) -> None:
    """Record the commit of a first fetch; a recorded one is never replaced."""
    from filelock import FileLock

    with FileLock(path.with_name(f".{path.name}.lock")):
        entries = read_lock(path)
        if entries[name].revision is None:
            write_lock(path, entries | {name: entries[name].model_copy(update={"revision": revision})})


app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def main(
    data_dir: Annotated[Path, typer.Option(help="Folder with the data files.")],
    lock: Annotated[Path, typer.Option(help="The lock to write.")],
    embedded_n: Annotated[int, typer.Option(help="Rows of a generated set.")],
    embedded_seed: Annotated[int, typer.Option(help="Seed of a generated set.")],
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all that are known when none is named.")] = None,
) -> None:
    from asymgrpo.tasks.chain_sum import rows
    from asymgrpo.tasks.sources import normalised, read_directory
    from asymgrpo.tasks.spec import dataset_spec, known_names
    from asymgrpo.tasks.table import content_sha256

    try:
        entries = read_lock(lock) if lock.exists() else {}
        for name in names or known_names():
            spec, old = dataset_spec(name), entries.get(name)
            if spec.source == "generated":
                made, seed = rows(name, embedded_n, embedded_seed), embedded_seed
            else:
                made, seed = normalised(spec, read_directory(spec, data_dir)).rows, None
            new = LockEntry(rows=len(made), content_sha256=content_sha256(made), seed=seed)
            kept = old.revision if old and old.content_sha256 == new.content_sha256 else None
            entries[name] = new.model_copy(update={"revision": kept})
        write_lock(lock, entries)
    except ValueError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app()
