"""How every tool here is started: lists without repeating the option, errors in one sentence."""

import errno
import sys
from collections.abc import Callable, Sequence

import typer

from asymgrpo.console import print_any_letter
from asymgrpo.errors import EXIT_WRONG_INPUT, InputError
from asymgrpo.study import settings
from asymgrpo.study.config import ConfigError
from evals import asked

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk, a quota or a limit of file sizes is full."""


def repeat_options(arguments: Sequence[str]) -> list[str]:
    """Repeat an option before each further value: `--graded a b` becomes `--graded a --graded b`.

    >>> repeat_options(["--graded", "a", "b", "--out", "x"])
    ['--graded', 'a', '--graded', 'b', '--out', 'x']
    """
    spread: list[str] = []
    option, taken = "", True
    for argument in arguments:
        if argument.startswith("--"):
            option, taken = argument, "=" in argument
        elif option and taken:
            spread.append(option.split("=")[0])
        else:
            taken = True
        spread.append(argument)
    return spread


def without_settings(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--settings JSON` of a table, which every command understands (evals.asked) and none of them sees.

    Raises:
        SettingsError: the settings cannot be read.

    >>> without_settings(["--graded", "a", "--out", "x"])
    ['--graded', 'a', '--out', 'x']
    """
    left = list(arguments)
    asked.ask(None)
    if "--settings" in left and (at := left.index("--settings")) + 1 < len(left):
        found = settings.loads(left[at + 1])
        if found.get("of") == "table":
            asked.ask(found)
            del left[at : at + 2]
    return left


def run(*commands: Callable[..., None]) -> None:
    """Run a command as a typer program, or several as its subcommands.

    An `InputError` or `ConfigError` is printed as one sentence and exits with status 2.
    """
    print_any_letter()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    for command in commands:
        app.command()(command)
    try:
        app(args=repeat_options(without_settings(sys.argv[1:])))
    except (InputError, ConfigError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_WRONG_INPUT)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        typer.echo(f"error: nothing was written: {error}; make room on that disk and run it again", err=True)
        sys.exit(1)
