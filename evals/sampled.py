"""The folder with one run's tables of samples: which of them are still good, and the list that later steps wait for.

A table of samples is the most expensive file of a study. So it is no output that Snakemake deletes before a job starts, or after
one fails: only the list is. The job itself keeps a table that was made with the settings asked for, of the same problems, weights
and image, and samples the others. A killed job keeps what it finished, and another benchmark costs only itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asymgrpo.files import remove_partial
from asymgrpo.provenance import container
from asymgrpo.study.agreement import differences
from asymgrpo.study.settings import Settings
from evals.io import DataError, read_json, read_metadata, read_object, sha256_file, write_json

SOURCE = "sampled_from.json"
"""Beside the tables: hashes of the files that their model is known by."""


class Folder:
    """The tables of one run, beside the list of them."""

    def __init__(self, listed: Path, checkpoints: Path, selection: Path | None):
        """`listed`: the list (JSON). `checkpoints`, `selection`: what is sampled, as evals.sample is given it."""
        self.listed = listed
        known_by = checkpoints / "manifest.json" if selection is None else checkpoints.parent / "done.json"
        files = {"weights": known_by} | ({} if selection is None else {"selection": selection})
        self.source = {name: sha256_file(path) if path.exists() else None for name, path in files.items()}
        self.source["image"] = container()

    def table(self, benchmark: str) -> Path:
        return self.listed.with_name(f"{benchmark}.parquet")

    def missing(self, about: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """The benchmarks that must be sampled. If the tables are of other weights, another selection or image, all are deleted.

        Args:
            about: benchmark -> what its table must state, beside where it was made.
        """
        place = self.listed.with_name(SOURCE)
        if place.parent.exists():
            remove_partial(place.parent)
        told = self._told(place) if place.exists() else None  # none beside tables of an earlier version
        if place.exists() and told != self.source:
            for name in about:
                self.table(name).unlink(missing_ok=True)
        if told != self.source:
            write_json(self.source, place)
        return [name for name, asked in about.items() if not is_of(self.table(name), asked)]

    def _told(self, place: Path) -> Any:
        try:
            return read_json(place)
        except DataError:
            return None

    def write_list(self, asked: Settings, benchmarks: Iterable[str]) -> None:
        """The list says what all tables were made with, and the sha256 of each, which grading compares (`require_listed`)."""
        tables = {name: sha256_file(self.table(name)) for name in benchmarks}
        write_json({"settings": asked, "tables": tables}, self.listed)


def require_listed(listed: Path, tables: Iterable[Path]) -> None:
    """Refuse tables of samples that are not those that the list was written of.

    Raises:
        DataError: naming the first table that the list lacks, or that has changed since.
    """
    sums = read_object(listed, ["tables"])["tables"]
    for table in tables:
        if sums.get(table.stem) != sha256_file(table):
            raise DataError(
                f"{table}: it has changed since it was sampled (its sha256 is not the one in {listed}); delete it and run "
                "snakemake, which samples it again"
            )


def is_of(table: Path, asked: Mapping[str, Any]) -> bool:
    """Whether a table of samples is there and states what is asked for; settings are compared as everywhere."""
    try:
        told = read_metadata(table)
    except DataError:
        return False
    if not isinstance(settings := told.get("settings"), Mapping) or differences(settings, asked["settings"]):
        return False
    return all(told.get(key) == value for key, value in asked.items() if key != "settings")
