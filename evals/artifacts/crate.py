"""A finished study described as an RO-Crate: which files there are, with their hashes, and which step made them out of which.

    python -m evals.artifacts.crate --results results-study --out results-study/ro-crate-metadata.json

RO-Crate 1.1 and the profile Process Run Crate 0.5 (https://w3id.org/ro/wfrun/process/0.5): one action per step of the workflow,
over all of its jobs. The folder with this file in it is the crate. Its dates are those of the newest files described.
"""

from __future__ import annotations

import datetime
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.artifacts.agreement import refuse_other_settings
from evals.artifacts.bundle import origin_rule
from evals.cli import run
from evals.cost.jobs import read_jobs
from evals.io import DataError, read_json, sha256_file, write_text

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

VERSION = "1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
"""Terms that are not in the context of RO-Crate itself."""
LICENSE = "https://spdx.org/licenses/Apache-2.0"
PAPER = "https://arxiv.org/abs/2604.04894"
AUTHORS = "The asymgrpo authors"
DERIVED = ("*.parquet", "*.md", "controls/**/*", "figures/*")
"""Tables and figures, below the folder of results."""

STEPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "problems": ("Prepare the problems", ("configuration",)),
    "train": ("Train every arm with every seed", ("configuration", "problems")),
    "select": ("Select checkpoints", ("train",)),
    "grade": (
        "Sample the selected checkpoints and grade the samples",
        ("configuration", "problems", "train", "select"),
    ),
    "derive": ("Make tables and figures", ("configuration", "problems", "train", "select", "grade")),
}
"""Step -> what it does, and the steps whose files it reads (`configuration` was written by hand)."""

MIME = {".parquet": "application/vnd.apache.parquet", ".md": "text/markdown"}


def files_by_step(results: Path, leaves: Sequence[str]) -> dict[str, list[str]]:
    """Step -> paths of its files below `results`, sorted.

    Raises:
        DataError: a leaf is missing.
    """
    if missing := [name for name in leaves if not (results / name).is_file()]:
        raise DataError(
            f"{results / missing[0]} is missing (and {len(missing) - 1} more): the study is not finished; run it on"
        )
    from asymgrpo.study.layout import of_study
    from asymgrpo.study.stored import study_of_results

    study = study_of_results(results)
    there = {p.relative_to(results).as_posix() for pattern in DERIVED for p in results.glob(pattern) if p.is_file()}
    derived = {name for name in there if of_study(study, name)}
    found: dict[str, list[str]] = {}
    for name in sorted({*leaves, *derived}):
        found.setdefault(origin_rule(name) if name in leaves else "derive", []).append(name)
    return found


def describe(results: Path, leaves: Sequence[str]) -> dict[str, Any]:
    """The crate's metadata as JSON-LD.

    Raises:
        DataError: a file is missing.
    """
    from rocrate.rocrate import ROCrate

    by_step = files_by_step(results, leaves)
    refuse_other_settings(results, [name for names in by_step.values() for name in names])
    study = read_json(results / "config/study.json")
    crate = ROCrate(version=VERSION)
    crate.metadata.extra_terms.update(TERMS)
    crate.name = f"Results of study {study['config']['name']}"
    crate.description = (
        f"Tables, figures and what they are derived from, of configuration {study['config_sha256']}: AsymGRPO against other "
        "ways to train, with intervals. Made by the workflow of asymgrpo."
    )
    crate.datePublished = _newest(results, [name for names in by_step.values() for name in names])
    crate.license = _entity(crate, LICENSE, "CreativeWork", {"name": "Apache License 2.0", "identifier": LICENSE})
    authors = _entity(crate, "#authors", "Organization", {"name": AUTHORS})
    crate.root_dataset["author"] = crate.root_dataset["publisher"] = authors
    profile = _entity(crate, PROFILE, "CreativeWork", {"name": "Process Run Crate", "version": "0.5"})
    crate.root_dataset["conformsTo"] = profile
    software = _software(crate, results, by_step)
    entities = {step: [_file(crate, results, name) for name in names] for step, names in by_step.items()}
    _actions(crate, results, by_step, entities, software)
    return _sorted(crate.metadata.generate())


