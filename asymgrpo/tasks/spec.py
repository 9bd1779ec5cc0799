"""What a data set is: where its rows come from, which field is which, how reference answers are cleaned. One YAML file each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asymgrpo.errors import DataError

TRAINING_SETS = Path(__file__).parent / "training_sets"
BENCHMARKS = Path(__file__).parent / "benchmarks"


class Hub(BaseModel):
    """A data set on the Hugging Face hub; its revision lives in config/data.lock.yaml, never here."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    configs: list[str | None]
    """Configurations read one after the other; null is the default one."""
    split: str


class DatasetSpec(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    title: str = ""
    """Of its columns in tables and its panels in figures; empty: its name."""
    about: str
    """What it is, in a few words."""
    source: Literal["generated", "files"]
    """generated: the workflow makes the rows (data.source embedded); files: read from a directory or the hub."""
    file: str | None = None
    """Name in the data directory; null when it is read from the hub only."""
    hub: Hub | None = None
    """Null when no hub copy is known for certain to hold the same rows."""
    problem: list[str] = Field(default=["problem"])
    """Field with the problem: the first of these that a row has."""
    answer: list[str] = Field(default=["answer"])
    """Field with the reference answer, or with the solution that ends in it."""
    level: str | None = None
    clean: list[str] = []
    """Rules of asymgrpo.tasks.cleaning, applied to every reference answer in this order."""


def only_on_hub(spec: DatasetSpec) -> bool:
    """Whether no file of the data set is known, so that its content is locked by the first fetch.

    >>> only_on_hub(dataset_spec("beyondaime")), only_on_hub(dataset_spec("aime26"))
    (True, False)
    """
    return spec.source == "files" and spec.file is None


def spec_path(name: str) -> Path:
    """The YAML file of a training set or a benchmark. Raises DataError with the names that exist."""
    for folder in (TRAINING_SETS, BENCHMARKS):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise DataError(f"unknown data set {name!r}; known are {', '.join(known_names())}.")


def known_names() -> list[str]:
    return sorted(path.stem for folder in (TRAINING_SETS, BENCHMARKS) for path in folder.glob("*.yaml"))


def dataset_spec(name: str) -> DatasetSpec:
    """The description of a data set by name.

    >>> dataset_spec("math_train").about
    'MATH train'
    """
    path = spec_path(name)
    try:
        spec = DatasetSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path.name}: key {first['loc']}: {first['msg']}; correct the file.") from None
    if spec.name != path.stem:
        raise DataError(f"{path.name}: its name is {spec.name!r}; a data set and its file must be named alike.")
    return spec
