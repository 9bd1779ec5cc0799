"""How every tool here is started: as all programs (asymgrpo.console), and with lists that do not repeat the option."""

from collections.abc import Callable, Sequence
from typing import NoReturn

from asymgrpo import console
from asymgrpo.study import settings
from evals import asked


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


def run(*commands: Callable[..., None]) -> NoReturn:
    """Run a command as a program, or several as its subcommands, and exit (asymgrpo.console.run)."""
    console.run(*commands, arguments=lambda given: repeat_options(without_settings(given)))
