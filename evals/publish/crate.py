"""`crate/`: the run as an RO-Crate 1.1 with the profiles Workflow Run and Provenance Run Crate 0.5.

The Snakefile is the workflow, each rule that results depend on is a step, and each of its jobs an action with its inputs, its
result, its seconds and memory as Snakemake measured them, and the image that it ran in, if there was one. evals.artifacts.crate
describes a folder of results as it lies; this one is made to be passed on: what it describes and does not hold (weights, samples)
stands in it by its hash.
"""

from __future__ import annotations

import base64
import mimetypes
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from asymgrpo.files import sha256_file, write_table
from asymgrpo.provenance import ROOT
from asymgrpo.study.layout import of_study
from asymgrpo.study.stored import document
from evals.cost.jobs import read_jobs
from evals.io import write_text
from evals.publish.source import PAPER, Source, rows_of, write_document

Entity = dict[str, Any]

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
TERMS = ("sha256", "containerImage", "ContainerImage", "registry", "resourceUsage")
"""Of the workflow-run vocabulary: spelled out here, so that a reader needs one context only."""
CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    {term: f"https://w3id.org/ro/terms/workflow-run#{term}" for term in TERMS},
]
LICENSE = "https://spdx.org/licenses/Apache-2.0"
STEPS: Mapping[str, tuple[str, str, str]] = {
    "problems": ("Prepare the problems", "asymgrpo.tasks.prepare", "train"),
    "base_model": ("Make or fetch the base model", "asymgrpo.models.load", "train"),
    "train": ("Train one arm with one seed", "asymgrpo.training", "train"),
    "select": ("Select checkpoints", "evals.select", "evaluate"),
    "sample": ("Sample the selected checkpoints", "evals.sample", "evaluate"),
    "grade": ("Grade the samples", "evals.grade", "evaluate"),
    "counts": ("Count verdicts", "evals.tables.counts", "report"),
    "score": ("Estimate scores with intervals", "evals.tables.score", "report"),
    "table1": ("Make Table 1", "evals.tables.table1", "report"),
    "run_scores": ("Score each run", "evals.tables.run_scores", "report"),
    "claims": ("Decide the paper's claims", "evals.claims", "report"),
}
"""Rule -> what it does, what `python -m` starts, and the image that it runs in. Other rules make nothing that these read."""
READS: Mapping[str, tuple[str, ...]] = {
    "train": ("problems", "base_model"),
    "select": ("train",),
    "sample": ("select", "problems"),
    "grade": ("sample", "problems"),
}
"""Rule -> rules whose results for the same model, arm and seed its job reads; every job reads the configuration."""
USAGE = {
    "seconds": ("wall time", "SEC", "s"),
    "cpu_seconds": ("CPU time", "SEC", "s"),
    "max_rss_mb": ("peak memory", "4L", "MiB"),
}
"""Measured column of the jobs -> name, UN/CEFACT code and unit."""
TABLES = ("table1", "scores", "run_scores", "differences", "claims", "claims_sensitivity", "coverage", "robust")


def write(source: Source, folder: Path) -> int:
    """Write the crate; returns the number of jobs that it describes."""
    files = list(_files(source, folder))
    jobs = _jobs(source)
    write_table(jobs.table, folder / "jobs.parquet", {})
    graph = list(_graph(source, folder, [*files, "jobs.parquet"], jobs.frame))
    write_document({"@context": CONTEXT, "@graph": graph}, folder / "ro-crate-metadata.json")
    return len(jobs.frame)


class _jobs:
    """The jobs of STEPS, in their order: what ran later, this command too, is no part of the run."""

    def __init__(self, source: Source):
        every = read_jobs(source.folder)
        keep = [row for row in every.to_pylist() if row["rule"] in STEPS]
        keep.sort(key=lambda row: (list(STEPS).index(row["rule"]), row["name"]))
        self.table = every.schema.empty_table() if not keep else every.from_pylist(keep, every.schema)
        self.frame = self.table.to_pandas()


