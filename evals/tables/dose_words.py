"""The table of doses and outcomes, to read."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evals.claims.measures import MEASURES
from evals.claims.words import shown
from evals.names import title
from evals.tables.dose_fit import STEP

Row = Mapping[str, Any]
QUANTITIES = {"slope": "over runs", "slope_over_arms": "over arms", "spearman": "Spearman"}


def level(measure: str, value: float) -> str:
    """The level of a measure, as readers see it.

    >>> level("accuracy", 0.4567), level("entropy_late", math.log(0.08))
    ('45.7', '0.080')
    """
    return f"{math.exp(value):.3f}" if measure == "entropy_late" else f"{100 * value:.1f}"


UNITS = {"entropy_late": "nats per token", "pass_at_max": "%", "none_solved": "%", "accuracy": "%"}
NAMES = {
    "entropy_late": "late entropy",
    "pass_at_max": "pass@k, largest k",
    "none_solved": "prompts without a solved rollout",
    "accuracy": "accuracy",
}


def render(rows: Sequence[Row]) -> str:
    """The table as Markdown, a block for each model."""
    parts = ["# Dose and response\n"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        parts += [f"## {model}\n", f"The doses: {mine[0]['declared']}.\n", fits(mine), arms(mine)]
    parts.append(
        "Dose: an arm's weight on hard prompts by the formula, from GRPO's groups (evals/protocol/dose.py). "
        f"Change per {STEP:g} of dose, fitted to arms that differ from GRPO in their advantage alone, with 95 % intervals: "
        "over runs (new seeds of these arms) and over arms (other arms of this kind). In brackets: not in the fit.\n"
    )
    return "\n".join(parts)


def fits(rows: Sequence[Row]) -> str:
    """A row per measure: slopes and rank correlation."""
    found = [row for row in rows if row["part"] == "fit"]
    if not found:
        return "Fewer than three different doses were run: nothing is fitted.\n"
    lines = [
        f"| measure | {' | '.join(QUANTITIES.values())} | arms | runs | left out |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for measure in dict.fromkeys(row["measure"] for row in found):
        mine = {row["quantity"]: row for row in found if row["measure"] == measure}
        one = next(iter(mine.values()))
        unit = MEASURES[measure].unit
        cells = [f"{NAMES[measure]} ({unit})", *(interval(mine[name]) for name in QUANTITIES)]
        cells += [str(one["n_arms"]), str(one["n_seeds"]), one["left_out"] or ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def interval(row: Row) -> str:
    """Estimate and interval of a fit.

    >>> interval({"measure": "accuracy", "quantity": "slope", "estimate": 0.01, "ci_low": -0.02, "ci_high": None})
    '+1.0'
    """
    rank = row["quantity"] == "spearman"

    def text(value: float) -> str:
        return f"{value:+.2f}".replace("-", "−") if rank else shown(row["measure"], value)

    if row["estimate"] is None:
        return "–"
    ends = "" if None in (row["ci_low"], row["ci_high"]) else f" [{text(row['ci_low'])}, {text(row['ci_high'])}]"
    return text(row["estimate"]) + ends


def arms(rows: Sequence[Row]) -> str:
    """A row per arm, by dose: its mean outcomes."""
    found = [row for row in rows if row["part"] == "arm"]
    measures = list(dict.fromkeys(row["measure"] for row in found))
    by_arm: dict[str, dict[str, Row]] = {}
    for row in sorted(found, key=lambda row: (row["dose"] is None, row["dose"] or 0.0, row["arm"])):
        by_arm.setdefault(row["arm"], {})[row["measure"]] = row
    heads = [f"{NAMES[name]} ({UNITS[name]})" for name in measures]
    lines = [
        f"| arm | dose | {' | '.join(heads)} | seeds | besides |",
        "|---|--:|" + "--:|" * (len(heads) + 1) + "---|",
    ]
    for arm, mine in by_arm.items():
        one = next(iter(mine.values()))
        name = title(arm) if one["in_fit"] else f"({title(arm)})"
        values = [level(m, mine[m]["estimate"]) if m in mine else "–" for m in measures]
        dose = "–" if one["dose"] is None else f"{one['dose']:.3f}"
        lines.append(f"| {' | '.join([name, dose, *values, str(one['n_seeds']), one['besides'] or ''])} |")
    return "\n".join(lines) + "\n"
