"""Several figures in one process, which spares most of the time of a figure: starting Python and its libraries.

python -m evals.figures training_curves --metrics M.parquet ... --out-prefix F + passk_curves --scores S.parquet --out-prefix G
"""

import importlib
import sys
from collections.abc import Sequence

import typer

from asymgrpo.console import say_error
from asymgrpo.errors import EXIT_WRONG_INPUT, InputError
from evals.cli import understood

SEPARATOR = "+"


def split(arguments: Sequence[str]) -> list[list[str]]:
    """The arguments of each figure, its name first.

    >>> split(["a", "--scores", "s", "+", "b", "--metrics", "m", "n"])
    [['a', '--scores', 's'], ['b', '--metrics', 'm', 'n']]
    """
    groups: list[list[str]] = [[]]
    for argument in arguments:
        if argument == SEPARATOR:
            groups.append([])
        else:
            groups[-1].append(argument)
    return groups


def draw(name: str, options: Sequence[str]) -> None:
    """Draw one figure of evals/figures as its own command line would."""
    module = importlib.import_module(f"evals.figures.{name}")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(module.main)
    app(args=list(options), standalone_mode=False)


def main() -> int:
    name = ""
    try:
        for name, *options in split(sys.argv[1:]):
            draw(name, understood(options))
    except InputError as error:
        say_error(f"{name}: {error}")
        return EXIT_WRONG_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
