"""Bundles of several laboratories as one bundle: their runs side by side, under a configuration with all of their seeds.

Every file of a run is that of its laboratory, byte for byte. Problems are the same everywhere. The base model's answers are those
of the first laboratory: the others drew theirs with the same random numbers, so that they are no new sample. Seconds and memory
of jobs are those of all. `config/laboratories.json` says which runs are whose.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from asymgrpo.study.layout import CONFIGURATION, LABORATORIES, leaves
from asymgrpo.study.settings import is_base
from asymgrpo.study.stored import document, parse_stored
from evals.artifacts.bundle_files import SCHEMA, write_bundle
from evals.cost import jobs
from evals.pool.agreement import require
from evals.pool.laboratories import Laboratory, opened

SEEDS = ("seeds", "analysis_seeds")
CACHE = Path("artifacts/pooled")


def configuration(laboratories: Sequence[Laboratory]) -> dict[str, Any]:
    """config/study.json of all: the first laboratory's, with the seeds of all."""
    stored = json.loads(json.dumps(laboratories[0].stored))
    for key in SEEDS:
        stored["study"][key] = sorted({seed for lab in laboratories for seed in getattr(lab.study.study, key)})
    digest = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    return {"config_sha256": digest, "config": stored}


def about(laboratories: Sequence[Laboratory]) -> dict[str, Any]:
    """config/laboratories.json: laboratory -> {bundle: sha256 of its manifest, runs, base: whether its base answers differ}."""
    first, found = laboratories[0], {}
    for lab in laboratories:
        told = lab.bundle.manifest_text
        found[lab.name] = {
            "manifest_sha256": hashlib.sha256(told.encode()).hexdigest(),
            "runs": lab.runs,
            "other_base_answers": [
                name
                for name in lab.bundle.files
                if _of_base(name) and lab.bundle.files[name]["sha256"] != first.bundle.files[name]["sha256"]
            ],
        }
    return found


def _of_base(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "graded" and is_base(parts[2])


def contents(laboratories: Sequence[Laboratory]) -> Iterator[tuple[str, bytes, Mapping[str, Any]]]:
    """(path, bytes, entry of the manifest) of every file of the pool; the laboratories must agree (evals.pool.agreement)."""
    config = document(configuration(laboratories)).encode()
    study = parse_stored(json.loads(config)["config"])
    made = {
        CONFIGURATION: (config, "configuration"),
        LABORATORIES: (document(about(laboratories)).encode(), "pool"),
        jobs.FILE: (_jobs(laboratories), "benchmarks"),
    }
    for name, (content, rule) in made.items():
        yield name, content, {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "rule": rule}
    for name in leaves(study):
        if name not in made:
            lab = next(lab for lab in laboratories if name in lab.bundle.files)
            yield name, lab.bundle.read(name), lab.bundle.files[name]


def _jobs(laboratories: Sequence[Laboratory]) -> bytes:
    """jobs.parquet of all; of jobs that several did, each one's."""
    tables = [
        pq.read_table(BytesIO(lab.bundle.read(jobs.FILE))) for lab in laboratories if jobs.FILE in lab.bundle.files
    ]
    stream = BytesIO()
    pq.write_table(pa.concat_tables(tables, promote_options="permissive"), stream, compression="zstd")
    return stream.getvalue()


def join(laboratories: Sequence[Laboratory], out: Path) -> None:
    """Write the bundle of all. Raises PoolError when they do not agree."""
    require(laboratories)
    parts = list(contents(laboratories))
    manifest = {
        "schema": SCHEMA,
        "study": laboratories[0].study.name,
        "files": {name: dict(entry) for name, _, entry in parts},
    }
    write_bundle(out, [(name, content) for name, content, _ in parts], manifest)


def cached(sources: Sequence[str], folder: Path = CACHE) -> Path:
    """The joined bundle of some sources, made once and kept under a name of their contents. Raises PoolError."""
    laboratories = opened(sources)
    told = [[lab.name, lab.bundle.manifest_text] for lab in laboratories]
    path = folder / f"{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}.zip"
    if not path.exists():
        join(laboratories, path)
    return path
