"""An earlier study's verdicts beside those of this one: what was seen before, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.claims.words import estimate_text, verdict_text

Row = Mapping[str, Any]
"""A row of evals.claims.decided.SCHEMA."""


def beside(rows: Sequence[Row], earlier: Sequence[Row]) -> str:
    """Both verdicts on every claim that one of the studies tested, as a Markdown table; empty if no claim is common.

    >>> same = {"id": "a", "model": "tiny", "claim": "A beats B", "estimate": None, "relevant": False}
    >>> print(beside([same | {"verdict": "supported"}], [same | {"verdict": "inconclusive"}]).split("\\n")[-2])
    | A beats B | **inconclusive** | **supported** |
    """
    then = {(row["model"], row["id"]): row for row in earlier}
    lines = [
        f"| {row['claim']} | {_told(then[key])} | {_told(row)} |"
        for row in rows
        if (key := (row["model"], row["id"])) in then
        and any(one["verdict"] != "not tested" for one in (row, then[key]))
    ]
    head = ["| claim | exploratory | declared before its runs |", "|---|---|---|"]
    return "\n".join([*head, *lines]) + "\n" if lines else ""


def _told(row: Row) -> str:
    return f"{estimate_text(row)} **{verdict_text(row)}**".strip()
