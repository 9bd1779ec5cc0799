"""The verdicts of earlier studies beside those of this one: what was seen before, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.claims.words import estimate_text, verdict_text

Row = Mapping[str, Any]
"""A row of evals.claims.decided.SCHEMA."""


def beside(rows: Sequence[Row], earlier: Mapping[str, Sequence[Row]]) -> str:
    """The verdicts of all studies on every claim that one of them tested, as a Markdown table; empty if none has a common claim.

    >>> same = {"id": "a", "model": "tiny", "claim": "A beats B", "estimate": None, "relevant": False, "measure": ""}
    >>> then = {"pilot": [same | {"verdict": "inconclusive"}], "first": []}
    >>> print(beside([same | {"verdict": "supported"}], then).split("\\n")[-2])
    | A beats B | **inconclusive** |  | **supported** |
    """
    then = {name: {_key(row): row for row in found} for name, found in earlier.items()}
    lines = []
    for row in rows:
        found = [by_key.get(_key(row)) for by_key in then.values()]
        if any(found) and any(one and one["verdict"] != "not tested" for one in (*found, row)):
            named = {"measure": row["measure"]}  # an earlier version may have described it in other words
            cells = [row["claim"], *(_told({**one, **named}) if one else "" for one in found), _told(row)]
            lines.append(f"| {' | '.join(cells)} |")
    head = [f"| {' | '.join(['claim', *then, 'this study'])} |", "|" + "---|" * (len(then) + 2)]
    return "\n".join([*head, *lines]) + "\n" if lines else ""


def _key(row: Row) -> tuple[str, str]:
    return row["model"], row["id"]


def _told(row: Row) -> str:
    return f"{estimate_text(row)} **{verdict_text(row)}**".strip()
