"""The base of every part of a configuration: text means what YAML reads in it, and nothing is taken for what it is not.

Snakemake hands on what `--config` nests as text: `--config 'train={"mismatch_gate": null}'` is the text "null". A field that
takes no text reads it as a file would have it, so that both ways give the same study and the same inputs of jobs.
"""

from __future__ import annotations

import datetime
import re
import types
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Value = TypeVar("Value", bound=Hashable)
NULLS = ("", "null", "Null", "NULL", "~", "None")
"""How nothing is written: as in YAML, and as Snakemake hands it on to the jobs that it submits."""
EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")
"""Numbers such as 1e-5, which YAML 1.1 takes for text because no point is in them."""


def scalar(text: str) -> Any:
    """What a file of YAML has where `text` stands in it without quotes; lists and mappings stay text.

    >>> [scalar(text) for text in ("null", "true", "7", "0.5", "1e-5", "grpo", "[1]")]
    [None, True, 7, 0.5, 1e-05, 'grpo', '[1]']
    """
    if EXPONENT.fullmatch(text.strip()):
        return float(text)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, (list, dict, set)) else value


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types that a field's type admits, without their constraints.

    >>> alternatives(Annotated[int, "positive"] | None)
    (<class 'int'>, <class 'NoneType'>)
    """
    if get_origin(kind) is Annotated:
        return alternatives(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(member for part in get_args(kind) for member in alternatives(part))
    return (kind,)


def meant(kind: Any, value: Any) -> Any:
    """What a value means in a field of type `kind`, before its own checks. Raises ValueError where they would let it pass.

    >>> meant(float | None, "null"), meant(list[int], ["1", 2]), meant(str, "1"), meant(str, 2604)
    (None, [1, 2], '1', '2604')
    """
    kinds = alternatives(kind)
    for member in kinds:
        if get_origin(member) is list and isinstance(value, list):
            return [meant(get_args(member)[0], item) for item in value]
        if get_origin(member) is dict and isinstance(value, dict):
            return {key: meant(get_args(member)[1], item) for key, item in value.items()}
    if isinstance(value, str) and value in NULLS and types.NoneType in kinds:
        return None
    if Any in kinds:
        return value
    if str in kinds or Path in kinds:
        return _text(value, Path in kinds)
    if isinstance(value, str) and not any(get_origin(member) is Literal for member in kinds):
        value = scalar(value)
    return _number(kinds, value)


def _text(value: Any, is_path: bool) -> Any:
    """Names and paths: whole numbers and dates are the words that they look like; ~ is the home folder."""
    if isinstance(value, (bool, float)):
        raise ValueError(
            f"YAML reads a {type(value).__name__} here; put it in quotes{' or write ./ before it' * is_path}"
        )
    if isinstance(value, (int, datetime.date)):
        value = str(value)
    if is_path and isinstance(value, str) and value.startswith("~"):
        try:
            return str(Path(value).expanduser())
        except RuntimeError:
            raise ValueError("there is no home folder that ~ could mean; write the whole path") from None
    return value


def _number(kinds: tuple[Any, ...], value: Any) -> Any:
    numbers = {int, float} & set(kinds)
    if bool in kinds and not numbers and not isinstance(value, bool):
        raise ValueError("write true or false")
    if numbers and bool not in kinds and isinstance(value, bool):
        raise ValueError("true and false are no numbers; write a number")
    return value


def once(items: list[Value]) -> list[Value]:
    """The items, none of which may be there twice. Raises ValueError."""
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"{item!r} is there {items.count(item)} times; list it once")
    return items


Once = AfterValidator(once)
"""Of lists: what is there twice would be run, or counted, twice."""
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""Tables hold seeds in 32 bits, and file names have no sign."""


STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
"""Unknown keys, NaN and infinity are refused; the sentence below a field is its description (asymgrpo.study.keys).

pydantic's own use_attribute_docstrings reads it, so that a reader of the code and docs/keys.md see the same words."""


class Section(BaseModel):
    """A part of a configuration. Unknown keys, NaN and infinity are refused."""

    model_config = STRICT

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        return meant(cls.model_fields[str(info.field_name)].annotation, value)


class Part(BaseModel):
    """The same for parts that a key of theirs tells apart: pydantic allows no validator on that key."""

    model_config = STRICT

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {key: cls._one_as_meant(key, value) for key, value in values.items()}

    @classmethod
    def _one_as_meant(cls, key: str, value: Any) -> Any:
        if key not in cls.model_fields:
            return value
        try:
            return meant(cls.model_fields[key].annotation, value)
        except ValueError as error:
            raise ValueError(f"{key} = {value!r}: {error}") from None
