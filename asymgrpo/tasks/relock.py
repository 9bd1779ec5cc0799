"""`python -m asymgrpo.tasks.relock --data-dir DIR --lock FILE [NAME ...]`: rewrite entries of the lock of data sets.

Content comes from a local directory (and the generator); revisions of untouched content are kept, revisions of changed content
are forgotten. Sets that only the hub has keep their entries, unless one is named, which is an error: their first fetch writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.console import run
from asymgrpo.tasks.families import family
from asymgrpo.tasks.lock import Lock, LockEntry, read_lock, write_lock
from asymgrpo.tasks.sources import normalised, read_directory
from asymgrpo.tasks.spec import dataset_spec, known_names, only_on_hub
from asymgrpo.tasks.table import content_sha256


def main(
    data_dir: Annotated[Path, typer.Option(help="Folder with the data files.")],
    lock: Annotated[Path, typer.Option(help="The lock to write.")],
    embedded_n: Annotated[int, typer.Option(help="Rows of a generated set.")],
    embedded_seed: Annotated[int, typer.Option(help="Seed of a generated set.")],
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all that are known when none is named.")] = None,
) -> None:
    whole = read_lock(lock) if lock.exists() else Lock(datasets={}, models={})
    entries = dict(whole.datasets)
    for name in names or [name for name in known_names() if not only_on_hub(dataset_spec(name))]:
        spec, old = dataset_spec(name), entries.get(name)
        if spec.source == "generated":
            made, seed = family(spec.family).rows(name, embedded_n, embedded_seed), embedded_seed
        else:
            made, seed = normalised(spec, read_directory(spec, data_dir)).rows, None
        new = LockEntry(rows=len(made), content_sha256=content_sha256(made), seed=seed)
        kept = old.revision if old and old.content_sha256 == new.content_sha256 else None
        entries[name] = new.model_copy(update={"revision": kept})
    write_lock(lock, whole.model_copy(update={"datasets": entries}))


if __name__ == "__main__":
    run(main)
