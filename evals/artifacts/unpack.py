"""Unpack a bundle, without the libraries that making one needs: the first thing that is done with it.

python -m evals.artifacts.unpack --bundle artifacts/study.zip --out folder
"""

from pathlib import Path
from typing import Annotated

import typer

from evals.artifacts.bundle_files import open_bundle
from evals.cli import run


def unpack(
    bundle: Annotated[str, typer.Option(help="zip file, folder or URL")],
    out: Annotated[Path, typer.Option(help="folder of results to write into")],
) -> None:
    """Check a bundle and write its files."""
    open_bundle(bundle).unpack(out)


if __name__ == "__main__":
    run(unpack)
