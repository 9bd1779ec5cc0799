"""Manipulation checks: whether a contrast of arms did what it was meant to do. A claim whose check fails is not tested, and
says why.

- Its own (`Claim.checks`): Clip-higher acts only where at least 1 % of the tokens meet the upper bound.
- Signal: in every arm that learns from the verifier at least a fifth of the groups must be mixed, because exponents do next to
  nothing to the others (only the reading of 0^0 acts there).
- Size: the lengths by which the arms' updates move the weights must be within a factor of 2 of each other; a contrast beyond
  that is one of step sizes. Adam makes them equal whatever the gradients' size, so only this length is looked at.
  Runs whose metrics have no `update_norm` are not checked for this, and the row says so.
"""

from collections.abc import Mapping

import numpy as np

from evals.claims.claim import Check, Claim
from evals.claims.effects import BASE, Measured
from evals.claims.table import CONTROLS
from evals.names import title

Measures = Mapping[str, Mapping[str, Measured]]
"""measure -> arm -> its values."""
MIXED = 0.2
LARGEST_RATIO = 2.0
WORDS = {"clip_high": "of the tokens of {arm} meet the upper bound", "mixed_share": "of the groups of {arm} are mixed"}
"""Measure of a check -> what its value says of an arm."""


def checks_of(claim: Claim) -> list[Check]:
    """Every check of a level that a claim has."""
    signal = "hardly any group has a signal"
    return [*claim.checks, *(Check("mixed_share", arm, MIXED, signal) for arm in learning(claim))]


def learning(claim: Claim) -> list[str]:
    """Arms of a claim that are trained on the verifier's rewards."""
    return [arm for arm in claim.arms if arm != BASE and arm not in CONTROLS]


def failed(claim: Claim, measures: Measures) -> str:
    """The first check that fails, in words; empty if none does. A check whose measure the runs lack fails."""
    for check in checks_of(claim):
        value = _mean(measures, check.measure, check.arm)
        if value is None:
            return f"not checked: the metrics of {title(check.arm)} do not say whether {check.why}"
        if value < check.at_least:
            what = WORDS[check.measure].format(arm=title(check.arm))
            return f"{check.why}: {100 * value:.2g} % {what}, at least {100 * check.at_least:.0f} % are asked for"
    ratio = size_ratio(claim, measures)
    if ratio is not None and ratio > LARGEST_RATIO:
        return f"the arms differ in step size: the norms of their updates by a factor of {ratio:.1f}"
    return ""


def size_ratio(claim: Claim, measures: Measures) -> float | None:
    """The largest over the smallest mean norm of updates among a claim's arms; None if some arm has no norms."""
    norms = [_mean(measures, "update_norm", arm) for arm in learning(claim)]
    known = [norm for norm in norms if norm is not None]
    return max(known) / min(known) if known and len(known) == len(norms) else None


def passed(claim: Claim, measures: Measures) -> str:
    """What was checked of a claim that passes, in words."""
    found = []
    for check in checks_of(claim):
        value = _mean(measures, check.measure, check.arm)
        if value is not None:
            found.append(f"{100 * value:.2g} % {WORDS[check.measure].format(arm=title(check.arm))}")
    if len(learning(claim)) > 1:
        ratio = size_ratio(claim, measures)
        found.append(
            "size of updates not measured" if ratio is None else f"update norms within a factor of {ratio:.1f}"
        )
    return "; ".join(found)


def _mean(measures: Measures, measure: str, arm: str) -> float | None:
    values = list(measures[measure][arm].values.values()) if arm in measures.get(measure, {}) else []
    return float(np.mean(values)) if values else None
