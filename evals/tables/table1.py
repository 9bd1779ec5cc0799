"""Table 1 as tidy Parquet and as Markdown, the paper's selection rule beside one that never looks at a benchmark.

python -m evals.tables.table1 --scores scores.parquet --out table1.parquet --markdown table1.md
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import typer

from evals.cli import run
from evals.estimates.outcomes import AT, STEPS, in_words
from evals.io import data_hash, derived, read_metadata, write_table, write_text
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
    frame = scores.to_pandas()
    frame["paper_value"] = [
        paper_values.paper_value(paper.get(row.model), row.arm, row.benchmark, row.metric) for row in _rows(frame)
    ]
    frame["k"] = frame["k"].astype("Int32")
    for column, first in (("arm", TABLE_1), ("benchmark", paper_values.BENCHMARKS)):
        frame[column] = pd.Categorical(frame[column], in_order(frame[column], first), ordered=True)
    frame = frame.sort_values(["model", "selection", "metric", "k", "benchmark", "arm"], kind="stable")
    for column in ("arm", "benchmark"):
        frame[column] = frame[column].astype(str)
    frame["paper_value"] = frame["paper_value"].astype("Float64")
    return pa.Table.from_pandas(frame[SCHEMA.names], schema=SCHEMA, preserve_index=False)


def render_markdown(table: pa.Table, cutoffs: Mapping[str, str] | None = None) -> str:
    """avg@n per arm (rows) and benchmark (columns), one block per model and selection rule.

    `cutoffs`: model -> month after which it knows nothing, where that is known; younger benchmarks are marked.
    """
    frame = table.to_pandas()
    frame = frame[frame["metric"] == "avg_at_n"]
    parts = ["# Table 1\n"]
    for model in dict.fromkeys(frame["model"]):
        mine, cutoff = frame[frame["model"] == model], (cutoffs or {}).get(str(model))
        for rule in _rules(mine["selection"]):
            parts.append(f"## {model}, checkpoint: {describe_rule(rule)}\n")
            parts.append(_block(mine[mine["selection"] == rule], cutoff))
        parts.append(_caption(mine, cutoff))
    return "\n".join(parts)


def _rules(rules: Iterable[str]) -> list[str]:
    """The paper's kind of rule first, then those that never look at a benchmark."""
    return sorted(set(rules), key=lambda rule: (not rule.startswith("best_on:"), rule))


def _block(frame: pd.DataFrame, cutoff: str | None) -> str:
    benchmarks = in_order(frame["benchmark"], paper_values.BENCHMARKS)
    arms = in_order(frame["arm"], TABLE_1)
    with_paper = bool(frame["paper_value"].notna().any())
    cells = {(row.arm, row.benchmark): row for row in _rows(frame)}
    header = ["arm", "seeds", *marked(benchmarks, cutoff)]
    lines = [_line(header), _line(["---"] + ["--:"] * (len(header) - 1))]
    for arm in arms:
        rows = [cells.get((arm, name)) for name in benchmarks]
        seeds = sorted({int(row.n_seeds) for row in rows if row is not None})
        lines.append(_line([title(arm), ", ".join(map(str, seeds)), *(_cell(row, with_paper) for row in rows)]))
    return "\n".join(lines) + "\n"


def _rows(frame: pd.DataFrame) -> Iterable[Any]:
    """Rows as named tuples; `Any`, since their fields are known only to the frame."""
    return frame.itertuples(index=False)


def _cell(row: Any, with_paper: bool) -> str:
    if row is None:
        return "–"
    text = estimate_text(row)
    if with_paper and pd.notna(row.paper_value):
        text += f" (paper {100 * row.paper_value:.1f})"
    return text


def estimate_text(row: Any) -> str:
    """The estimate of an arm with its interval in per cent, and its diverged runs beside or in place of it."""
    known = percent(row.estimate, row.ci_low, row.ci_high) if pd.notna(row.estimate) else ""
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


def _caption(frame: pd.DataFrame, cutoff: str | None) -> str:
    measured = frame[frame["estimate"].notna()]
    sizes = measured[measured["benchmark"] != "average"].groupby("benchmark", sort=False)
    counts = [
        f"{title(str(name))} {int(rows['n_problems'].iloc[0])} problems × "
        + (f"{int(rows['k'].iloc[0])} samples" if pd.notna(rows["k"].iloc[0]) else "varying samples")
        for name, rows in sizes
    ]
    diverged = ""
    if AT in frame and frame[AT].str.len().any():
        diverged = "Estimates are over the training seeds that finished; a diverged run has none (docs/evaluation.md). "
    younger = younger_text(frame["benchmark"], cutoff)
    worst = frame[["truncated_share", "unparsed_share", "grader_disagreement"]].max() * 100
    return (
        "avg@n in per cent with 95 % intervals over problems, samples and training seeds. "
        f"{'; '.join(counts)}; per training seed. A row with one seed has an interval over problems and "
        f"samples only, unless the seed variance is pooled. {diverged}{younger}Largest shares in any cell: truncated "
        f"{worst['truncated_share']:.1f} %, unparsed {worst['unparsed_share']:.1f} %, graders disagree "
        f"{worst['grader_disagreement']:.1f} %. Paper: {paper_values.SOURCE}.\n"
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
    run(main)