def _entity(crate: ROCrate, identifier: str, kind: str, properties: Mapping[str, Any]) -> Entity:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _software(crate: ROCrate, results: Path, by_step: Mapping[str, Sequence[str]]) -> Entity:
    """The code at the commits that trained, and the packages that it ran with."""
    runs = [read_json(results / name) for name in by_step["train"] if name.endswith("done.json")]
    commits = sorted({f"{told['git_commit']}{'-dirty' if told['git_dirty'] else ''}" for told in runs})
    versions = {(name, version) for told in runs for name, version in told["packages"].items() if version}
    packages = [
        _entity(crate, _pypi(name, version), "SoftwareApplication", _application(name, version, _pypi(name, version)))
        for name, version in sorted(versions)
    ]
    # Software Heritage names a state of code by its commit, whether or not it holds a copy.
    identifier = f"https://identifiers.org/swh:1:rev:{commits[0].removesuffix('-dirty')}"
    about = _application("asymgrpo", ", ".join(commits), PAPER) | {"softwareRequirements": packages}
    return _entity(crate, identifier, "SoftwareApplication", about)


def _application(name: str, version: str, url: str) -> dict[str, Any]:
    return {"name": name, "softwareVersion": version, "url": url}


def _pypi(name: str, version: str) -> str:
    return f"https://pypi.org/project/{name}/{version.partition('+')[0]}/"


def _file(crate: ROCrate, results: Path, name: str) -> Entity:
    path = results / name
    kind = MIME.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    properties = {
        "name": name,
        "encodingFormat": kind,
        "contentSize": str(path.stat().st_size),
        "sha256": sha256_file(path),
    }
    return crate.add_file(path, dest_path=name, properties=properties)


def _actions(
    crate: ROCrate,
    results: Path,
    by_step: Mapping[str, Sequence[str]],
    entities: Mapping[str, list[Entity]],
    software: Entity,
) -> None:
    jobs = read_jobs(results).to_pandas()
    for step, (name, sources) in STEPS.items():
        if step not in by_step:
            continue
        of_step = {"grade": ["sample", "grade"], "derive": []}.get(step, [step])
        mine = jobs[jobs["rule"].isin(of_step)] if of_step else jobs[~jobs["rule"].isin(_leaf_rules())]
        properties = {
            "name": name,
            "description": f"{len(mine)} jobs, {mine['seconds'].sum():.0f} seconds in all",
            "endTime": _newest(results, by_step[step]),
        }
        read = [entity for source in sources for entity in entities.get(source, [])]
        made = entities[step]
        one_or_all = [items[0] if len(items) == 1 else items for items in (read, made)]
        action = crate.add_action(
            software, f"#{step}", object=one_or_all[0], result=one_or_all[1], properties=properties
        )
        crate.root_dataset.append_to("mentions", action)


def _leaf_rules() -> list[str]:
    return [*STEPS, "sample", "base_model"]


def _newest(results: Path, names: Sequence[str]) -> str:
    """Time of the newest of the files, in UTC and whole seconds."""
    newest = max((results / name).stat().st_mtime for name in names)
    return datetime.datetime.fromtimestamp(int(newest), datetime.UTC).isoformat()


def _sorted(document: dict[str, Any]) -> dict[str, Any]:
    """The same graph in a fixed order: the metadata file and the root first, then by identifier."""
    first = ("ro-crate-metadata.json", "./")
    document["@graph"].sort(key=lambda entity: (entity["@id"] not in first, entity["@id"]))
    return document


def main(
    results: Annotated[Path, typer.Option(help="folder of results of a finished study")],
    out: Annotated[Path, typer.Option(help="ro-crate-metadata.json in that folder")],
) -> None:
    """Describe a finished study as an RO-Crate."""
    import json

    from asymgrpo.study.layout import leaves
    from asymgrpo.study.stored import study_of_results

    if out.parent.resolve() != results.resolve() or out.name != "ro-crate-metadata.json":
        raise DataError(
            f"{out}: an RO-Crate's description must be ro-crate-metadata.json in the folder it describes, {results}"
        )
    document = describe(results, leaves(study_of_results(results)))
    write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", out)
    typer.echo(f"{out}: {len(document['@graph'])} entities")


if __name__ == "__main__":
    run(main)
