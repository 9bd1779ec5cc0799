"""`python -m asymgrpo.study --explain train.truncated`: what a key of a configuration means, and what depends on it.

The name of a section (train, models.NAME.spec) lists its keys. `--write` makes docs/keys.md and config/schema.json anew.
Exit code 2 for a key that does not exist, with the nearest ones.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from asymgrpo.console import print_any_letter
from asymgrpo.errors import EXIT_WRONG_INPUT
from asymgrpo.files import write_text
from asymgrpo.study.keys import KeyUnknown
from asymgrpo.study.stored import ROOT

app = typer.Typer(add_completion=False)


@app.command(help=__doc__, no_args_is_help=True)
def main(
    explain: Annotated[
        str | None, typer.Option(metavar="KEY", help="A key such as train.truncated, or a section.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write docs/keys.md and config/schema.json.")] = False,
) -> None:
    from asymgrpo.study import reference

    print_any_letter()
    try:
        if explain is not None:
            print(reference.explained(explain))
    except KeyUnknown as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_WRONG_INPUT) from None
    if write:
        for name, text in reference.files().items():
            write_text(text, ROOT / name)


if __name__ == "__main__":
    app()
