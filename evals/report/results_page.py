"""docs/results.md: what the study found, written from its results; no number in it is typed. `make pages` writes it."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from evals.claims.training import early
from evals.claims.verdict import Conclusion
from evals.claims.words import multiverse, protocol_text, quotes, summary, table
from evals.cli import run
from evals.figures import series
from evals.figures.table import FIGURES
from evals.io import DataError, read_json, read_table, replace_atomically, write_text
from evals.estimates.outcomes import AT, finished, in_words
from evals.report import held_out, of_settings
from evals.report.cost import by_arm
from evals.report.earlier import beside
from evals.report.claim_notes import how_to_read
from evals.report.results import Results, read_results
from evals.report.sections import Grid, noise, overview
from evals.names import describe_rule, title, rule_to_show
from evals.tables.coverage import render as of_coverage
from evals.tables.robust import render as of_robust
from evals.tables.table1 import render_markdown

HEAD = """# Results

Written from the bundles in `artifacts/` by `make pages`, in a minute or two; a test compares the two. The tables and figures alone:

    snakemake tables figures standard --config artifacts=artifacts/study.zip results=rebuilt

This is a study of a very small model on sums of small numbers (`config/study.yaml` says how its regime was chosen). It tests the
mechanism and the direction of the paper's claims where they can be repeated often enough for intervals; it does not test the
paper's size.
"""

Earlier = Mapping[str, Sequence[Mapping[str, Any]]]
"""Name of an earlier study -> the rows of its claims."""
STORY = {"What the theory says exactly": "theory_", "What one update does": "probe_"}
"""Part of the page -> how the names of its figures begin."""
TRAINING, UNKNOWN = "What training does", "What is not known"
DECIDES = """How many seeds decide what is open, and for how many CPU hours: `asymgrpo power rebuilt --endpoint late`. On GPUs, `asymgrpo prereg
--configfile config/paper.yaml` declares the study at the paper's size before it is run (docs/evaluation.md).
"""
EARLIER = """The exploratory study came first: 121 runs, eight and five seeds, its claims written down after the runs, and its endpoint one
checkpoint, sampled at temperature 1. The first declared study had 150 runs, ten and four seeds, in the regime and with the endpoint of
this one, and said how many seeds this one needs; no two of the three share a run. It called Dr.GRPO's step another step size, by a
norm that depends on the size of the gradients, which Adam's step does not; this study looks at the length of the step. The last
column was not declared; it weighs each declared study by its precision, with normal intervals, which are too short for the smallest of
several differences and for a control with few seeds.
"""
EXPLORATORY = """**These rows are exploratory.** Claims, contrasts, margins, checks and analyses as they stand here are younger than the runs: they
were changed after the runs had been seen, to fix what a review found. Nothing below was declared before its data.
"""


def page(
    results: Results,
    images: str,
    earlier: Earlier = MappingProxyType({}),
    settings: Path | None = None,
    apart: Path | None = None,
) -> str:
    """The whole page; pictures are linked below `images`, the claims of earlier studies stand beside those of this one, and
    a folder of pooled settings (evals.report.of_settings) and a table of parts of the held-out problems (evals.report.held_out)
    have a section each.

    Raises:
        DataError: a table or figure that the page shows has not been made.
    """
    trained = [*claims(results), *compared(results, earlier), *(held_out.section(apart) if apart else [])]
    trained += of_settings.section(settings) if settings else []
    there = drawn(results)
    parts = [HEAD]
    for part, named in STORY.items():
        mine = [name for name in there if name.startswith(named)]
        parts += [f"## {part}\n", *figures(results, images, mine)] if mine else []
    told = [name for name in there if not name.startswith(tuple(STORY.values()))]
    parts += [f"## {TRAINING}\n", *trained, "### What was run\n", *described(results)]
    parts += ["### Table 1\n", *_deeper(table_1(results)), *_deeper(robust(results)), *_deeper(coverage(results))]
    parts += [*figures(results, images, told), "### Control\n", *control(results)]
    parts += [f"## {UNKNOWN}\n", *unknown(results), "## Cost\n"]
    parts += [line for grid in by_arm(results) for line in markdown(grid)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _deeper(parts: Iterable[str]) -> Iterator[str]:
    """Pages of their own one level further down."""
    for part in parts:
        yield "\n".join(f"#{line}" if line.startswith("#") else line for line in part.split("\n"))


def unknown(results: Results) -> Iterator[str]:
    """The claims that stay open, each with its sentence, and those that were not tested by why they were not."""
    rows = needed(results, "claims").to_pylist()
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        yield from ([f"### {model}\n"] if len(results.models) > 1 else [])
        open_rows = [row for row in mine if row["verdict"] == Conclusion.INCONCLUSIVE]
        yield "\n".join(f"- {row['sentence']}" for row in open_rows) + "\n" if open_rows else "No tested claim stays open.\n"
        reasons: dict[str, list[str]] = {}
        for row in mine:
            if row["verdict"] == Conclusion.NOT_TESTED:
                reasons.setdefault(row["why_not"], []).append(row["claim"])
        yield "\n".join(f"- Not tested ({why}): {'; '.join(claims)}." for why, claims in reasons.items()) + "\n"
    yield DECIDES


def needed(results: Results, name: str) -> pa.Table:
    """A table of the results.

    Raises:
        DataError: it is not there.
    """
    found = results.table(name)
    if found is None:
        raise DataError(
            f"{results.folder}/{name}.parquet: no such file; run snakemake tables figures for these results first"
        )
    return found


def claims(results: Results) -> Iterator[str]:
    """The claims with their verdicts, a block per model."""
    rows, others = needed(results, "claims").to_pylist(), needed(results, "claims_sensitivity").to_pylist()
    yield "### Claims\n"
    yield standing(rows)
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        yield from ([f"#### {model}\n"] if len(results.models) > 1 else [])
        beside = [row for row in others if row["model"] == model]
        how = f"{how_to_read(mine)}\n"
        yield from (summary(mine), table(mine), how, multiverse(mine, beside), "#### To quote\n", quotes(mine))


def compared(results: Results, earlier: Earlier) -> Iterator[str]:
    """The verdicts of earlier studies beside those of this one, if there are any."""
    if told := beside(needed(results, "claims").to_pylist(), earlier):
        yield f"### Beside earlier studies\n\n{EARLIER}"
        yield told


def standing(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was declared before its data: all, some or none of the rows."""
    told = [protocol_text(row) for row in rows]
    before = sum(text.startswith("declared") for text in told)
    if not any(not text.startswith("exploratory") for text in told):
        return EXPLORATORY
    others = " The others say what was changed after, or why they are exploratory, and stand apart." if before < len(rows) else ""
    return (
        f"**{before} of {len(rows)} rows were declared before their runs**, in the protocol that every one of these runs states "
        f"(`asymgrpo prereg`).{others}\n"
    )


