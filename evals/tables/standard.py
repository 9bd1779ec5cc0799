"""Which points of the minimum standard for reports on RLVR (arXiv:2509.21882) hold for a study: computed from its tables.

    python -m evals.tables.standard --scores scores.parquet --answers answers.parquet --budget budget.parquet \\
        --second second_grader.parquet --contamination contamination.parquet --memorisation memorisation.parquet \\
        --repeatability repeatability.parquet --out standard.parquet --markdown standard.md

A point holds, does not hold, or was not measured. What each one asks is written here once; whether it holds and what was found
are read from the tables, under the checkpoint rule that never looks at a benchmark.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.selection import BASE
from evals.io import derived, inputs_metadata, read_any_table, table_metadata, write_table, write_text
from evals.names import TABLE_1, describe_rule, in_order, percent, rule_to_show, title
from evals.repeatability.compare import ALL
from evals.repeatability.table import AGAIN, FIRST
from evals.tables.answers import TRUNCATED, UNPARSED, WRONG, read_answers
from evals.tables.budget import GAIN, MAJORITY, read_budget
from evals.tables.options import Markdown
from evals.tables.score import AVERAGE, read_scores
from evals.tables.second_grader import read_second_grader, tested

HOLDS, FAILS, OPEN = "holds", "does not hold", "not measured"
ENOUGH_SEEDS = 3
NEAR = ("exact", "normalised", "jaccard >= 0.8")
"""Columns of evals.tables.contamination: problems that stand in the training set, or nearly."""
SCHEMA = pa.schema([(name, pa.string()) for name in ("model", "selection", "point", "asks", "status", "found")])

Rows = Sequence[Mapping[str, Any]]
Told = tuple[str, str]
"""Status, and what was found, as a sentence."""


@dataclass(frozen=True)
class Tables:
    """The rows of one model, under one rule where a table knows rules; none of a table that was not made."""

    scores: Rows
    answers: Rows
    budget: Rows
    second: Rows
    overlap: Rows
    memorisation: Rows
    repeatability: Rows

    @property
    def trained(self) -> list[str]:
        return in_order({row["arm"] for row in self.scores} - {BASE}, TABLE_1)


def _overall(rows: Rows) -> list[Mapping[str, Any]]:
    """Those of the average, or of the only benchmark."""
    names = {row["benchmark"] for row in rows}
    return [row for row in rows if row["benchmark"] == AVERAGE or len(names) == 1]


def _yes(holds: bool) -> str:
    return HOLDS if holds else FAILS


def variance(tables: Tables) -> Told:
    rows = [row for row in _overall(tables.scores) if row["metric"] == "avg_at_n" and row["arm"] != BASE]
    seeds = {row["arm"]: row["n_seeds"] or 0 for row in rows}
    few = [f"{title(arm)} ({n})" for arm, n in seeds.items() if n < ENOUGH_SEEDS]
    least, most = min(seeds.values(), default=0), max(seeds.values(), default=0)
    told = f"{least} training seeds" if least == most else f"{least} to {most} training seeds"
    return _yes(bool(seeds) and not few), f"{told} of each arm." + (f" Too few: {', '.join(few)}." if few else "")


def curves(tables: Tables) -> Told:
    rows = [row for row in _overall(tables.budget) if row["metric"] == MAJORITY and row["estimate"] is not None]
    points = {arm: sum(row["arm"] == arm for row in rows) for arm in (BASE, *tables.trained)}
    lacking = [title(arm) for arm, n in points.items() if n < 2]
    most = max((row["k"] for row in rows), default=0)
    told = f"maj@1 to maj@{most} beside tokens for {len(points) - len(lacking)} of {len(points)} arms, base model included."
    return _yes(not lacking), told + (f" Without a curve: {', '.join(lacking)}." if lacking else "")


def equal_tokens(tables: Tables) -> Told:
    rows = [row for row in _overall(tables.budget) if row["metric"] == GAIN and row["estimate"] is not None]
    if not rows:
        return OPEN, "No budget buys both an answer of an arm and a vote of the base model."
    most = max(row["k"] for row in rows)
    last = {row["arm"]: row for row in rows if row["k"] == most}
    gains = {arm: percent(*(last[arm][name] for name in ("estimate", "ci_low", "ci_high"))) for arm in last}
    tokens = max(row["tokens"] for row in last.values())
    told = "; ".join(f"{title(arm)} {gains[arm]}" for arm in tables.trained if arm in gains)
    holds = set(last) == set(tables.trained) and all(row["ci_low"] > 0 for row in last.values())
    return _yes(
        holds
    ), f"At {tokens:.0f} tokens a problem ({most} votes of the base model), in points above it: {told}."


def abstention(tables: Tables) -> Told:
    rows = _overall(tables.answers)
    more = {row["arm"]: row for row in rows if row["metric"] == WRONG and row["difference"] is not None}
    if not more:
        return OPEN, "There is no base model to compare with."
    worse = [title(arm) for arm, row in more.items() if row["difference_low"] > 0]
    worst = max(more.values(), key=lambda row: row["difference"])
    ends = percent(*(worst[name] for name in ("difference", "difference_low", "difference_high")))
    missing = {
        arm: sum(row["estimate"] for row in rows if row["arm"] == arm and row["metric"] in (UNPARSED, TRUNCATED))
        for arm in (BASE, worst["arm"])
    }
    told = (
        f"Answered but wrong, in points above the base model: at most {ends} ({title(worst['arm'])}). Without a whole answer: "
        f"base model {100 * missing[BASE]:.1f} %, {title(worst['arm'])} {100 * missing[worst['arm']]:.1f} %."
    )
    return _yes(not worse), told + (f" Wrong more often than the base model: {', '.join(worse)}." if worse else "")


def calibration(tables: Tables) -> Told:
    return OPEN, "Responses state no confidence, so there is nothing to calibrate."


def judges(tables: Tables) -> Told:
    rows = tested(tables.second)
    changed = [row["id"] for row in rows if row["changed"]]
    shares = [row["grader_disagreement"] for row in tables.scores if row["grader_disagreement"] is not None]
    scores = sum(row["of_scores"] for row in rows)
    told = (
        f"{len(changed)} of {len(rows)} verdicts change with the second grader ({scores} rest on graded evaluations); the two "
        f"disagree on at most {100 * max(shares, default=0):.2f} % of the samples of a cell. No language model judges."
    )
    return _yes(not changed), told + (f" Changed: {', '.join(changed)}." if changed else "")


def overlap(tables: Tables) -> Told:
    near = {row["benchmark"]: max(row[name] for name in NEAR) for row in tables.overlap}
    found = [f"{title(name)} {n}" for name, n in near.items() if n]
    total = sum(row["problems"] for row in tables.overlap)
    if not found:
        return (
            HOLDS,
            f"None of {total} problems stands in the training set, word for word or nearly (Jaccard of 5-grams 0.8).",
        )
    return FAILS, f"Problems that stand in the training set, or nearly: {', '.join(found)}."


def by_heart(tables: Tables) -> Told:
    if not tables.memorisation:
        return OPEN, "snakemake memorisation asks the base model; it needs its weights."
    known = list(dict.fromkeys(title(row["benchmark"]) for row in tables.memorisation if row["memorised"]))
    best = max(tables.memorisation, key=lambda row: (row["exact"] or 0) - (row["control_exact"] or 0))
    told = (
        f"Largest excess over fresh problems: {title(best['benchmark'])} from {100 * best['share']:.0f} %, completed word for "
        f"word {100 * (best['exact'] or 0):.1f} % (fresh: {100 * (best['control_exact'] or 0):.1f} %)."
    )
    return _yes(not known), told + (f" Known by heart: {', '.join(known)}." if known else "")


def harness(tables: Tables) -> Told:
    rows = tables.repeatability
    if not rows:
        return OPEN, "snakemake repeatability evaluates the base model again; it needs its weights."
    several = len({row["benchmark"] for row in rows} - {ALL}) > 1
    overall = [row for row in rows if row["benchmark"] == ALL or not several]
    widths = [
        (row["ci_high"] - row["ci_low"]) / 2
        for row in _overall(tables.scores)
        if row["metric"] == "avg_at_n" and row["estimate"] is not None
    ]
    largest = max(abs(row["difference"]) for row in overall)
    again = sum(row["changed_texts"] for row in overall if row["variant"] == AGAIN)
    others = ", ".join(row["variant"] for row in overall if row["variant"] not in (FIRST, AGAIN))
    told = (
        f"The same evaluation again changes {again} texts; {others or 'nothing else'} changes the score by at most "
        f"{100 * largest:.1f} points, where the narrowest interval of Table 1 is ± {100 * min(widths, default=0):.1f}."
    )
    return _yes(largest < min(widths, default=0)), told


POINTS: Mapping[str, tuple[str, Callable[[Tables], Told]]] = {
    "variance": (f"Every arm is trained with at least {ENOUGH_SEEDS} seeds, which are in the intervals.", variance),
    "saturation curves": ("Score against tokens for every arm and the base model, with intervals.", curves),
    "equal budgets": (
        "What training gains is more than the base model gains by voting with the same tokens.",
        equal_tokens,
    ),
    "abstention": (
        "No arm answers wrongly more often than the base model; missing answers are counted apart.",
        abstention,
    ),
    "calibration": ("Stated confidence agrees with accuracy.", calibration),
    "judge robustness": ("No verdict changes when another grader judges the same answers.", judges),
    "overlap": ("No benchmark problem stands in the training set.", overlap),
    "partial prompts": ("The base model completes no benchmark better than fresh problems.", by_heart),
    "repeatability": ("The harness's own noise is smaller than the narrowest interval.", harness),
}
"""Point -> what it asks, and its check. The last one is ours; the others are the standard's."""


