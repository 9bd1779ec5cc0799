"""Verdicts in words: one sentence for each that a reader can quote, and the tables of claims as Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evals.claims.measures import MEASURES
from evals.claims.verdict import AND_RELEVANT, Conclusion
from evals.names import describe_rule

Row = Mapping[str, Any]
"""A row of evals.claims.decided.SCHEMA or SENSITIVITY."""
NAMES = {measure.about: name for name, measure in MEASURES.items()}


def shown(measure: str, value: float) -> str:
    """A difference as readers see it, without its unit.

    >>> shown("accuracy", 0.0286), shown("logp_gain", -0.00123), shown("accuracy", float("inf"))
    ('+2.9', '−1.2', '+∞')
    """
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    scaled = MEASURES[measure].shown(value)
    return (f"{scaled:+.2f}" if MEASURES[measure].unit == "" else f"{scaled:+.1f}").replace("-", "−")


def p_text(p: float) -> str:
    """A p value for readers.

    >>> p_text(0.00004), p_text(0.25)
    ('< 0.001', '0.250')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def estimate_text(row: Row) -> str:
    """Estimate, interval and unit; empty where nothing was estimated."""
    if row.get("estimate") is None:
        return ""
    name = NAMES[row["measure"]]
    middle, low, high = (shown(name, row[key]) for key in ("estimate", "ci_low", "ci_high"))
    return f"{middle} [{low}, {high}] {row['unit']}".strip()


def margin_text(row: Row) -> str:
    """The margin with its unit.

    >>> margin_text({"measure": MEASURES["accuracy"].about, "unit": "points", "margin": 0.0286})
    '2.9 points'
    """
    if row.get("margin") is None:
        return ""
    return f"{shown(NAMES[row['measure']], row['margin']).lstrip('+')} {row['unit']}".strip()


def verdict_text(row: Row) -> str:
    """The verdict with what is added to it.

    >>> verdict_text({"verdict": "supported", "relevant": True}), verdict_text({"verdict": "too small", "relevant": False})
    ('supported and relevant', 'too small')
    """
    return f"{row['verdict']} {AND_RELEVANT}" if row.get("relevant") else str(row["verdict"])


def protocol_text(row: Row) -> str:
    """What a row says of the protocol; a table of before there were protocols says nothing.

    >>> protocol_text({"protocol": "declared before"}), protocol_text({})
    ('declared before', 'exploratory: no protocol')
    """
    return row.get("protocol") or "exploratory: no protocol"


def sentence(row: Row) -> str:
    """What the runs say about a claim, to quote.

    >>> about = {"claim": "A beats B", "contrast": "A − B", "measure": MEASURES["accuracy"].about, "unit": "points"}
    >>> ends = {"estimate": 0.01, "ci_low": -0.01, "ci_high": 0.03, "margin": 0.02, "relevant": False}
    >>> sentence({**about, **ends, "verdict": "inconclusive"})
    '"A beats B" stays open here: +1.0 [−1.0, +3.0] points, which holds both 0 and 2.0 points.'
    """
    found, margin = estimate_text(row), margin_text(row)
    said = {
        Conclusion.SUPPORTED: f" holds here: {found}, above 0"
        + (f" and above {margin}, the smallest effect that matters" if row.get("relevant") else ""),
        Conclusion.EQUIVALENT: f": here there is no difference that matters: {found}, inside ±{margin}",
        Conclusion.CONTRADICTED: f" does not hold here, and the opposite does: {found}, below 0",
        Conclusion.TOO_SMALL: f": any such effect is smaller here than {margin}: {found}",
        Conclusion.INCONCLUSIVE: f" stays open here: {found}, which holds both 0 and {margin}",
        Conclusion.NOT_TESTED: f" was not tested: {row.get('why_not')}",
    }
    return f'"{row["claim"]}"{said[Conclusion(row["verdict"])]}.'