def _files(source: Source, folder: Path) -> Iterator[str]:
    """Copy what the crate holds; yields paths below its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(document(source.results.study), folder / "config.json")
    yield "config.json"
    for name in ("Snakefile", *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "workflow/rules").glob("*.smk"))):
        yield _copied(ROOT / name, folder, name)
    for name in ("LICENSE", "CITATION.cff", "requirements/cpu.lock", "requirements/report.lock"):
        if (ROOT / name).is_file():
            yield _copied(ROOT / name, folder, name)
    for run in source.results.runs:
        for path in (run.folder / "done.json", run.folder / "selection.json"):
            if path.is_file():
                yield _copied(path, folder, path.relative_to(source.folder).as_posix())
    images = sorted((source.folder / "config/images").glob("*.json"))
    made = [source.folder / f"{table}{end}" for table in TABLES for end in (".parquet", ".md")]
    for path in [*images, *made, *sorted((source.folder / "figures").glob("*.png"))]:
        name = path.relative_to(source.folder).as_posix()
        if path.is_file() and of_study(source.study, name):
            yield _copied(path, folder, name)


def _copied(path: Path, folder: Path, name: str) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / name)
    return name


def _ref(*names: str) -> Any:
    """References to entities: one, or a list of them."""
    found = [{"@id": name} for name in names]
    return found[0] if len(found) == 1 else found


def _graph(source: Source, folder: Path, files: Sequence[str], jobs: pd.DataFrame) -> Iterator[Entity]:
    actions = [f"#job/{row.rule}/{row.name}" for row in jobs.itertuples(index=False)]
    steps = [step for step in STEPS if step in set(jobs["rule"])]
    yield {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": _ref("./"),
        "conformsTo": _ref("https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"),
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": f"The run of study {source.name}",
        "description": f"A reproduction of arXiv:{PAPER}: {len(source.results.runs)} training runs and what was made of them, "
        f"with every job, its seconds and where it ran. Configuration {source.results.config_sha256}.",
        "datePublished": source.date,
        "license": _ref(LICENSE),
        "author": _ref("#authors"),
        "publisher": _ref("#authors"),
        "conformsTo": _ref(*PROFILES),
        "mainEntity": _ref("Snakefile"),
        "hasPart": _ref(*files),
        "mentions": _ref("#run", *actions),
    }
    yield from (
        {"@id": name, "@type": "CreativeWork", "name": title, "version": version}
        for name, (title, version) in PROFILES.items()
    )
    yield {"@id": LICENSE, "@type": "CreativeWork", "name": "Apache License 2.0", "identifier": LICENSE}
    yield {"@id": "#authors", "@type": "Organization", "name": "The asymgrpo authors"}
    yield from (_file(folder, name) for name in files if name != "Snakefile")
    yield from _workflow(source, folder, steps)
    yield from _images(source)
    yield from _run(source, files, jobs, actions)
    yield from _all_jobs(source, files, jobs)


def _file(folder: Path, name: str) -> Entity:
    path = folder / name
    kinds = {".parquet": "application/vnd.apache.parquet", ".md": "text/markdown"}
    kind = kinds.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    about = {"name": name, "encodingFormat": kind, "contentSize": str(path.stat().st_size), "sha256": sha256_file(path)}
    return {"@id": name, "@type": "File", **about}


def _workflow(source: Source, folder: Path, steps: Sequence[str]) -> Iterator[Entity]:
    """The Snakefile, its language and engine, its steps and the programs that they start."""
    version = ", ".join(source.commits) or "unknown"
    yield _file(folder, "Snakefile") | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "description": "The workflow as it stood when this folder was made; `version` is the commit of the runs.",
        "programmingLanguage": _ref("https://snakemake.github.io"),
        "version": version,
        "url": f"https://arxiv.org/abs/{PAPER}",
        "license": _ref(LICENSE),
        "hasPart": _ref(*(_tool(source, step) for step in steps)),
        "step": _ref(*(f"Snakefile#{step}" for step in steps)),
        "input": _ref("#input-configuration"),
        "output": _ref("#output-claims"),
    }
    for name, what, example in (
        ("#input-configuration", "configuration", "config.json"),
        ("#output-claims", "verdicts on the paper's claims", "claims.parquet"),
    ):
        yield {
            "@id": name,
            "@type": "FormalParameter",
            "additionalType": "File",
            "name": what,
            "workExample": _ref(example),
            "conformsTo": _ref("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"),
        }
    yield {
        "@id": "https://snakemake.github.io",
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "url": "https://snakemake.github.io",
    }
    yield {
        "@id": _engine(),
        "@type": "SoftwareApplication",
        "name": "Snakemake",
        "softwareVersion": _engine().rstrip("/").split("/")[-1],
        "url": _engine(),
    }
    for position, step in enumerate(steps):
        what, module, _ = STEPS[step]
        yield {
            "@id": f"Snakefile#{step}",
            "@type": "HowToStep",
            "name": what,
            "position": str(position),
            "workExample": _ref(_tool(source, step)),
        }
        yield {
            "@id": _tool(source, step),
            "@type": "SoftwareApplication",
            "name": f"python -m {module}",
            "softwareVersion": version,
            "url": f"https://arxiv.org/abs/{PAPER}",
        }


def _engine() -> str:
    from importlib.metadata import version

    return f"https://pypi.org/project/snakemake/{version('snakemake')}/"


def _tool(source: Source, step: str) -> str:
    """Software Heritage names a state of code by its commit, whether or not it holds a copy."""
    commit = source.commits[0].removesuffix("-dirty") if source.commits else "0" * 40
    return f"https://identifiers.org/swh:1:rev:{commit}#{STEPS[step][1]}"


def _image_file(source: Source, step: str) -> Path:
    return source.folder / "config/images" / f"{STEPS[step][2]}.json"


def _images(source: Source) -> Iterator[Entity]:
    """The images that jobs ran in: sha256 of what each one recorded of its content, which the runs state, too."""
    for path in sorted((source.folder / "config/images").glob("*.json")):
        yield {
            "@id": f"#image/{path.stem}",
            "@type": "ContainerImage",
            "additionalType": _ref("https://w3id.org/ro/terms/workflow-run#SIFImage"),
            "name": f"asymgrpo-{path.stem}",
            "registry": "none: the workflow builds it from containers/",
            "sha256": sha256_file(path),
        }
    yield {"@id": "https://w3id.org/ro/terms/workflow-run#SIFImage", "@type": "DefinedTerm", "name": "SIF image"}


def _run(source: Source, files: Sequence[str], jobs: pd.DataFrame, actions: Sequence[str]) -> Iterator[Entity]:
    """The workflow's own action, and the engine's, which started every job."""
    tables = [name for name in files if name.endswith((".parquet", ".png")) and name != "jobs.parquet"]
    yield {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of study {source.name}",
        "description": f"{len(jobs)} jobs, {jobs['seconds'].sum():.0f} seconds in all",
        "instrument": _ref("Snakefile"),
        "agent": _ref("#authors"),
        "object": _ref("config.json"),
        "result": _ref(*tables),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    yield {
        "@id": "#organize",
        "@type": "OrganizeAction",
        "name": "Snakemake starts the jobs",
        "instrument": _ref(_engine()),
        "agent": _ref("#authors"),
        "object": _ref(*(f"#control/{name.removeprefix('#job/')}" for name in actions)),
        "result": _ref("#run"),
    }


def _all_jobs(source: Source, files: Sequence[str], jobs: pd.DataFrame) -> Iterator[Entity]:
    contained, known = set(files), dict[str, Entity]()
    for row in rows_of(jobs):
        name = f"{row['rule']}/{row['name']}"
        outside = [_outside(source, path) for path in [*_inputs(row), *_outputs(row)] if path not in contained]
        known |= {entity["@id"]: entity for entity in outside}
        names = {entity["name"]: entity["@id"] for entity in outside}
        objects, results = ([names.get(p, p) for p in paths] for paths in (_inputs(row), _outputs(row)))
        image = _image_file(source, row["rule"])
        usage = [column for column in USAGE if not pd.isna(row[column])]
        yield {
            "@id": f"#job/{name}",
            "@type": "CreateAction",
            "name": f"{STEPS[row['rule']][0]}: {row['name']}" if row["name"] else STEPS[row["rule"]][0],
            "description": f"in image {image.stem}" if image.is_file() else "on the host, without a container",
            "instrument": _ref(_tool(source, row["rule"])),
            "agent": _ref("#authors"),
            "object": _ref("config.json", *objects),
            "result": _ref(*results) if results else _ref("#run-intermediate"),
            "actionStatus": "http://schema.org/CompletedActionStatus",
            **({"containerImage": _ref(f"#image/{image.stem}")} if image.is_file() else {}),
            **({"resourceUsage": _ref(*(f"#usage/{column}/{name}" for column in usage))} if usage else {}),
        }
        yield {
            "@id": f"#control/{name}",
            "@type": "ControlAction",
            "name": f"Start {name}",
            "instrument": _ref(f"Snakefile#{row['rule']}"),
            "agent": _ref("#authors"),
            "object": _ref(f"#job/{name}"),
        }
        for column in usage:
            what, code, unit = USAGE[column]
            value = {"name": what, "value": repr(float(row[column])), "unitCode": code, "unitText": unit}
            yield {
                "@id": f"#usage/{column}/{name}",
                "@type": "PropertyValue",
                "propertyID": f"#usage/{column}",
                **value,
            }
    yield {"@id": "#run-intermediate", "@type": "CreativeWork", "name": "counts, from which the tables are made"}
    yield from known.values()


def _outputs(row: Mapping[str, Any]) -> list[str]:
    """What a job wrote, below the folder of results."""
    run = (
        f"{row['model']}/{row['arm']}/seed{row['seed']:.0f}"
        if row["seed"] is not None and not pd.isna(row["seed"])
        else ""
    )
    made = {
        "problems": f"data/{row['dataset']}.parquet",
        "base_model": f"models/{row['model']}/base",
        "train": f"runs/{run}/done.json",
        "select": f"runs/{run}/selection.json",
        "sample": f"samples/{run}",
        "grade": f"graded/{run}.parquet",
        "table1": "table1.parquet",
        "run_scores": "run_scores.parquet",
        "claims": "claims.parquet",
        "score": f"{row['name']}.parquet",
    }
    return [made[row["rule"]]] if row["rule"] in made else []


def _inputs(row: Mapping[str, Any]) -> list[str]:
    found = []
    for step in READS.get(row["rule"], ()):
        if step == "problems":
            found.append(
                "data/train.parquet" if row["rule"] == "train" else f"data/{row['benchmark'] or 'benchmarks'}.parquet"
            )
        else:
            found += _outputs({**row, "rule": step})
    return found


def _outside(source: Source, name: str) -> Entity:
    """What the crate does not hold: by its hash (RFC 6920) where it lies in the results, else by its place in the run."""
    path = source.folder / name
    if not path.is_file():
        return {"@id": f"#not-here/{name}", "@type": "CreativeWork", "name": name}
    digest = sha256_file(path)
    short = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")
    return {"@id": f"ni:///sha-256;{short}", "@type": "CreativeWork", "name": name, "sha256": digest}