def points(tables: Tables) -> Iterator[dict[str, str]]:
    """point, asks, status and found of every point."""
    for name, (asks, check) in POINTS.items():
        status, found = check(tables)
        yield {"point": name, "asks": asks, "status": status, "found": found}


def render(rows: Rows) -> str:
    """The points as Markdown, a block for each model."""
    parts = ["# Minimum standard\n"]
    for model, rule in dict.fromkeys((row["model"], row["selection"]) for row in rows):
        mine = [row for row in rows if row["model"] == model]
        counted = ", ".join(f"{s} {sum(row['status'] == s for row in mine)}" for s in (HOLDS, FAILS, OPEN))
        parts.append(f"## {model}, checkpoint: {describe_rule(rule)}\n\n{len(mine)} points: {counted}.\n")
        lines = ["| point | asks | status | found |", "|---|---|---|---|"]
        lines += [f"| {row['point']} | {row['asks']} | **{row['status']}** | {row['found']} |" for row in mine]
        parts.append("\n".join(lines) + "\n")
    parts.append(
        "Points: arXiv:2509.21882, and the repeatability of the harness. Written by `snakemake standard` from the tables of the "
        "study (`evals/tables/standard.py`); no line is typed. In per cent or percentage points, with 95 % intervals.\n"
    )
    return "\n".join(parts)


