"""Two result sets side by side: where their scores differ, with intervals, and how they were made differently.

    python -m evals.artifacts.compare_results mine/ theirs.zip

A set is a study's folder of results, a bundle of one (zip file, folder or URL; evals.artifacts.bundle), or any folder with graded
tables and selections. Scores of arms that both have are compared by problem (first minus second), with the variance between the
training seeds of either set; how the intervals are made is taken from the first set's configuration unless options say it. Then
follow the keys that differ in configuration, conventions, package versions, commits and data.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from asymgrpo.study.layout import CONFIGURATION
from evals.artifacts.bundle_files import is_bundle, open_bundle
from evals.cli import run
from evals.estimates.cells import check_ks
from evals.io import DataError, derived, inputs_metadata, read_json, read_metadata, write_table, write_text
from evals.tables.compare import SCHEMA, Settings, compare_sets, render
from evals.tables.options import SeedVarianceRule
from evals.tables.result_set import ResultSet, read_result_set

SHOWN = 40
"""Differences listed per topic; the rest are counted."""


@contextmanager
def opened(source: str) -> Iterator[Path]:
    """The folder of a result set; a bundle is checked and unpacked into a temporary one."""
    if not is_bundle(source):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        open_bundle(source).unpack(Path(folder))
        yield Path(folder)


def described(folder: Path, found: ResultSet) -> dict[str, dict[str, Any]]:
    """topic -> place -> value: what there is to know about how a set was made.

    Commits, versions and data are those of the graded files, each value with the runs that have it left out: a set made in one go
    has one.
    """
    settings = folder / CONFIGURATION
    made: dict[str, set[str]] = {}
    for path in found.files:
        for key, value in _flat(derived({"": read_metadata(path)})).items():
            if any(
                part in key for part in ("git_", "python", "packages.", "locks.", "verifier_version", "problems_sha256")
            ):
                made.setdefault(key.removeprefix("inputs..").removeprefix("produced_by."), set()).add(json.dumps(value))
    return {
        "configuration": _flat(read_json(settings)["config"]) if settings.exists() else {},
        "conventions": _flat(_by_arm(found.conventions)),
        "code, packages and data": {key: ", ".join(sorted(values)) for key, values in made.items()},
    }


def _by_arm(conventions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Place of an arm -> its conventions, which are the same for all of its training seeds."""
    return {str(Path(place).parent): value for place, value in sorted(conventions.items())}


