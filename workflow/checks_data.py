"""Whether the data of a study is there: its sets are known, its source has them, its files exist, its bundle is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asymgrpo.study.config import Study
from containers.host import ROOT
from workflow.common import LOCK


def data_there(study: Study) -> Iterator[str]:
    from asymgrpo.tasks.spec import dataset_spec, known_names

    if study.artifacts is not None:  # the problems are in the bundle
        return
    if study.data.source == "directory" and study.data.dir is None:
        yield "config: data.source is 'directory' but data.dir is not set; give the folder with the data files."
        return
    if study.data.train not in known_names():
        yield f"config: data.train names {study.data.train!r}; known are {', '.join(known_names())}."
        return
    names = [name for name in [study.data.train, *study.evaluation.benchmarks] if name in known_names()]
    expected = "generated" if study.data.source == "embedded" else "files"
    foreign = [name for name in names if dataset_spec(name).source != expected]
    if foreign:
        yield f"config: data.source {study.data.source!r} does not have {', '.join(foreign)}; use others or another source."
    elif study.data.source != "embedded":
        yield from _elsewhere(study.data.source, names)
    if study.data.source == "directory" and not foreign:
        yield from _files(study, names)
    yield from _enough(study)


def _elsewhere(source: str, names: list[str]) -> Iterator[str]:
    """Some sets are known as a file only, others on the hub only."""
    from asymgrpo.tasks.spec import dataset_spec

    specs = [dataset_spec(name) for name in names]
    other = {"directory": "hub", "hub": "directory"}[source]
    lacking = [spec.name for spec in specs if (spec.file if source == "directory" else spec.hub) is None]
    if lacking:
        yield (
            f"config: data.source {source!r} does not have {', '.join(lacking)}; evaluate on others, or on these in a study with "
            f"data.source {other!r}."
        )


def _enough(study: Study) -> Iterator[str]:
    """Some problems must be left to train on."""
    from asymgrpo.tasks.lock import read_lock

    data, rows, key = study.data, study.data.embedded.train_size, "data.embedded.train_size"
    if data.source != "embedded":
        locked = read_lock(ROOT / LOCK).datasets.get(data.train)
        if locked is None or locked.rows is None:
            return
        rows, key = locked.rows, data.train
    if data.validation_size >= rows:
        yield (
            f"config: data.validation_size = {data.validation_size} leaves none of the {rows} problems of {key} to train on; "
            "lower it."
        )


def bundle_there(study: Study) -> Iterator[str]:
    if study.artifacts is None:
        return
    from asymgrpo.study.layout import leaves
    from evals.artifacts.bundle_files import open_bundle

    files = open_bundle(study.artifacts).files
    if lacking := [name for name in leaves(study) if name not in files]:
        yield f"config: artifacts: the bundle lacks {lacking[0]} (and {len(lacking) - 1} more); make it again with this version."


def _files(study: Study, names: list[str]) -> Iterator[str]:
    from asymgrpo.tasks.spec import dataset_spec

    for name in names:
        if (file := dataset_spec(name).file) is None:
            continue  # refused by its source
        path = Path(study.data.dir or "") / file
        if not path.is_file():
            yield f"config: data.dir: the file {str(path)!r} of data set {name!r} is missing; put it there or correct data.dir."
