"""Join the bundles of several laboratories, or pool settings of one study (docs/pooling.md).

python -m evals.pool check --bundles a.zip b.zip
python -m evals.pool join --bundles berlin=a.zip lima=b.zip --out pooled.zip
python -m evals.pool settings --bundles study.zip lcm.zip --differ data.train --out pooled
snakemake pool --config 'bundles=[berlin=a.zip,lima=b.zip]'
"""

from pathlib import Path
from typing import Annotated

import typer

from evals.claims.readings import Endpoint
from evals.cli import run

Bundles = Annotated[
    list[str], typer.Option(help="bundles of at least two laboratories (zip files, folders, URLs); NAME=PATH names one")
]


def check(bundles: Bundles) -> None:
    """Say whether bundles may be pooled, and everything in which they differ."""
    from evals.pool import agreement, laboratories

    found = laboratories.opened(bundles)
    for difference in agreement.differences(found):
        typer.echo(str(difference))
    agreement.require(found)
    runs = ", ".join(f"{lab.name} {len(lab.runs)}" for lab in found)
    typer.echo(f"{len(found)} laboratories agree; runs: {runs}")


def join(bundles: Bundles, out: Annotated[Path, typer.Option(help="zip file to write")]) -> None:
    """Write one bundle with the runs of all laboratories."""
    from evals.artifacts.bundle_files import open_bundle
    from evals.pool import joined, laboratories

    joined.join(laboratories.opened(bundles), out)
    typer.echo(f"{out}: {len(open_bundle(out).files)} files, {out.stat().st_size / 1e6:.1f} MB")


def tables(
    laboratories: Annotated[Path, typer.Option(help="config/laboratories.json of the joined bundle")],
    run_scores: Annotated[Path, typer.Option(help="scores of each run, of evals.tables.run_scores (Parquet)")],
    measures: Annotated[Path, typer.Option(help="measures of each run, of evals.claims (Parquet)")],
    out: Annotated[Path, typer.Option(help="folder to write the tables into")],
    endpoint: Annotated[
        Endpoint, typer.Option(help="of claims on accuracy, evaluation.endpoint of the study")
    ] = Endpoint.checkpoint,
) -> None:
    """Table 1 and claims with the laboratory as a random effect, and where laboratories disagree."""
    from evals.pool.tables import make

    make(laboratories, run_scores, measures, out, endpoint)


def settings(
    bundles: Bundles,
    differ: Annotated[list[str], typer.Option(help="keys of the configuration that are meant to differ")],
    out: Annotated[Path, typer.Option(help="folder to write the tables into")],
    factor: Annotated[str, typer.Option(help="what tables and sentences call one of them")] = "setting",
) -> None:
    """The same tables of bundles that differ in declared keys, with what they differ in as the random effect."""
    from evals.pool.factor import Factor
    from evals.pool.laboratories import opened
    from evals.pool.tables import make_of_settings

    make_of_settings(opened(bundles), differ, out, Factor(factor, settings=True))


if __name__ == "__main__":
    run(check, join, tables, settings)
