"""`python -m workflow.document --settings FILE --out FILE`: the configuration of a study as a file for readers (rule study)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.console import run
from asymgrpo.files import write_text
from asymgrpo.study.stored import document


def main(
    settings: Annotated[Path, typer.Option(help="JSON file with the settings of the study")],
    out: Annotated[Path, typer.Option(help="file to write (JSON)")],
) -> None:
    told = json.loads(settings.read_text(encoding="utf-8"))
    write_text(document({key: value for key, value in told.items() if key != "of"}), out)


if __name__ == "__main__":
    run(main)
