"""`python -m asymgrpo.study --explain train.truncated`: what a key of a configuration means, and what depends on it.

The name of a section (train, models.NAME.spec) lists its keys. `--write` makes docs/keys.md and config/schema.json anew.
Exit code 2 for a key that does not exist, with the nearest ones.
"""

from __future__ import annotations

from typing import Annotated

import typer

from asymgrpo.console import run
from asymgrpo.errors import InputError
from asymgrpo.files import write_text
from asymgrpo.study.stored import ROOT


def main(
    explain: Annotated[
        str | None, typer.Option(metavar="KEY", help="A key such as train.truncated, or a section.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write docs/keys.md and config/schema.json.")] = False,
) -> None:
    from asymgrpo.study import reference

    if explain is None and not write:
        raise InputError("give --explain KEY, a key such as train.truncated or a section; or --write")
    if explain is not None:
        print(reference.explained(explain))
    if write:
        for name, text in reference.files().items():
            write_text(text, ROOT / name)


if __name__ == "__main__":
    run(main)