def main(
    scores: Annotated[Path, typer.Option(help="table of evals.tables.score")],
    answers: Annotated[Path, typer.Option(help="table of evals.tables.answers")],
    budget: Annotated[Path, typer.Option(help="table of evals.tables.budget")],
    second: Annotated[Path, typer.Option(help="table of evals.tables.second_grader")],
    contamination: Annotated[Path, typer.Option(help="table of evals.tables.contamination")],
    out: Annotated[Path, typer.Option(help="points to write (Parquet)")],
    markdown: Markdown,
    memorisation: Annotated[Path | None, typer.Option(help="table of evals.tables.memorisation")] = None,
    repeatability: Annotated[Path | None, typer.Option(help="table of evals.repeatability.table")] = None,
) -> None:
    """Say which points of the minimum standard hold."""
    read: dict[str, Rows] = {
        "scores": read_scores(scores).to_pylist(),
        "answers": read_answers(answers).to_pylist(),
        "budget": read_budget(budget).to_pylist(),
        "second": read_second_grader(second).to_pylist(),
    }
    # Made of no trained run, so they do not state the arms that the page is asked for.
    others = {path.stem: read_any_table(path) for path in (contamination, memorisation, repeatability) if path}
    near = table_metadata(others[contamination.stem])["counts"]
    read["memorisation"] = others[memorisation.stem].to_pylist() if memorisation else []
    read["repeatability"] = others[repeatability.stem].to_pylist() if repeatability else []
    rule = rule_to_show({row["selection"] for row in read["scores"]})
    rows = []
    for model in dict.fromkeys(row["model"] for row in read["scores"]):
        mine = {
            name: [row for row in table if row["model"] == model and row.get("selection", rule) == rule]
            for name, table in read.items()
        }
        rows += [{"model": model, "selection": rule, **point} for point in points(Tables(overlap=near, **mine))]
    table = pa.Table.from_pylist(rows, SCHEMA)
    origin = inputs_metadata([scores, answers, budget, second])
    origin |= {f"{name}.parquet": table_metadata(other) for name, other in others.items()}
    write_table(table, out, {"data_hash": data_hash(table), **derived(origin)})
    write_text(render(rows), markdown)


if __name__ == "__main__":
    run(main)