def described(results: Results) -> Iterator[str]:
    """The study in a few lines: what was planned, and where training started."""
    yield "\n".join(f"- **{term}:** {meaning}" for term, meaning in overview(results))
    scores = needed(results, "scores").to_pandas()
    rule = rule_to_show(scores["selection"])
    for model in results.models:
        base = scores[(scores["arm"] == "base") & (scores["model"] == model) & (scores["selection"] == rule)]
        base = base[(base["metric"] == "avg_at_n") & (base["benchmark"] != "average")]
        shares = [f"{title(row.benchmark)} {100 * row.estimate:.0f} %" for row in base.itertuples()]
        yield f"- **{model} before training** solves, with one sample: {', '.join(shares)}."
        metrics = [item.table("metrics") for item in results.finished if (item.model, item.arm) == (model, "grpo")]
        if metrics:
            begin = {
                name: np.mean([early(found[name].to_numpy()).mean() for found in metrics])
                for name in ("reward_mean", "none_solved_share", "entropy")
            }
            solved, unsolved = 100 * begin["reward_mean"], 100 * begin["none_solved_share"]
            yield (
                f"- **GRPO's first tenth of the steps on {model}:** {solved:.0f} % of the rollouts are correct, in "
                f"{unsolved:.0f} % of the groups none is; entropy {begin['entropy']:.2f} nats per token."
            )
    yield ""


def table_1(results: Results) -> Iterator[str]:
    """Table 1, both selection rules."""
    lines = render_markdown(needed(results, "table1"), results.cutoffs).split("\n")
    yield "\n".join(f"#{line}" if line.startswith("#") else line for line in lines[1:]).strip("\n") + "\n"
    yield from (f"{text}\n" for model in results.models if (text := noise(results, model)))


