"""Every key of a configuration as a person looks it up: sentence, type in words, default, what a change makes again."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from asymgrpo.errors import InputError
from asymgrpo.study.config_errors import NAME, stands_for
from asymgrpo.study.effects import made_again
from asymgrpo.study.schema import Node, schema
from asymgrpo.study.stored import merged


class KeyUnknown(InputError):
    """There is no such key; the message names the nearest ones."""


@dataclass(frozen=True)
class Key:
    """One key of a configuration."""

    path: tuple[str, ...]
    """From the top level; NAME stands for a name that the user chooses."""
    sentence: str
    type: str
    """In words."""
    default: str
    """As YAML has it; empty when there is none."""
    stated: bool
    """Whether the default is that of config/default.yaml, not of the field."""
    is_section: bool

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @property
    def again(self) -> str:
        """The first stage that a change makes again (asymgrpo.study.effects)."""
        return made_again(self.path)


def all_keys() -> list[Key]:
    """Every key, sections before what is in them, in the order of `Study` (asymgrpo.study.config)."""
    whole = schema()
    return list(_keys(whole, (), whole["$defs"], merged([])))


def _keys(section: Node, above: tuple[str, ...], parts: Node, stated: Mapping[str, Any]) -> Iterator[Key]:
    """The keys of a section whose values in config/default.yaml are `stated`."""
    for name, node in section.get("properties", {}).items():
        path, value = (*above, name), stated.get(name, node.get("default"))
        below = _parts_of(node, parts)
        named = isinstance(node.get("additionalProperties"), dict) and bool(below)
        sentence = node.get("description") or (below[0].get("description", "") if below else "")
        has_default = (name in stated or "default" in node) and not (below and isinstance(value, Mapping))
        yield Key(path, sentence, words(node), as_yaml(value) if has_default else "", name in stated, bool(below))
        if named:
            path = (*path, NAME)
            yield Key(path, below[0].get("description", ""), "keys below it", "", False, True)
        inner = value if isinstance(value, Mapping) and not named else {}
        yield from _merged(key for part in below for key in _keys(part, path, parts, inner))


def _merged(keys: Iterable[Key]) -> Iterable[Key]:
    """The keys of all alternatives of one value: a key that several have is there once, with all its types."""
    found: dict[tuple[str, ...], Key] = {}
    for key in keys:
        other = found.get(key.path)
        if other is None:
            found[key.path] = key
        elif other != key:  # the default of an alternative is none of the key
            types = dict.fromkeys((*other.type.split(" or "), *key.type.split(" or ")))
            found[key.path] = replace(other, type=" or ".join(types), default="")
    return found.values()


def _parts_of(node: Node, parts: Node) -> list[Node]:
    """The sections that a value is, may be, or has under names that the user chooses."""
    if "$ref" in node:
        return [parts[node["$ref"].rsplit("/", 1)[1]]]
    more = node.get("additionalProperties")
    choices = [*node.get("anyOf", ()), *node.get("oneOf", ()), *([more] if isinstance(more, dict) else [])]
    return [part for choice in choices for part in _parts_of(choice, parts)]


def as_yaml(value: Any) -> str:
    """A value as a configuration file has it, on one line.

    >>> as_yaml(None), as_yaml(6e-4), as_yaml("zero"), as_yaml([1, 2]), as_yaml({"default": 32})
    ('null', '0.0006', 'zero', '[1, 2]', '{default: 32}')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {as_yaml(inner)}' for key, inner in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)


# --- types in words ---------------------------------------------------------------------------------------------------------

KINDS = {
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "boolean": ("true or false", "true or false"),
    "string": ("text", "names"),
    "path": ("a path", "paths"),
    "object": ("keys with values", "keys with values"),
}
"""One value, several values."""
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def words(node: Node, several: bool = False) -> str:
    """The type of a value in words; `several`: of the values of a list or mapping.

    >>> words({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "null"}]})
    'a whole number above 0, or null'
    >>> words({"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}})
    'a list of numbers from 0 to 1'
    """
    if choices := node.get("anyOf") or node.get("oneOf"):
        told = list(dict.fromkeys(words(choice, several) for choice in choices))
        return " or ".join(told) if len(told) < 2 or told[-1] != "null" else f"{' or '.join(told[:-1])}, or null"
    if "$ref" in node:
        return "keys below it"
    if "enum" in node or "const" in node:
        return " or ".join(f"`{as_yaml(value)}`" for value in node.get("enum", [node.get("const")]))
    kind = node.get("type", "object")
    if kind == "null":
        return "null"
    if kind == "array":
        return f"a list of {words(node['items'], True)}"
    if kind == "object" and isinstance(inner := node.get("additionalProperties"), dict):
        return f"names, each with {words(inner, False)}"
    if kind == "string":
        kind = node.get("format", kind)
    return KINDS[kind][several] + _bounds(node)


def _bounds(node: Node) -> str:
    found = {name: node[name] for name in BOUNDS if name in node}
    if "exclusiveMaximum" in found and node["type"] == "integer":
        found["maximum"] = found.pop("exclusiveMaximum") - 1
    if set(found) == {"minimum", "maximum"}:
        return f" from {found['minimum']} to {found['maximum']}"
    return " and".join(f" {BOUNDS[name]} {bound}" for name, bound in found.items())


# --- looking one up ---------------------------------------------------------------------------------------------------------


def look_up(dotted: str) -> Key:
    """The key of a path such as train.truncated or models.tiny.template.

    Raises:
        KeyUnknown: there is none; the message names the nearest.
    """
    path, every = dotted.split("."), all_keys()
    for key in every:
        if key.dotted == dotted or stands_for(key.path, path):
            return key
    same_name = sorted((key.dotted for key in every if key.path[-1] == path[-1]), key=len)
    close = difflib.get_close_matches(dotted, [key.dotted for key in every], n=3, cutoff=0.6)
    near = list(dict.fromkeys([*same_name, *close]))[:3]
    remedy = f"did you mean {' or '.join(near)}?" if near else "docs/keys.md lists all keys."
    raise KeyUnknown(f"config: unknown key {dotted!r}; {remedy}")


def keys_in(section: Key) -> list[Key]:
    """The keys directly in a section."""
    return [key for key in all_keys() if key.path[:-1] == section.path]
