"""Every verdict once more, with the second grader's judgement of the same answers in place of the first one's.

    python -m evals.tables.second_grader --counts counts.parquet ... --k 1 4 16 --measures measures.parquet \\
        --claims claims.parquet --out second_grader.parquet --markdown second_grader.md

Claims about scores are decided again by the same tests (evals.claims.decided). Claims about training keep their measures: the
second grader judges answers of evaluations alone, rewards are the first one's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.claims.decided import SCHEMA as CLAIMS_SCHEMA
from evals.claims.decided import claim_rows
from evals.claims.measures import SCORES, score_measures
from evals.claims.table import CLAIMS
from evals.claims.verdict import Conclusion
from evals.claims.words import NAMES, estimate_text, verdict_text
from evals.cli import run
from evals.estimates.cells import CountsOf, check_ks, need_samples
from evals.estimates.stats import DIGITS
from evals.io import DataError, check_table, derived, inputs_metadata, read_table, write_table, write_text
from evals.names import rule_to_show
from evals.tables.counts import study_counts
from evals.tables.options import Markdown, Out
from evals.tables.run_scores import diverged_runs, run_scores

NUMBERS = ("estimate", "ci_low", "ci_high")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "id", "claim", "measure", "unit")),
        ("of_scores", pa.bool_()),  # whether the claim rests on graded evaluations
        *((name, pa.float64()) for name in NUMBERS),
        ("relevant", pa.bool_()),
        ("verdict", pa.string()),
        *((f"second_{name}", pa.float64()) for name in NUMBERS),
        ("second_relevant", pa.bool_()),
        ("second_verdict", pa.string()),
        ("changed", pa.bool_()),  # the verdict, or what is added to it
    ]
)


def by_second(counts: CountsOf) -> CountsOf:
    """The counts with what the second grader finds correct."""
    return {key: replace(item, c=item.second) for key, item in counts.items()}


def second_measures(runs: pd.DataFrame, measures: pd.DataFrame, selection: str) -> pd.DataFrame:
    """Measures of every run (evals.claims.measures.SCHEMA) with scores of `runs` in place of those in `measures`."""
    scores = pd.DataFrame(score_measures(runs, selection), columns=list(measures.columns))
    scores["value"] = scores["value"].round(DIGITS)
    training = measures[~measures["measure"].isin(SCORES)]
    return pd.concat([part for part in (scores, training) if len(part)], ignore_index=True)


def second_rows(first: Sequence[Mapping[str, Any]], measures: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA. Args: rows of claims.parquet; the measures to decide them by again."""
    decided_by = {row["id"]: NAMES[row["measure"]] for row in first if row["measure"]}  # at the endpoint of the study
    claims = [replace(claim, measure=decided_by.get(claim.id, claim.measure)) for claim in CLAIMS]
    again = {(row["model"], row["id"]): row for row in claim_rows(claims, measures)}
    rest_on = {claim.id: claim.measure in SCORES for claim in claims}
    for row in first:
        other = again[row["model"], row["id"]]
        names = (*NUMBERS, "relevant", "verdict")
        told = {name: row[name] for name in ("model", "id", "claim", "measure", "unit", *names)}
        second = {f"second_{name}": other.get(name) for name in names} | {"second_verdict": str(other["verdict"])}
        changed = (told["verdict"], bool(told["relevant"])) != (
            second["second_verdict"],
            bool(second["second_relevant"]),
        )
        yield told | second | {"of_scores": rest_on[row["id"]], "changed": changed}


def tested(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that were tested by one of the graders."""
    return [row for row in rows if {row["verdict"], row["second_verdict"]} != {str(Conclusion.NOT_TESTED)}]


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """Verdicts that rest on scores, by both graders, as Markdown."""
    parts = ["# Verdicts by the second grader\n"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = tested([row for row in rows if row["model"] == model])
        lines = [f"## {model}\n", "| claim | by the first grader | by the second |", "|---|---|---|"]
        for row in (row for row in mine if row["of_scores"]):
            second = {name: row[f"second_{name}"] for name in (*NUMBERS, "relevant", "verdict")} | {
                name: row[name] for name in ("measure", "unit")
            }
            texts = [": ".join(filter(None, [verdict_text(one), estimate_text(one)])) for one in (row, second)]
            lines.append(f"| {row['claim']} | {texts[0]} | {f'**{texts[1]}**' if row['changed'] else texts[1]} |")
        scores, changed = sum(row["of_scores"] for row in mine), sum(row["changed"] for row in mine)
        parts.append("\n".join(lines) + "\n")
        parts.append(
            f"{changed} of {len(mine)} verdicts change with the grader. {scores} of them rest on graded evaluations and are "
            "shown; the others rest on training, whose rewards are the first grader's.\n"
        )
    return "\n".join(parts)


def read_second_grader(path: Path) -> pa.Table:
    """A table that this module wrote. Raises DataError when it is another one, or empty."""
    table = read_table(path)
    check_table(table, path, SCHEMA, nullable=[name for name in SCHEMA.names if name not in ("model", "id", "changed")])
    return table


def main(
    counts: Annotated[list[Path], typer.Option(help="counts of evals.tables.counts (Parquet)")],
    k: Annotated[list[int], typer.Option(help="k of pass@k")],
    measures: Annotated[Path, typer.Option(help="measures of each run, of evals.claims (Parquet)")],
    claims: Annotated[Path, typer.Option(help="claims with verdicts, of evals.claims (Parquet)")],
    out: Out,
    markdown: Markdown,
    selection: Annotated[
        str | None, typer.Option(help="checkpoint rule; default: one that never looks at a benchmark")
    ] = None,
) -> None:
    """Decide the claims once more, by the second grader."""
    check_ks(k)
    study = study_counts(counts, None, None)
    rule = selection or rule_to_show(study.counts)
    if rule not in study.counts:
        raise DataError(f"{counts[0]}: no selection {rule!r}; choose from {', '.join(study.counts)}")
    need_samples(k, study.counts[rule].values())
    found = list(run_scores(by_second(study.counts[rule]), k))
    scores = [
        {"selection": rule, "diverged_at": None, **row} for row in [*found, *diverged_runs(found, study.lost[rule])]
    ]
    first = read_table(claims)
    check_table(
        first, claims, CLAIMS_SCHEMA, nullable=[name for name in CLAIMS_SCHEMA.names if name not in ("model", "id")]
    )
    frame = second_measures(pd.DataFrame(scores), read_table(measures).to_pandas(), rule)
    rows = list(second_rows(first.to_pylist(), frame))
    table = pa.Table.from_pylist(rows, SCHEMA)
    origin = derived(inputs_metadata([*counts, measures, claims]))
    write_table(table, out, {"data_hash": data_hash(table), "selection": rule, **origin})
    write_text(render(rows), markdown)


if __name__ == "__main__":
    run(main)