def robust(results: Results) -> Iterator[str]:
    """Aggregates that one far run cannot move, under both selection rules."""
    yield _below(of_robust(needed(results, "robust").to_pylist()))


def coverage(results: Results) -> Iterator[str]:
    """How reliably problems are solved, under both selection rules."""
    yield _below(of_coverage(needed(results, "coverage").to_pylist()))


def _below(page: str) -> str:
    """A page of its own as a section."""
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in page.split("\n")).strip("\n") + "\n"


def figures(results: Results, images: str, names: Iterable[str]) -> Iterator[str]:
    """Figures with the sentence that their data say."""
    for name in names:
        about = read_json(results.folder / "figures" / f"{name}.json")
        heading = FIGURES[name].heading if name in FIGURES else name.replace("_", " ")
        yield f"### {heading}\n\n![{heading}]({images}/{name}.png)\n"
        yield " ".join(filter(None, [about["finding"], about.get("caption", ""), about.get("diverged", "")])) + "\n"


def drawn(results: Results) -> list[str]:
    """Names of the figures that there are, in the order of the page.

    Raises:
        DataError: there is none.
    """
    there = {path.stem for path in (results.folder / "figures").glob("*.json")}
    if not there:
        raise DataError(
            f"{results.folder}/figures: no figure in it; run snakemake tables figures for these results first"
        )
    return [name for name in FIGURES if name in there] + sorted(there - FIGURES.keys())


def control(results: Results) -> Iterator[str]:
    """What GRPO gains on coin flips, over the base model."""
    scores = needed(results, "run_scores").to_pandas()
    rule = rule_to_show(scores["selection"])
    found = series.accuracies(scores, rule)
    for model in results.models:
        mine = found[found["model"] == model]
        base = mine.loc[mine["arm"] == "base", "value"]
        parts = []
        for arm in ("random_reward", "grpo"):
            rows = mine[mine["arm"] == arm]
            if len(rows) and len(base):
                known = finished(rows)
                gain = series.summary(100 * (known["value"] - base.iloc[0]), series.band_of(rows))
                lost = in_words(len(known), [] if AT not in rows else rows[AT].dropna().tolist())
                parts.append(f"{title(arm)} {gain.text('+.1f')} points (n = {gain.n_seeds}{'; ' if lost else ''}{lost})")
        if len(parts) < 2:
            yield "The control on random rewards is not in this study.\n"
        else:
            yield (
                f"Gain over the base model in avg@n, mean over benchmarks and training seeds, checkpoint {describe_rule(rule)}: "
                f"{'; '.join(parts)}.\n"
            )


def markdown(grid: Grid) -> Iterator[str]:
    """A table of the report as Markdown."""
    yield f"{grid.title}:\n"
    yield _line(grid.head)
    yield _line(["--:" if grid.is_number(column) else "---" for column in range(len(grid.head))])
    yield "\n".join(map(_line, grid.rows)) + "\n"
    yield f"{grid.note}\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main(
    results: Annotated[Path, typer.Option(help="folder of a study's results, with tables and figures")],
    out: Annotated[Path, typer.Option(help="page to write (Markdown)")],
    images: Annotated[Path, typer.Option(help="folder to copy the pictures to")],
    earlier: Annotated[
        list[Path] | None, typer.Option(help="tables of claims of earlier studies, to stand beside; default: none")
    ] = None,
    pool: Annotated[
        Path | None, typer.Option(help="folder of pooled settings (snakemake pool with differ); default: no section of them")
    ] = None,
    apart: Annotated[
        Path | None, typer.Option(help="table of accuracy on parts of the held-out problems; default: no section of them")
    ] = None,
) -> None:
    """Write the page of results."""
    found = read_results(results)
    rows = {path.stem.replace("_", " "): read_table(path).to_pylist() for path in earlier or []}
    text = page(found, Path(os.path.relpath(images, out.parent)).as_posix(), rows, pool, apart)
    for name in drawn(found):
        replace_atomically(images / f"{name}.png", partial(shutil.copyfile, results / "figures" / f"{name}.png"))
    write_text(text, out)


if __name__ == "__main__":
    run(main)
