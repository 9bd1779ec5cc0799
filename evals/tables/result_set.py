"""A result set: a directory with graded tables (Parquet files with verdicts, at any depth), selections (`selection*.json`,
optional where every run has one checkpoint) and `conventions.json` files (optional). What evals.repeatability measured again of
the same samples has verdicts too, and is none of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asymgrpo.study.layout import CONFIGURATION
from asymgrpo.study.settings import TRAINING_SETS
from evals.estimates.cells import COLUMNS as GRADED
from evals.estimates.cells import CountsOf
from evals.estimates.outcomes import Lost
from evals.io import DataError, read_json, read_schema
from evals.repeatability.table import VARIANT
from evals.tables.counts import StudyCounts, study_counts


@dataclass(frozen=True)
class ResultSet:
    """Counts by selection rule with the runs that diverged, the files they are from, and the conventions of every run by its
    place."""

    found: StudyCounts
    files: list[Path]
    conventions: dict[str, dict[str, Any]]

    @property
    def counts(self) -> dict[str, CountsOf]:
        return self.found.counts

    @property
    def lost(self) -> dict[str, Lost]:
        return self.found.lost

    def keys(self, rule: str) -> set[tuple[str, str, str]]:
        """(model, arm, benchmark) of all that was measured under a rule, or would have been if it had not diverged."""
        return with_lost(self.counts[rule], self.lost[rule])


def read_result_set(directory: Path) -> ResultSet:
    """Read a result set.

    Raises:
        DataError: no graded table is found, another result set lies in it, or selections are needed and missing.
    """
    if inner := sets_within(directory):
        raise DataError(
            f"{directory} holds another result set, {inner[0]}; name one of them, or move that one out: a study's folder holds "
            "its own results only"
        )
    graded_files = [path for path in sorted(directory.rglob("*.parquet")) if is_graded(path)]
    if not graded_files:
        raise DataError(f"{directory}: no graded table in it; name a directory of results")
    drawn = directory / "figures"  # whose descriptions may be named after selections too
    selections = [path for path in sorted(directory.rglob("selection*.json")) if drawn not in path.parents]
    conventions = {
        str(path.parent.relative_to(directory)): read_json(path) for path in sorted(directory.rglob("conventions.json"))
    }
    found = study_counts(None, graded_files, selections, problems_of(directory))
    return ResultSet(found, graded_files, conventions)


def is_graded(path: Path) -> bool:
    """Whether a Parquet file holds the verdicts of an evaluation, and not of its repetitions. Raises DataError: it is damaged."""
    names = set(read_schema(path).names)
    return {*GRADED} <= names and VARIANT not in names


def problems_of(directory: Path) -> list[Path]:
    """The problem tables of benchmarks in a folder of results."""
    return [path for path in sorted((directory / "data").glob("*.parquet")) if path.stem not in TRAINING_SETS]


def sets_within(directory: Path) -> list[Path]:
    """Result sets below a folder, found by the configuration that each has in its folder (workflow.document)."""
    return sorted(path.parents[1] for path in directory.glob(f"**/{CONFIGURATION}") if path.parents[1] != directory)


def with_lost(counts: CountsOf, lost: Lost) -> set[tuple[str, str, str]]:
    """(model, arm, benchmark) of the counts, and of diverged arms on every benchmark of their model."""
    return {*counts, *((model, arm, key[2]) for model, arm in lost for key in counts if key[0] == model)}
