"""What has changed between a protocol and the claims, code and configuration of now: pure functions of two documents.

A claim is *declared before* its runs if nothing that decides it has changed and all of its runs state the protocol. Else it
is *changed after*, with every change named, or *exploratory*. Sources that decide may change without any of this (a
comment, a faster formula): then the files are named beside "declared before".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from asymgrpo.study.agreement import changes
from evals.claims.words import shown

Document = Mapping[str, Any]
"""A protocol (evals.protocol.content), or the parts of one that are known now."""
NO_PROTOCOL = "exploratory: no protocol"
DECLARED, CHANGED, EXPLORATORY = "declared before", "changed after", "exploratory"
OF_ALL = ("analysis", "endpoint", "models", "problems")
"""Parts that every claim depends on."""
SHOWN = 60
"""Letters of a value in a phrase."""


def claim_changes(declared: Document, now: Document, name: str) -> list[str]:
    """One phrase for each changed field of a claim that both documents have.

    >>> old = {"measure": "accuracy", "shown_in": "points", "margin": 0.029}
    >>> claim_changes({"claims": {"a": old}}, {"claims": {"a": old | {"margin": 0.014}}}, "a")
    ['margin 2.9 -> 1.4 points']
    """
    old, new = declared["claims"][name], now["claims"][name]
    same_measure = old["measure"] == new["measure"]
    return [
        _margin(was, new) if key == "margin" and same_measure and was and value else phrase(key, was, value)
        for key, was, value in changes(old, new)
    ]


def _margin(was: float, new: Document) -> str:
    before, after = (shown(new["measure"], value).lstrip("+") for value in (was, new["margin"]))
    return (
        f"margin {before} -> {after} {new['shown_in']}".strip()
        if before != after
        else phrase("margin", was, new["margin"])
    )


def shared_changes(declared: Document, now: Document, arms: Iterable[str] | None = None) -> list[str]:
    """Changes of what several claims depend on; of the arms and their seeds only these, None: all. Parts that `now` lacks are
    not compared."""
    found = [
        phrase(key, was, value)
        for part in OF_ALL
        if part in now
        for key, was, value in changes(declared[part], now[part], part)
    ]
    return found + list(_of_arms(declared, now, arms))


def _of_arms(declared: Document, now: Document, arms: Iterable[str] | None) -> Iterator[str]:
    if "arms" not in now:
        return
    for name in [*declared["arms"], *(set(now["arms"]) - set(declared["arms"]))] if arms is None else arms:
        old, new = declared["arms"].get(name), now["arms"].get(name)
        if old is None or new is None:
            if old != new:
                yield f"arms.{name} {'added' if old is None else 'left out'}"
            continue
        told = changes({"arm": old["arm"]}, {"arm": new["arm"]})
        yield from (phrase(key.replace("arm", f"arms.{name}", 1), was, value) for key, was, value in told)
        if (was := declared["seeds"].get(name)) != (value := now["seeds"].get(name)):
            yield phrase(f"seeds.{name}", was, value)


def code_changes(declared: Document, now: Document) -> list[str]:
    """Sources of the protocol that are others now, or gone. A new source decides nothing unless one of these uses it."""
    old, new = declared["code"]["files"], now["code"]["files"]
    return sorted(name for name in old if old[name] != new.get(name))


def study_changes(declared: Document, now: Document) -> list[str]:
    """Every change of claims, analysis, endpoint, arms, seeds, models and problems, but none of sources alone."""
    old, new = declared["claims"], now["claims"]
    found = [f"claim {name} left out" for name in old if name not in new]
    found += [f"claim {name} added" for name in new if name not in old]
    found += [f"claim {name}: {change}" for name in old if name in new for change in claim_changes(declared, now, name)]
    return found + shared_changes(declared, now)


def status(declared: Document, now: Document, name: str, arms: Iterable[str], without: Iterable[str] = ()) -> str:
    """What a claim's row says of the protocol.

    Args:
        arms: trained arms that the claim compares.
        without: its runs that do not state this protocol, in words.
    """
    if name not in declared["claims"]:
        return f"{EXPLORATORY}: added after the protocol"
    if found := [*claim_changes(declared, now, name), *shared_changes(declared, now, arms)]:
        return f"{CHANGED}: {', '.join(found)}"
    if missing := list(without):
        return f"{EXPLORATORY}: runs without this protocol: {_few(missing)}"
    if files := code_changes(declared, now):
        return f"{DECLARED}; changed after: {_few(files)}"
    return DECLARED


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def phrase(key: str, was: Any, value: Any) -> str:
    """A change in words; long values are cut to where they begin to differ.

    >>> phrase("seeds.grpo", [0, 1], [0, 1, 2])
    'seeds.grpo [0, 1] -> [0, 1, 2]'
    """
    old, new = json.dumps(was, ensure_ascii=False), json.dumps(value, ensure_ascii=False)
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    begin = 0 if max(len(old), len(new)) <= SHOWN else max(0, same - SHOWN // 3)
    return f"{key} {_cut(old, begin)} -> {_cut(new, begin)}"


def _cut(text: str, begin: int) -> str:
    found = text[begin : begin + SHOWN]
    return ("…" if begin else "") + found + ("…" if begin + SHOWN < len(text) else "")
