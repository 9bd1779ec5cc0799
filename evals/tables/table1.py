"""Table 1 as tidy Parquet and as Markdown, the paper's selection rule beside one that never looks at a benchmark.

python -m evals.tables.table1 --scores scores.parquet --out table1.parquet --markdown table1.md
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.outcomes import AT, STEPS, in_words
from evals.io import derived, read_metadata, write_table, write_text
from evals.names import TABLE_1, YOUNGER, describe_rule, in_order, marked, percent, title
from evals.tables import paper_values

SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("benchmark", pa.string()),
        ("metric", pa.string()),
        ("k", pa.int32()),
        ("estimate", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n_problems", pa.int32()),
        ("n_samples", pa.int64()),
        ("n_seeds", pa.int32()),
        ("paper_value", pa.float64()),
        ("selection", pa.string()),
        ("model", pa.string()),
        ("truncated_share", pa.float64()),
        ("unparsed_share", pa.float64()),
        ("grader_disagreement", pa.float64()),
        ("seed_degrees", pa.int32()),
        ("n_diverged", pa.int32()),
        (AT, STEPS),
    ]
)


def table_1(scores: pa.Table, paper: Mapping[str, str]) -> pa.Table:
    """Scores with the paper's values beside them, arms in the paper's order.

    The paper has one number per arm and benchmark, for its own selection rule; it is put beside every rule's
    avg@n, since it is what each of them is compared with. `paper`: which of its models a model of ours is, by our name.
    """
    rows = scores.to_pylist()
    for row in rows:
        ours = (paper.get(row["model"]), row["arm"], row["benchmark"], row["metric"])
        row["paper_value"] = paper_values.paper_value(*ours)
    arms = in_order((row["arm"] for row in rows), TABLE_1)
    benchmarks = in_order((row["benchmark"] for row in rows), paper_values.BENCHMARKS)

    def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
        k = (row["k"] is None, row["k"] or 0)
        last = (benchmarks.index(row["benchmark"]), arms.index(row["arm"]))
        return row["model"], row["selection"], row["metric"], k, *last

    return pa.Table.from_pylist(sorted(rows, key=place), SCHEMA)


def render_markdown(table: pa.Table, cutoffs: Mapping[str, str] | None = None) -> str:
    """avg@n per arm (rows) and benchmark (columns), one block per model and selection rule.

    `cutoffs`: model -> month after which it knows nothing, where that is known; younger benchmarks are marked.
    """
    rows = [SimpleNamespace(**row) for row in table.to_pylist() if row["metric"] == "avg_at_n"]
    parts = ["# Table 1\n"]
    for model in dict.fromkeys(row.model for row in rows):
        mine, cutoff = [row for row in rows if row.model == model], (cutoffs or {}).get(model)
        for rule in _rules(row.selection for row in mine):
            parts.append(f"## {model}, checkpoint: {describe_rule(rule)}\n")
            parts.append(_block([row for row in mine if row.selection == rule], cutoff))
        parts.append(_caption(mine, cutoff))
    return "\n".join(parts)


def _rules(rules: Iterable[str]) -> list[str]:
    """The paper's kind of rule first, then those that never look at a benchmark."""
    return sorted(set(rules), key=lambda rule: (not rule.startswith("best_on:"), rule))


Row = Any
"""A row of SCHEMA whose columns are attributes."""


def _block(rows: Sequence[Row], cutoff: str | None) -> str:
    benchmarks = in_order((row.benchmark for row in rows), paper_values.BENCHMARKS)
    with_paper = any(row.paper_value is not None for row in rows)
    cells = {(row.arm, row.benchmark): row for row in rows}
    header = ["arm", "seeds", *marked(benchmarks, cutoff)]
    lines = [_line(header), _line(["---"] + ["--:"] * (len(header) - 1))]
    for arm in in_order((row.arm for row in rows), TABLE_1):
        mine = [cells.get((arm, name)) for name in benchmarks]
        seeds = sorted({row.n_seeds for row in mine if row is not None})
        lines.append(_line([title(arm), ", ".join(map(str, seeds)), *(_cell(row, with_paper) for row in mine)]))
    return "\n".join(lines) + "\n"


