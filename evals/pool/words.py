"""A pool to read: laboratories (or settings), Table 1, claims and disagreements as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from asymgrpo.study.keys import as_yaml
from evals.claims.measures import MEASURES
from evals.claims.words import NAMES, estimate_text, shown, verdict_text
from evals.names import TABLE_1, describe_rule, in_order, percent, rule_to_show, title
from evals.pool.factor import LABORATORY, Factor
from evals.tables.score import AVERAGE

Row = Mapping[str, Any]


def limits(factor: Factor) -> str:
    """What the intervals speak about."""
    problems = "on the problems of these" if factor.settings else "on the study's own problems"
    level = (
        " Its own level is no news; the variance between seeds is taken as the same in all." if factor.settings else ""
    )
    return (
        f"The {factor.name} is a random effect (evals/pool/mixed.py): intervals speak about new seeds in new {factor.plural}, "
        f"{problems}.{level} A variance between {factor.plural} that is estimated as 0 is left out; with few {factor.plural} it "
        "is hardly known.\n"
    )


def page(
    laboratories: Mapping[str, Row],
    scores: Sequence[Row],
    claims: Sequence[Row],
    apart: Sequence[Row],
    factor: Factor = LABORATORY,
) -> str:
    """The whole page."""
    first = of_settings(laboratories, factor) if factor.settings else of_laboratories(laboratories)
    parts = ["# Pool\n", first, limits(factor), "## Table 1\n", of_scores(scores)]
    for model in dict.fromkeys(row["model"] for row in claims):
        parts += [f"## Claims: {model}\n", of_claims([row for row in claims if row["model"] == model], factor)]
    parts += ["## Disagreements\n", of_disagreements(apart, factor)]
    return "\n".join(parts)


def of_laboratories(laboratories: Mapping[str, Row]) -> str:
    """A row per laboratory."""
    lines = ["| laboratory | runs | base model's answers | manifest |", "|---|--:|---|---|"]
    for name, told in laboratories.items():
        base = "other ones; the first laboratory's are used" if told["other_base_answers"] else "the same"
        lines.append(f"| {name} | {len(told['runs'])} | {base} | {told['manifest_sha256'][:12]} |")
    return "\n".join(lines) + "\n"


def of_settings(settings: Mapping[str, Row], factor: Factor) -> str:
    """A column per setting: its runs, and its values of the keys that differ."""
    told = list(settings.values())
    keys = told[0]["values"]
    lines = [f"| {factor.name} | {' | '.join(settings)} |", "|---|" + "---|" * len(settings)]
    lines.append(f"| runs | {' | '.join(str(len(one['runs'])) for one in told)} |")
    lines += [f"| `{key}` | {' | '.join(as_yaml(one['values'][key]) for one in told)} |" for key in keys]
    return "\n".join(lines) + "\n"


def of_scores(rows: Sequence[Row]) -> str:
    """avg@n of every arm by benchmark, for the rule that saw no benchmark."""
    mine = [row for row in rows if row["metric"] == "avg_at_n" and row["arm"] in TABLE_1]
    if not mine:
        return "No run of its arms finished.\n"
    rule = rule_to_show(row["selection"] for row in mine)
    mine = [row for row in mine if row["selection"] == rule]
    benchmarks = in_order({row["benchmark"] for row in mine}, [])
    lines = [f"avg@n in per cent, 95 % intervals; checkpoint {describe_rule(rule)}.\n"]
    lines += [
        f"| model | arm | {' | '.join(map(title, benchmarks))} | runs |",
        "|---|---|" + "--:|" * (len(benchmarks) + 1),
    ]
    for model, arm in dict.fromkeys((row["model"], row["arm"]) for row in mine):
        cells = {row["benchmark"]: row for row in mine if (row["model"], row["arm"]) == (model, arm)}
        texts = [_score(cells[name]) if name in cells else "–" for name in benchmarks]
        runs = cells[AVERAGE if AVERAGE in cells else benchmarks[0]]["n_seeds"]
        lines.append(f"| {' | '.join([model, title(arm), *texts, str(runs)])} |")
    return "\n".join(lines) + "\n"


def _score(row: Row) -> str:
    if row["ci_low"] is None:
        return f"{100 * row['estimate']:.1f}"
    return percent(row["estimate"], row["ci_low"], row["ci_high"])


def of_claims(rows: Sequence[Row], factor: Factor = LABORATORY) -> str:
    """A row per claim: with the random effect, and what the verdict is without."""
    without = f"{factor.name} × arm" if factor.settings else f"the {factor.name}"
    lines = [
        f"| claim | estimate [interval] | between {factor.plural} | verdict | without {without} |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        spread = ""
        if row["sd_seeds"] is not None:
            names = ("sd_laboratory", "sd_laboratory_arm", "sd_seeds")
            spread = "SD {} and {} (arm); seeds {}".format(*(_size(row, name) for name in names))
        text = estimate_text(row) or str(row["why_not"])
        lines.append(f"| {row['claim']} | {text} | {spread} | **{verdict_text(row)}** | {row['verdict_without']} |")
    return "\n".join(lines) + "\n"


def _size(row: Row, name: str) -> str:
    return shown(NAMES[row["measure"]], row[name]).lstrip("+")


def of_disagreements(rows: Sequence[Row], factor: Factor = LABORATORY) -> str:
    """The claims on which laboratories differ, or give opposite verdicts, with each one's estimate; else that there are none."""
    found = list(dict.fromkeys((row["model"], row["id"]) for row in rows if row["differ"] or row["opposite"]))
    tested = len({(row["model"], row["id"]) for row in rows})
    text = (
        f"{len(found)} of {tested} tested claims: {factor.plural} differ by an F test against their seeds "
        f"(0.05 / {tested or 1}), or one supports what another contradicts. All are in disagreements.parquet.\n"
    )
    if not found:
        return text
    lines = [
        f"| claim | {factor.name} | estimate [95 %] | runs of its smallest arm | verdict by itself | p |",
        "|---|---|---|--:|---|--:|",
    ]
    for row in rows:
        if (row["model"], row["id"]) in found:
            p = "–" if row["p_differ"] is None else f"{row['p_differ']:.2g}"
            cells = [row["id"], row["laboratory"], _own(row), str(row["n_seeds"]), str(row["verdict"]), p]
            lines.append(f"| {' | '.join(cells)} |")
    return text + "\n" + "\n".join(lines) + "\n"


def _own(row: Row) -> str:
    if row["estimate"] is None:
        return "–"
    name = NAMES[row["measure"]]
    ends = [row["ci95_low"], row["ci95_high"]]
    text = shown(name, row["estimate"])
    text += "" if None in ends else f" [{shown(name, ends[0])}, {shown(name, ends[1])}]"
    return f"{text} {MEASURES[name].unit}".strip()
