"""`asymgrpo prereg --configfile FILE --out protocol.json`: declare a study before its runs.

    asymgrpo prereg --configfile FILE --runs PILOT --out protocol.json     declares the doses of its arms, too

Commit the file, then give it to the study: `protocol: protocol.json` in the configuration. Every run states its sha256.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from asymgrpo.study.stored import load_study
from evals.cli import run


def main(
    configfile: Annotated[list[Path], typer.Option(help="configuration files, as snakemake gets them")],
    out: Annotated[Path, typer.Option(help="protocol to write (JSON); never over another one")],
    runs: Annotated[
        str | None,
        typer.Option(
            help="a pilot's results (folder or bundle), whose groups of GRPO give each arm its dose; default: no dose is declared"
        ),
    ] = None,
) -> None:
    """Declare claims, analysis, endpoint, arms and seeds of a study in one file, before its runs."""
    from evals.protocol import content, dose, files

    found = content.protocol(load_study(configfile), dose.groups_of(runs) if runs else None)
    files.write(found, out)
    tests, arms = found["analysis"]["m"], found["seeds"]
    typer.echo(
        f"{out}: {len(found['claims'])} claims, {tests} with a test; {len(arms)} arms, at most "
        f"{max(map(len, arms.values()))} seeds each; commit {found['commit'] or 'unknown'}"
    )
    typer.echo(_doses(found["dose"]))
    typer.echo(f"sha256 {files.sha256(found)}")
    if (found["commit"] or "").endswith("-dirty"):
        typer.echo(
            "Tracked files differ from the commit: commit them first, or nobody can find this code again.", err=True
        )


def _doses(section: dict[str, Any]) -> str:
    """What a protocol says of doses, in a line."""
    if why := section.get("why_not"):
        return f"{why} (--runs)"
    with_dose = [
        f"{model}: {sum(x is not None for x in of['arms'].values())} arms" for model, of in section["models"].items()
    ]
    return f"doses: {', '.join(with_dose)}"


if __name__ == "__main__":
    run(main)
