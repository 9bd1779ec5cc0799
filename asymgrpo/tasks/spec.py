"""What a data set is: where its rows come from, which field is which, how reference answers are cleaned. One YAML file each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from asymgrpo.errors import DataError
from asymgrpo.tasks.families import Family

TRAINING_SETS = Path(__file__).parent / "training_sets"
BENCHMARKS = Path(__file__).parent / "benchmarks"


LICENCES = {
    **dict.fromkeys(("MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "ODC-By-1.0"), True),
    **dict.fromkeys(("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "none"), False),
}
"""Licence of a data set (SPDX; `none`: its source states none) -> whether its texts may be in what we pass on."""


def _licence(name: str) -> str:
    if name not in LICENCES:
        raise ValueError(f"{name!r} is not a licence that we know; known are {', '.join(LICENCES)}")
    return name


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
    licence: Annotated[str, AfterValidator(_licence)]
    """Of its texts, as their source states it (LICENCES); where sources differ, the strictest."""
    source: Literal["generated", "files"]
    """generated: the workflow makes the rows (data.source embedded); files: read from a directory or the hub."""
    family: Family = "chain_sum"
    """Of a generated set: which task makes it (asymgrpo.tasks.families)."""
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

    @property
    def may_be_passed_on(self) -> bool:
        """Whether its texts may be in a bundle or a published folder; those of others are there by hash and identifier only."""
        return LICENCES[self.licence]


Spec = TypeVar("Spec", bound=DatasetSpec)


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
    return read_spec(spec_path(name), DatasetSpec)


def read_spec(path: Path, kind: type[Spec]) -> Spec:
    """The description in a YAML file. Raises DataError naming the file and the key that is missing or wrong."""
    try:
        spec = kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        key, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise DataError(f"{path.name}: the key {key} is missing; add it (CONTRIBUTING.md).") from None
        raise DataError(f"{path.name}: {key}: {said}; correct the file.") from None
    if spec.name != path.stem:
        raise DataError(f"{path.name}: its name is {spec.name!r}; a data set and its file must be named alike.")
    return spec
