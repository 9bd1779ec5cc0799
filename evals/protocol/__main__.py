"""`asymgrpo prereg --configfile FILE --out protocol.json`: declare a study before its runs.

Commit the file, then give it to the study: `protocol: protocol.json` in the configuration. Every run states its sha256.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.study.stored import load_study
from evals.cli import run


def main(
    configfile: Annotated[list[Path], typer.Option(help="configuration files, as snakemake gets them")],
    out: Annotated[Path, typer.Option(help="protocol to write (JSON); never over another one")],
) -> None:
    """Declare claims, analysis, endpoint, arms and seeds of a study in one file, before its runs."""
    from evals.protocol import content, files

    found = content.protocol(load_study(configfile))
    files.write(found, out)
    tests, arms = found["analysis"]["m"], found["seeds"]
    typer.echo(
        f"{out}: {len(found['claims'])} claims, {tests} with a test; {len(arms)} arms, at most "
        f"{max(map(len, arms.values()))} seeds each; commit {found['commit'] or 'unknown'}"
    )
    typer.echo(f"sha256 {files.sha256(found)}")
    if (found["commit"] or "").endswith("-dirty"):
        typer.echo(
            "Tracked files differ from the commit: commit them first, or nobody can find this code again.", err=True
        )


if __name__ == "__main__":
    run(main)
