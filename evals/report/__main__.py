"""python -m evals.report --results DIR --out report.html"""

from pathlib import Path
from typing import Annotated

import typer

from evals.cli import run


def main(
    results: Annotated[Path, typer.Option(help="results folder of a study, or of an unpacked bundle")],
    out: Annotated[Path, typer.Option(help="page to write (HTML)")],
    cost: Annotated[bool, typer.Option(help="show seconds and hours: they differ between two equal studies")] = True,
    points: Annotated[int, typer.Option(min=2, help="longest training curve; longer ones are averaged")] = 200,
    characters: Annotated[int, typer.Option(min=0, help="of all responses to read, together")] = 2_000_000,
) -> None:
    """Write one self-contained HTML file about a study."""
    from evals.io import write_text
    from evals.report.page import render
    from evals.report.results import read_results

    page = render(read_results(results), cost, points, characters)
    write_text(page, out)
    typer.echo(f"{out}: {len(page.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
