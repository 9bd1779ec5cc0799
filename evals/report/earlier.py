"""The verdicts of earlier studies beside those of this one: what was seen before, and what came of it."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from evals.claims.words import estimate_text, protocol_text, verdict_text

Row = Mapping[str, Any]
"""A row of evals.claims.decided.SCHEMA."""


TOGETHER = "declared studies together, 95 %"


def beside(rows: Sequence[Row], earlier: Mapping[str, Sequence[Row]]) -> str:
    """The verdicts of all studies on every claim that one of them tested, as a Markdown table; empty if none has a common claim.

    >>> same = {"id": "a", "model": "tiny", "claim": "A beats B", "estimate": None, "relevant": False, "measure": ""}
    >>> then = {"pilot": [same | {"verdict": "inconclusive"}], "first": []}
    >>> print(beside([same | {"verdict": "supported"}], then).split("\\n")[-2])
    | A beats B | **inconclusive** |  | **supported** |  |
    """
    then = {name: {_key(row): row for row in found} for name, found in earlier.items()}
    lines = []
    for row in rows:
        # An earlier version may have described the measure in other words.
        named = {"measure": row["measure"]}
        found = [{**by_key[_key(row)], **named} if _key(row) in by_key else {} for by_key in then.values()]
        if any(found) and any(one and one["verdict"] != "not tested" for one in (*found, row)):
            both = together([one for one in (*found, row) if one and protocol_text(one).startswith("declared")])
            cells = [row["claim"], *(_told(one) if one else "" for one in found), _told(row), estimate_text(both)]
            lines.append(f"| {' | '.join(cells)} |")
    head = [f"| {' | '.join(['claim', *then, 'this study', TOGETHER])} |", "|" + "---|" * (len(then) + 3)]
    return "\n".join([*head, *lines]) + "\n" if lines else ""


def together(rows: Sequence[Row]) -> dict[str, Any]:
    """One claim in several studies that share no run: the mean weighted by 1 / std_error^2, with its normal 95 % interval, for
    this claim alone. Without an estimate where fewer than two studies have one.

    >>> one = {"estimate": 1.0, "std_error": 1.0}
    >>> found = together([one, one | {"estimate": 2.0}])
    >>> found["estimate"], round(found["ci_high"] - found["ci_low"], 3)
    (1.5, 2.772)
    """
    known = [row for row in rows if row.get("estimate") is not None and row["std_error"]]
    if len(known) < 2:
        return {"estimate": None}
    weights = [1 / row["std_error"] ** 2 for row in known]
    estimate = sum(w * row["estimate"] for w, row in zip(weights, known, strict=True)) / sum(weights)
    half = NormalDist().inv_cdf(0.975) / sum(weights) ** 0.5
    return {**known[-1], "estimate": estimate, "ci_low": estimate - half, "ci_high": estimate + half}


def _key(row: Row) -> tuple[str, str]:
    return row["model"], row["id"]


def _told(row: Row) -> str:
    return f"{estimate_text(row)} **{verdict_text(row)}**".strip()
