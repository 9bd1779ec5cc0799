"""Write a folder with everything that a publication of a finished study asks for, ready to upload; nothing is uploaded.

    python -m evals.publish --results results-study --out results-study/published

models/ has checkpoints with cards, samples/ every graded response (Parquet, card, Croissant), eee/ Every Eval Ever's records,
logbook/ a page per claim (Trackio), crate/ the run as an RO-Crate, checklist.md what venues ask: docs/publishing.md. The same
results give the same bytes.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.files import whole_directory, write_text
from evals.cli import run
from evals.io import DataError
from evals.publish import checklist, crate, croissant, eee, logbook, models, samples
from evals.publish.source import NO_DATE, PAPER, Source, card, commit_date, markdown_table
from evals.report.results import read_results


def publish(source: Source, folder: Path) -> dict[str, str]:
    """Write all parts into an empty folder; returns part -> what it holds."""
    rows = samples.write(source, folder / "samples")
    samples.write_card(source, folder / "samples", rows)
    croissant.write(source, folder / "samples", rows)
    weights = models.write(source, folder / "models")
    records = eee.write(source, folder / "eee")
    claims = logbook.write(source, folder / "logbook")
    jobs = crate.write(source, folder / "crate")
    total = sum(count for name, count in rows.items() if name != "problems.parquet")
    runs = len(source.results.runs)
    told = {
        "models/": f"{runs} runs, {weights} with weights" + ("" if weights else " (they are where the training ran)"),
        "samples/": f"{total:,} graded responses",
        "eee/": f"{len(records)} records of Every Eval Ever {eee.VERSION}",
        "logbook/": f"{claims} claims with verdicts (Trackio)",
        "crate/": f"{jobs} jobs, as Workflow Run and Provenance Run RO-Crate",
        "checklist.md": "what venues ask",
    }
    write_text(_first_page(source, rows, told), folder / "README.md")
    left = checklist.write(source, folder)
    told["checklist.md"] = f"{len(checklist.items())} questions, {left} left to the author"
    return told


def _first_page(source: Source, rows: dict[str, int], told: dict[str, str]) -> str:
    body = (
        f"# Study {source.name}, a reproduction of arXiv:{PAPER}\n\n"
        f"Everything about the study in one folder, made by asymgrpo at commit {', '.join(source.commits) or 'unknown'}.\n\n"
        + markdown_table(["what", "holds"], ([f"[{name}]({name.rstrip('/')})", what] for name, what in told.items()))
        + "\n\nTo run it again, in a checkout of asymgrpo: `.venv/bin/snakemake all publish --configfile crate/config.json`. "
        "To read the logbook: `cd logbook && trackio logbook serve`. A checkpoint becomes a model of its own by "
        "`hf upload NAME models/NAME`.\n"
    )
    return card(samples.front(source, rows, "samples/"), body)


def main(
    results: Annotated[Path, typer.Option(help="folder of results of a finished study, with its tables and figures")],
    out: Annotated[Path, typer.Option(help="folder to write; one that this command wrote is replaced")],
    owner: Annotated[
        str, typer.Option(help="user or organisation that models and evaluations are named after")
    ] = "asymgrpo",
    date: Annotated[
        str | None,
        typer.Option(help="YYYY-MM-DD, the date in every part; default: that of the newest commit that trained"),
    ] = None,
) -> None:
    """Write a folder that is ready to upload."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", owner) or owner == "data":
        raise DataError(f"--owner {owner!r}: letters, digits, - and _ only, as on the hub")
    if date is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", date):
        raise DataError(f"--date {date!r}: write it as YYYY-MM-DD")
    if out.exists() and any(out.iterdir()) and not (out / "checklist.md").is_file():
        raise DataError(f"{out}: there is something else in it; name a folder that does not exist")
    found = read_results(results)
    if len(found.runs) < found.planned:
        raise DataError(
            f"{results}: {found.planned - len(found.runs)} of {found.planned} runs are missing; run snakemake on"
        )
    source = Source(found, owner, NO_DATE)
    source = Source(found, owner, date or commit_date(source.commits))
    with whole_directory(out) as folder:
        told = publish(source, folder)
    for name, what in told.items():
        typer.echo(f"{out}/{name}: {what}")
    if source.date == NO_DATE:
        typer.echo(f"The date of the runs' commit is not known here: {NO_DATE} stands in its place; --date sets it.")
    typer.echo("Nothing was uploaded. This uploads all of it as one data set of yours:")
    typer.echo(f"  hf upload {source.collection} {shlex.quote(str(out))} . --repo-type dataset")


if __name__ == "__main__":
    run(main)
