"""What pydantic finds wrong, as sentences with the whole key and the remedy; hints name only keys that exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from asymgrpo.section import alternatives

Path = tuple[str, ...]
"""Of a key; NAME stands for a name that the user chooses."""
NAME = "NAME"
LONGEST = 80
"""Characters of a wrong value that are shown."""


def known_keys(section: type[BaseModel]) -> Iterator[Path]:
    """The path of every key of a section and of the sections in it.

    >>> from asymgrpo.study.config import Study
    >>> [path for path in known_keys(Study) if path[-1] in ("selection", "kind")]
    [('models', 'NAME', 'kind'), ('evaluation', 'selection'), ('machine', 'kind')]
    """
    for name, field in section.model_fields.items():
        yield (name,)
        for kind in alternatives(field.annotation):
            below, via = (get_args(kind)[1], (NAME,)) if get_origin(kind) is dict else (kind, ())
            if isinstance(below, type) and issubclass(below, BaseModel):
                yield from ((name, *via, *path) for path in known_keys(below))


def hint(path: Sequence[str], known: Iterable[Path]) -> str | None:
    """The whole key that was probably meant by an unknown one: of the same name, of its own section, else of another."""
    last, paths = path[-1], list(known)
    beside = {part: (*path[:-1], part) for *above, part in paths if stands_for(above, path[:-1])}
    upper = {found[-1]: found for found in reversed(paths) if len(found) <= 2}
    lower = {found[-1]: found for found in reversed(paths)}
    for choices in ({last: upper[last]} if last in upper else {}, beside, upper, lower):
        if close := difflib.get_close_matches(last, choices, n=1, cutoff=0.6):
            return ".".join(choices[close[0]])
    return None


def stands_for(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Whether a path is that of a known key, with a name of the user's in place of NAME."""
    return len(pattern) == len(path) and all(a in (b, NAME) for a, b in zip(pattern, path, strict=True))


def sentence(error: Any, known: Iterable[Path], above: Path = ()) -> str:
    """One of pydantic's errors in a sentence; `above` is the path of the section that was checked."""
    path = [*above, *(str(part) for part in error["loc"])]
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        meant = hint(path, known)
        return f"config: unknown key {key!r}; " + (f"did you mean {meant!r}?" if meant else "remove it.")
    if error["type"] == "missing":
        return f"config: key {key!r} is missing; give it a value."
    told = f"config: {key} = {shown(error['input'])} is not allowed"
    if error["type"] == "value_error":
        return f"{told}: {error['ctx']['error']}."
    same_name = [".".join(other) for other in known if other[-1] == path[-1] and list(other) != path]
    if error["type"] in ("model_type", "dict_type", "model_attributes_type") and same_name and len(path) == 1:
        return f"{told}: it needs keys below it; did you mean {same_name[0]!r}?"
    return f"{told}: {error['msg']}."


def shown(value: object) -> str:
    """A value as it stands in a message.

    >>> shown("a" * 200) == "'" + "a" * 76 + "..."
    True
    """
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
