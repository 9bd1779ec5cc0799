"""What claims on scores measure, and on which checkpoint: the number that a reader may otherwise take for Table 1's."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.claims.measures import MEASURES
from evals.claims.words import caption
from evals.names import describe_rule

SCORES = ("accuracy", "accuracy_late", "pass_at_max")
"""Keys of MEASURES."""


def how_to_read(rows: Sequence[Mapping[str, Any]]) -> str:
    """How a table of claims is to be read. The caption names one checkpoint for all, which few of these scores are of."""
    return f"{caption([{**row, 'selection': None} for row in rows])}{scores_said(rows)}"


def scores_said(rows: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on the scores of the claims in `rows` (claims.parquet), the most frequent first; "" without any.

    >>> row = {"measure": MEASURES["accuracy"].about, "selection": "last"}
    >>> scores_said([row, row])
    'Scores in these claims: avg@n, mean over the benchmarks, of the checkpoint last step (2 claims).'
    """
    abouts = {MEASURES[name].about for name in SCORES}
    of = [(row["measure"], row["selection"]) for row in rows if row["measure"] in abouts]
    kinds = sorted(dict.fromkeys(of), key=lambda kind: -of.count(kind))
    parts = [f"{about}{_checkpoint(rule)} ({_counted(of.count((about, rule)))})" for about, rule in kinds]
    return f"Scores in these claims: {'; '.join(parts)}." if parts else ""


def _checkpoint(rule: str | None) -> str:
    return f", of the checkpoint {describe_rule(rule)}" if rule else ", of no single checkpoint"


def _counted(number: int) -> str:
    return f"{number} claim{'s' if number > 1 else ''}"