def render(rows: Sequence[Row], others: Sequence[Row]) -> str:
    """The tables of claims as Markdown."""
    parts = ["# Claims\n"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine, beside = ([row for row in some if row["model"] == model] for some in (rows, others))
        parts += [f"## {model}\n", summary(mine), table(mine), caption(mine), quotes(mine), multiverse(mine, beside)]
    return "\n".join(part for part in parts if part)


def summary(rows: Sequence[Row]) -> str:
    """How many claims have which verdict."""
    counts = {str(verdict): sum(row["verdict"] == verdict for row in rows) for verdict in Conclusion}
    relevant = sum(bool(row["relevant"]) for row in rows)
    counts_text = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    return (
        f"{len(rows)} claims: "
        + counts_text.replace(" supported", f" supported ({relevant} {AND_RELEVANT})", 1)
        + f". Declared before their runs: {sum(protocol_text(row).startswith('declared') for row in rows)}.\n"
    )


def table(rows: Sequence[Row]) -> str:
    """Claims as rows of a Markdown table."""
    head = (
        "claim",
        "where",
        "estimate [interval]",
        "95 %, this claim alone",
        "margin",
        "p (family)",
        "seeds",
        "protocol",
        "verdict",
    )
    lines = [_line(head), "|---|---|---|---|---|--:|--:|---|---|"]
    for row in rows:
        alone, p, seeds = "", "", ""
        if row["why_not"] is None:
            name = NAMES[row["measure"]]
            alone = f"[{shown(name, row['ci95_low'])}, {shown(name, row['ci95_high'])}]"
            p, seeds = p_text(row["p_family"]), str(row["n_seeds"])
        found = estimate_text(row) or row["why_not"]
        where = row["section"] if row["version"] == "ours" else f"{row['version']}, {row['section']}"
        claim = f"{row['claim']} ({row['reading']})"
        cells = [claim, where, found, alone, margin_text(row), p, seeds, protocol_text(row)]
        lines.append(_line([*cells, f"**{verdict_text(row)}**"]))
    return "\n".join(lines) + "\n"


def quotes(rows: Sequence[Row]) -> str:
    """A sentence for every claim that was tested."""
    return "\n".join(f"- {row['sentence']}" for row in rows if row["why_not"] is None) + "\n"


def multiverse(rows: Sequence[Row], others: Sequence[Row]) -> str:
    """The verdicts of the other analyses and readings beside the primary ones, as a Markdown table."""
    if not others:
        return ""
    analyses = list(dict.fromkeys(row["other"] for row in others if row["kind"] == "analysis"))
    lines = [_line(["claim", "pooled", *analyses, "other readings"]), "|" + "---|" * (len(analyses) + 3)]
    for row in rows:
        beside = [other for other in others if other["id"] == row["id"]]
        if not beside:
            continue
        found = {other["other"]: verdict_text(other) for other in beside if other["kind"] == "analysis"}
        read = [f"{other['other']}: {_read(other)}" for other in beside if other["kind"] == "reading"]
        lines.append(_line([row["claim"], verdict_text(row), *(found[name] for name in analyses), "; ".join(read)]))
    return "The same claims by other analyses, and by other readings with the pooled one:\n\n" + "\n".join(lines) + "\n"


def _read(other: Row) -> str:
    if other["why_not"] is not None:
        return "not run" if other["why_not"].startswith("not run") else f"{other['verdict']} ({other['why_not']})"
    return f"{estimate_text(other)}, {verdict_text(other)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def caption(rows: Sequence[Row]) -> str:
    """How the table is to be read."""
    tested = [row for row in rows if row["why_not"] is None]
    rules = {row["selection"] for row in rows if row["selection"]}
    checkpoint = f" Scores are of the checkpoint {describe_rule(rules.pop())}." if rules else ""
    if not tested:
        return f"Nothing could be tested.{checkpoint}\n"
    number, level = tested[0]["n_tests"], tested[0]["level"]
    return (
        "Positive estimates favour the claim. t tests over training seeds with one variance for all arms, not paired; each end "
        f"of an interval errs with probability 0.05 / {number}, {number} being the number of claims that have a test: level "
        f"{100 * level:.2f} %, and p times {number}, one-sided. Supported: above 0, and relevant if above the margin. "
        "Equivalent: inside ± margin. Contradicted: below 0. Too small: below the margin. Inconclusive: holds 0 and the margin. "
        "The margin is the paper's own effect where its main table has one, and ours elsewhere (evals/claims/table.py). Problems "
        f"are taken as fixed: the intervals speak about new training seeds.{checkpoint}\n"
    )
