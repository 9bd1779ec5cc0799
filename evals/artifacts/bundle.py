"""A finished study in one file: what its tables, figures, claims and report are made of, small enough for git.

    python -m evals.artifacts.bundle make --results results-study --out artifacts/study.zip
    python -m evals.artifacts.bundle check --bundle artifacts/study.zip
    python -m evals.artifacts.bundle unpack --bundle artifacts/study.zip --out folder
    snakemake figures tables --config artifacts=artifacts/study.zip

In it, byte for byte: configuration, problems, metrics, timings, evaluations, conventions, selections, and what `snakemake
standard` measured of the base models, if it did. Reduced: graded samples
(the verdict of each, the texts of a few; evals.artifacts.reading), and problems whose licence does not let us pass them on
(identifiers and hashes; evals.artifacts.withheld). Made: jobs.parquet, seconds and memory of every job
(evals.cost.jobs). Beside them, where they were made: the tables of the theory and of the probes. Not in it: other tables and
figures, which are made from it again; weights, samples and rollouts, which are too large.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from asymgrpo.study.layout import CONFIGURATION
from evals.artifacts.agreement import refuse_other_settings
from evals.artifacts.bundle_files import SCHEMA, open_bundle, write_bundle
from evals.artifacts.reading import without_other_texts
from evals.artifacts.unpack import unpack
from evals.artifacts.withheld import without_texts
from evals.cli import run
from evals.cost import jobs
from evals.io import DataError, read_json, read_metadata, read_table, sha256_file, write_json

COSTS = "cost.parquet"
"""What a cluster's accounting said, if it was asked (evals.cost.table)."""

BESIDE = ("theory.parquet", "probes.parquet")
"""Tables that no run of the study enters: what holds exactly (asymgrpo.theory), what one update does (asymgrpo.probe). A bundle
has them where they had been made, because both need torch, which a rebuild does not have."""

PLACES = {"config/images": "json", "proofs": "json", "repeats": "parquet", "continued": "parquet"}
"""Folder -> ending of its files, which are taken if they are there: images, and what was measured of the base models."""

OF_THE_STANDARD = (
    *("answers.", "budget.", "second_grader.", "memorisation.", "repeatability.", "standard."),
    "figures/budget_curves",
)
"""Names, or what they begin with, of what `snakemake standard` makes."""

RULE_OF = {
    "config": "configuration",
    "data": "problems",
    "selection.json": "select",
    "runs": "train",
    "graded": "grade",
    jobs.FILE: "benchmarks",
    "proofs": "proof",
    COSTS: "job_costs",
    BESIDE[0]: "theory",
    BESIDE[1]: "probe_table",
    "repeats": "repeatability_measured",
    "continued": "memorisation_measured",
}
"""First or last part of a path -> what wrote the file."""

LEVEL = 19
"""Of zstd: slow to write and as fast to read."""


def contents(results: Path, leaves: list[str]) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """(path in the bundle, bytes, entry of the manifest) of every file of a bundle.

    Raises:
        DataError: a file is missing or unreadable.
    """
    from tqdm import tqdm

    refuse_other_settings(results, [name for name in leaves if (results / name).is_file()])
    config_sha256 = read_json(results / CONFIGURATION)["config_sha256"]
    extra = [name for name in (COSTS, *BESIDE) if (results / name).exists()]
    extra += [
        path.relative_to(results).as_posix()
        for place, ending in PLACES.items()
        for path in (results / place).rglob(f"*.{ending}")
    ]
    names = sorted({*leaves, *extra})
    if missing := [name for name in names if not (results / name).is_file()]:
        raise DataError(
            f"{results / missing[0]} is missing (and {len(missing) - 1} more): the study is not finished; run it on"
        )
    for name in tqdm(names, desc="bundle", disable=None):
        path = results / name
        reduced: dict[str, Any] = {}
        if name.startswith("graded/"):
            table = read_table(path)
            small = without_other_texts(table)
            left_out = [column for column in table.column_names if column not in small.column_names]
            reduced = {
                "reduced_from": {
                    "sha256": sha256_file(path),
                    "columns_left_out": left_out,
                    "texts": "evals.artifacts.reading",
                }
            }
            content = _parquet(small, table.schema.metadata)
        elif name.startswith("data/") and (problems := read_table(path)) is not (small := without_texts(problems)):
            reduced = {"reduced_from": {"sha256": sha256_file(path), "texts": "evals.artifacts.withheld"}}
            content = _parquet(small, small.schema.metadata)
        else:
            content = path.read_bytes()
        yield name, content, _entry(name, content, _origin(name, path, config_sha256) | reduced)
    content = _parquet(jobs.read_jobs(results), None)
    yield jobs.FILE, content, _entry(jobs.FILE, content, {"rule": "benchmarks"})