def _cell(row: Row | None, with_paper: bool) -> str:
    if row is None:
        return "–"
    text = estimate_text(row)
    if with_paper and row.paper_value is not None:
        text += f" (paper {100 * row.paper_value:.1f})"
    return text


def estimate_text(row: Row) -> str:
    """The estimate of an arm with its interval in per cent, and its diverged runs beside or in place of it."""
    missing = row.estimate is None or math.isnan(row.estimate)
    known = "" if missing else percent(row.estimate, row.ci_low, row.ci_high)
    steps = getattr(row, AT, None)
    return "; ".join(filter(None, [known, in_words(int(row.n_seeds), [] if steps is None else steps)])) or "–"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def younger_text(benchmarks: Iterable[str], cutoff: str | None) -> str:
    """What the mark says; nothing where there is none.

    >>> younger_text(["aime24", "aime26"], "2025-05"), younger_text(["aime24"], "2025-05")
    ("† younger than the model: problems became public after 2025-05, the model's knowledge cut-off. ", '')
    """
    if cutoff is None or not any(YOUNGER in text for text in marked(list(benchmarks), cutoff)):
        return ""
    return f"{YOUNGER} younger than the model: problems became public after {cutoff}, the model's knowledge cut-off. "


def _caption(rows: Sequence[Row], cutoff: str | None) -> str:
    measured: dict[str, Row] = {}
    for row in rows:
        if row.estimate is not None and row.benchmark != "average":
            measured.setdefault(row.benchmark, row)
    counts = [
        f"{title(name)} {row.n_problems} problems × " + (f"{row.k} samples" if row.k is not None else "varying samples")
        for name, row in measured.items()
    ]
    younger = younger_text((row.benchmark for row in rows), cutoff)
    diverged = ""
    if any(getattr(row, AT, None) for row in rows):
        diverged = "Estimates are over the training seeds that finished; a diverged run has none (docs/evaluation.md). "
    shares = ("truncated_share", "unparsed_share", "grader_disagreement")
    found = {name: [share for row in rows if (share := getattr(row, name)) is not None] for name in shares}
    truncated, unparsed, disagree = (100 * max(values, default=math.nan) for values in found.values())
    return (
        "avg@n in per cent with 95 % intervals over problems, samples and training seeds. "
        f"{'; '.join(counts)}; per training seed. A row with one seed has an interval over problems and "
        f"samples only, unless the seed variance is pooled. {diverged}{younger}Largest shares in any cell: truncated "
        f"{truncated:.1f} %, unparsed {unparsed:.1f} %, graders disagree {disagree:.1f} %. "
        f"Paper: {paper_values.SOURCE}.\n"
    )


def main(
    scores: Annotated[Path, typer.Option(help="scores of evals.tables.score (Parquet)")],
    out: Annotated[Path, typer.Option(help="tidy Table 1 to write (Parquet)")],
    markdown: Annotated[Path, typer.Option(help="rendered Table 1 to write (Markdown)")],
    metadata: Annotated[list[Path] | None, typer.Option(help="JSON files to put into the metadata")] = None,
    paper: Annotated[
        str, typer.Option(help="JSON: name of a model here -> which of the paper's it is (models.NAME.paper)")
    ] = "{}",
    cutoffs: Annotated[
        str,
        typer.Option(
            help="JSON: name of a model here -> month after which it knows nothing (models.NAME.knowledge_cutoff)"
        ),
    ] = "{}",
) -> None:
    """Write Table 1."""
    from evals.io import read_json
    from evals.tables.score import read_scores

    table = table_1(read_scores(scores), json.loads(paper))
    extra = {path.stem: read_json(path) for path in metadata or []}
    origin = {"data_hash": data_hash(table), "paper": paper_values.SOURCE, **derived({"scores": read_metadata(scores)})}
    write_table(table, out, origin | extra)
    write_text(render_markdown(table, json.loads(cutoffs)), markdown)


if __name__ == "__main__":
    run(main, frames=False)