def shared(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Conventions of the arms that both sets have."""
    arms = [{key.split(".")[0] for key in side} for side in (first, second)]
    both = arms[0] & arms[1]
    one, two = ({key: value for key, value in side.items() if key.split(".")[0] in both} for side in (first, second))
    return one, two


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, value in first, value in second) for each key whose value differs; None where a side lacks it.

    >>> differing({"std": "population"}, {"std": "sample", "kl": 0})
    [('kl', None, 0), ('std', 'population', 'sample')]
    """
    keys = sorted(first.keys() | second.keys())
    return [(key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        value = value[0] if len(value) == 1 else dict(zip(map(str, range(len(value))), value, strict=True))
    if not isinstance(value, Mapping):
        return {prefix.removesuffix("."): value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.")
    return flat


def compare(one: ResultSet, two: ResultSet, settings: Settings) -> list[dict[str, Any]]:
    """Rows of differences for every selection rule that both sets have.

    Raises:
        DataError: they share no rule, or no model, arm and benchmark, or an arm's problems differ.
    """
    shared = [rule for rule in one.counts if rule in two.counts]
    if not shared:
        raise DataError(
            f"the result sets have no selection rule in common ({', '.join(one.counts)} | {', '.join(two.counts)})"
        )
    return [
        {"selection": rule, **row}
        for rule in shared
        for row in compare_sets(one.counts[rule], two.counts[rule], settings, (one.lost[rule], two.lost[rule]))
    ]


def only_in_one(one: ResultSet, two: ResultSet) -> tuple[list[str], list[str]]:
    """Arms on benchmarks under a rule that only the first, and only the second set has."""
    keys = [{"/".join((rule, *key)) for rule in found.counts for key in found.keys(rule)} for found in (one, two)]
    return sorted(keys[0] - keys[1]), sorted(keys[1] - keys[0])


def settings_of(folder: Path, given: Mapping[str, Any]) -> Settings:
    """How to estimate: what was given, else what the set's configuration says.

    Raises:
        DataError: neither says it.
    """
    path = folder / CONFIGURATION
    stored = read_json(path)["config"]["evaluation"] if path.exists() else {}
    names = {"k": "k", "seed_variance": "seed_variance", "draws": "bootstrap_draws", "seed": "bootstrap_seed"}
    chosen: dict[str, Any] = {
        ours: stored.get(theirs) if given[ours] is None else given[ours] for ours, theirs in names.items()
    }
    missing = [f"--{name.replace('_', '-')}" for name, value in chosen.items() if value is None]
    if missing:
        raise DataError(f"{folder}: it has no {CONFIGURATION} to take the settings from; give {', '.join(missing)}")
    rule = SeedVarianceRule(chosen["seed_variance"])
    return Settings(tuple(chosen["k"]), rule, chosen["seed"], chosen["draws"])


def text(rows: list[dict[str, Any]], only: tuple[list[str], list[str]], about: list[dict[str, dict[str, Any]]]) -> str:
    """The comparison as Markdown."""
    parts = ["# Two result sets: first − second", "", "## avg@n", "", render(rows, "avg_at_n"), ""]
    for which, names in zip(("first", "second"), only, strict=True):
        if names:
            parts += [f"Only in the {which} set: {', '.join(names)}", ""]
    for topic in about[0]:
        pair = about[0][topic], about[1][topic]
        found = differing(*(shared(*pair) if topic == "conventions" else pair))
        parts += [f"## {topic}: {len(found)} differ", ""]
        if not about[0][topic] or not about[1][topic]:
            parts += ["At least one set says nothing about it.", ""]
        parts += [f"- {key}: {left!r} | {right!r}" for key, left, right in found[:SHOWN]]
        parts += ([f"- and {len(found) - SHOWN} more"] if len(found) > SHOWN else []) + [""]
    return "\n".join(parts)


def main(
    first: Annotated[str, typer.Argument(help="folder of results or bundle")],
    second: Annotated[str, typer.Argument(help="folder of results or bundle to compare it with")],
    k: Annotated[list[int] | None, typer.Option(help="k of pass@k")] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="bootstrap draws")] = None,
    seed: Annotated[int | None, typer.Option(help="names the random streams of the bootstrap")] = None,
    seed_variance: Annotated[
        SeedVarianceRule | None, typer.Option(help="whose seeds the seed variance is from")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="differences to write (Parquet)")] = None,
    markdown: Annotated[Path | None, typer.Option(help="the comparison to write (Markdown)")] = None,
) -> None:
    """Compare two result sets."""
    check_ks(k or [])
    with ExitStack() as stack:
        folders = [stack.enter_context(opened(source)) for source in (first, second)]
        sets = [read_result_set(folder) for folder in folders]
        given = {"k": k, "draws": draws, "seed": seed, "seed_variance": seed_variance}
        rows = compare(sets[0], sets[1], settings_of(folders[0], given))
        about = [described(folder, found) for folder, found in zip(folders, sets, strict=True)]
        sources = [derived(inputs_metadata(found.files)) for found in sets]
    told = text(rows, only_in_one(sets[0], sets[1]), about)
    typer.echo(told)
    if markdown:
        write_text(told, markdown)
    if out:
        table = pa.Table.from_pylist(rows, SCHEMA)
        write_table(table, out, {"data_hash": data_hash(table), "first": sources[0], "second": sources[1]})


if __name__ == "__main__":
    run(main)
