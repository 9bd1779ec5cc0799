"""Whether a base model knows benchmarks by heart: continuations of problems against those of fresh ones (evals.memorise).

    python -m evals.tables.memorisation --probes probe.parquet ... --out memorisation.parquet --markdown memorisation.md

Exact: the rest of the problem, token for token in number and equal as text. Tested one-sided by Fisher's exact test against the
control, Holm-adjusted over the benchmarks and shares of a model; a benchmark is called memorised below 0.05. ROUGE-L has no test.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.stats import DIGITS, holm
from evals.io import check_table, derived, inputs_metadata, read_table, write_table, write_text
from evals.names import in_order, title
from evals.tables.options import Markdown, Out
from evals.tables.paper_values import BENCHMARKS

LEVEL = 0.05
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("benchmark", pa.string()),
        ("share", pa.float64()),
        ("n_problems", pa.int32()),
        *((name, pa.float64()) for name in ("exact", "rouge_l")),
        ("n_control", pa.int32()),
        *((name, pa.float64()) for name in ("control_exact", "control_rouge_l")),  # null without a control
        *((name, pa.float64()) for name in ("p_value", "p_holm")),
        ("memorised", pa.bool_()),
    ]
)


def fisher(hits: int, n: int, control_hits: int, control: int) -> float:
    """One-sided p value: how likely are at least `hits` of n if problems and control have equal chances.

    >>> fisher(3, 3, 0, 3), fisher(0, 3, 3, 3)
    (0.05, 1.0)
    """
    total, both = hits + control_hits, n + control
    ways = sum(comb(n, i) * comb(control, total - i) for i in range(hits, min(n, total) + 1))
    return ways / comb(both, total)


def memorisation_rows(probes: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA of one model, from rows of evals.memorise.SCHEMA."""
    rows = []
    for benchmark, share in dict.fromkeys((row["benchmark"], row["share"]) for row in probes):
        mine = [row for row in probes if (row["benchmark"], row["share"]) == (benchmark, share)]
        given, fresh = ([row for row in mine if row["control"] is control] for control in (False, True))
        hits, control_hits = (sum(row["exact"] for row in some) for some in (given, fresh))
        rows.append(
            {
                **{"benchmark": benchmark, "share": share, "n_problems": len(given), "n_control": len(fresh)},
                **{name: _mean(given, name) for name in ("exact", "rouge_l")},
                **{f"control_{name}": _mean(fresh, name) for name in ("exact", "rouge_l")},
                "p_value": fisher(hits, len(given), control_hits, len(fresh)),
            }
        )
    adjusted = holm([row["p_value"] for row in rows]).tolist()
    caught = {row["benchmark"] for row, p in zip(rows, adjusted, strict=True) if p < LEVEL}
    for row, p in zip(rows, adjusted, strict=True):
        yield row | {"p_holm": p, "memorised": row["benchmark"] in caught}


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return round(sum(row[name] for row in rows) / len(rows), DIGITS) if rows else None


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown, a block for each model."""
    parts = ["# Problems continued by the base model\n"]
    head = [
        "benchmark",
        "given",
        "problems",
        "exact",
        "ROUGE-L",
        "fresh problems",
        "exact",
        "ROUGE-L",
        "p (Holm)",
        "memorised",
    ]
    for model in dict.fromkeys(row["model"] for row in rows):
        lines = [f"## {model}\n", f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 2) + "---|"]
        mine = [row for row in rows if row["model"] == model]
        for name in in_order((row["benchmark"] for row in mine), BENCHMARKS):
            for row in (row for row in mine if row["benchmark"] == name):
                cells = [title(name), f"{100 * row['share']:.0f} %", str(row["n_problems"])]
                cells += [_percent(row["exact"]), _percent(row["rouge_l"]), str(row["n_control"])]
                cells += [_percent(row["control_exact"]), _percent(row["control_rouge_l"]), f"{row['p_holm']:.3g}"]
                lines.append(f"| {' | '.join([*cells, 'yes' if row['memorised'] else 'no'])} |")
        parts.append("\n".join(lines) + "\n")
    parts.append(
        "The base model continues the first part of each problem greedily, without a prompt template. Exact: the rest is "
        "repeated as it is, in per cent of the problems. The control are problems generated now, which nobody can have learnt. "
        f"p: Fisher's exact test, one-sided; a benchmark is memorised if one of its shares has p (Holm) below {LEVEL:g}.\n"
    )
    return "\n".join(parts)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def read_memorisation(path: Path) -> pa.Table:
    """A table that this module wrote. Raises DataError when it is another one, or empty."""
    table = read_table(path)
    nullable = ["exact", "rouge_l", "control_exact", "control_rouge_l"]
    check_table(table, path, SCHEMA, nullable=nullable)
    return table


def main(
    probes: Annotated[
        list[Path], typer.Option(help="continuations of evals.memorise, a file for each model (Parquet)")
    ],
    out: Out,
    markdown: Markdown,
) -> None:
    """Decide which benchmarks a base model knows by heart."""
    rows = []
    for path in probes:
        found = read_table(path).to_pylist()
        for model in dict.fromkeys(row["model"] for row in found):
            rows += [
                {"model": model, **row} for row in memorisation_rows([row for row in found if row["model"] == model])
            ]
    table = pa.Table.from_pylist(rows, SCHEMA)
    write_table(table, out, {"data_hash": data_hash(table), **derived(inputs_metadata(probes))})
    write_text(render(rows), markdown)


if __name__ == "__main__":
    run(main, frames=False)
