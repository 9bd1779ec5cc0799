"""How every tool here is started: as all programs (asymgrpo.console), with lists that do not repeat the option, and with @FILE
for a list in a file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from asymgrpo import console
from asymgrpo.errors import DataError
from asymgrpo.files import write_text
from asymgrpo.lean import arrow_alone
from asymgrpo.readers import read_text
from evals import asked


def listed(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, with the lines of FILE in place of @FILE: a command line holds 128 KiB an argument, a study any number of
    files. Write ./@NAME for a file whose name begins so.

    Raises:
        DataError: there is no such file, or it lists nothing.
    """
    for argument in arguments:
        if not argument.startswith("@"):
            yield argument
            continue
        lines = [line for line in read_text(argument[1:]).split("\n") if line]
        if not lines:
            raise DataError(f"{argument[1:]}: lists no files; write one path on each line")
        yield from lines


def without_settings(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--settings JSON` of a table or of counts, which every command understands (evals.asked) and none
    of them sees.

    Raises:
        SettingsError: the settings cannot be read.

    >>> without_settings(["--graded", "a", "--out", "x"])
    ['--graded', 'a', '--out', 'x']
    """
    left = list(arguments)
    asked.ask(None)
    if "--settings" in left and (at := left.index("--settings")) + 1 < len(left):
        # These know every arm; a command without settings need not wait for them.
        from asymgrpo.study import agreement, settings

        found = settings.loads(left[at + 1])
        if found.get("of") in agreement.DERIVED:
            asked.ask(found)
            del left[at : at + 2]
    return left


def run(*commands: Callable[..., None], frames: bool = True) -> NoReturn:
    """Run a command as a program, or several as its subcommands, and exit (asymgrpo.console.run).

    Without `frames` the program makes no frames of pandas, and does not spend a third of a second on importing it.
    """
    if not frames:
        arrow_alone()
    console.run(*commands, arguments=understood)


def print_or_write(text: str, path: Path | None) -> None:
    """Write a page to its file, or print it where none was named."""
    if path:
        write_text(text, path)
    else:
        typer.echo(text)


def understood(arguments: Sequence[str]) -> list[str]:
    """A command line as typer reads it: `listed`, `without_settings`, `console.repeat_options`. Raises InputError as these."""
    return console.repeat_options(without_settings(list(listed(arguments))))