def _parquet(table: pa.Table, metadata: Mapping[bytes, bytes] | None) -> bytes:
    stream = io.BytesIO()
    table = table.combine_chunks().replace_schema_metadata(metadata)
    pq.write_table(table, stream, compression="zstd", compression_level=LEVEL)
    return stream.getvalue()


def _entry(name: str, content: bytes, about: dict[str, Any]) -> dict[str, Any]:
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    if name.endswith(".parquet"):
        schema = pq.read_schema(pa.BufferReader(content))
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        entry |= {"rows": pq.read_metadata(pa.BufferReader(content)).num_rows}
        entry |= {"columns_sha256": hashlib.sha256(columns.encode()).hexdigest()[:16]}
    return entry | about


def origin_rule(name: str) -> str:
    """The rule that wrote a file of a bundle.

    >>> origin_rule("runs/tiny/grpo/seed0/done.json"), origin_rule("runs/tiny/grpo/seed0/selection.json")
    ('train', 'select')
    """
    parts = name.split("/")
    return RULE_OF.get(parts[-1], RULE_OF.get(parts[0], parts[0]))


def _origin(name: str, path: Path, config_sha256: str) -> dict[str, Any]:
    """Which rule wrote a file, at which commit, of which configuration (that of the run where it names one)."""
    parts = name.split("/")
    about: dict[str, Any] = {
        "rule": RULE_OF.get(parts[-1], RULE_OF.get(parts[0], parts[0])),
        "config_sha256": config_sha256,
    }
    told = read_metadata(path) if name.endswith(".parquet") else read_json(path) if parts[-1] == "done.json" else {}
    if "git_commit" in told:
        about |= {"git_commit": told["git_commit"], "git_dirty": told["git_dirty"]}
    if "sha256" in told:
        about["config_sha256"] = told["sha256"]
    return about


def make(
    results: Annotated[Path, typer.Option(help="folder of results of a finished study")],
    out: Annotated[Path, typer.Option(help="zip file to write")],
) -> None:
    """Make a bundle of a finished study."""
    from asymgrpo.study.layout import leaves
    from asymgrpo.study.stored import study_of_results

    study = study_of_results(results)
    parts = list(contents(results, leaves(study)))
    manifest = {"schema": SCHEMA, "study": study.name, "files": {name: entry for name, _, entry in parts}}
    write_bundle(out, [(name, content) for name, content, _ in parts], manifest)
    rows = sum(entry.get("rows", 0) for name, _, entry in parts if name.startswith("graded/"))
    typer.echo(f"{out}: {len(parts)} files, {rows:,} graded samples, {out.stat().st_size / 1e6:.1f} MB")
    typer.echo(f"sha256 {sha256_file(out)}")


def check(bundle: Annotated[str, typer.Option(help="zip file, folder or URL")]) -> None:
    """Compare every file of a bundle with its manifest."""
    opened = open_bundle(bundle)
    opened.check()
    typer.echo(f"{bundle}: {len(opened.files)} files of study {opened.manifest['study']}, all as the manifest says")


def content_hashes(results: Path) -> dict[str, str]:
    """Path -> sha256 of every table (its bytes) and figure (size and pixels of its PNG) that was derived in a folder of results.

    Pixels, because a PNG's bytes change with the compression library. Left out are seconds and costs, which are of the clock,
    and what `snakemake standard` makes, which has a page of its own.
    """
    tables = [path for pattern in ("*.parquet", "*.md", "controls/**/*.*") for path in results.glob(pattern)]
    named = {path.relative_to(results).as_posix(): path for path in [*tables, *results.glob("figures/*.png")]}
    return {
        name: _content_hash(path)
        for name, path in sorted(named.items())
        if not name.startswith((jobs.FILE, "cost", *OF_THE_STANDARD))
    }


def _content_hash(path: Path) -> str:
    if path.suffix != ".png":
        return sha256_file(path)
    from PIL import Image

    with Image.open(path) as picture:
        pixels = picture.convert("RGBA")
    return hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()


def hashes(
    results: Annotated[Path, typer.Option(help="folder with tables and figures")],
    out: Annotated[Path, typer.Option(help="hashes to write (JSON)")],
) -> None:
    """Write down the hashes of tables and figures, to compare later ones with."""
    found = content_hashes(results)
    if not found:
        raise DataError(f"{results}: no tables or figures in it; run snakemake figures tables first")
    write_json(found, out)
    typer.echo(f"{out}: {len(found)} tables and figures")


if __name__ == "__main__":
    run(make, check, unpack, hashes)
