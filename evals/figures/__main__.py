"""Draw a figure of evals/figures/table.py.

python -m evals.figures training_curves --metrics M.parquet ... --out-prefix F
python -m evals.figures passk_curves --help
"""

import importlib
import inspect
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from asymgrpo import console
from asymgrpo.errors import InputError
from evals.cli import understood
from evals.figures.table import FIGURES

OutPrefix = Annotated[Path, typer.Option(help="path of the pictures without ending")]


def draw(name: str, options: Sequence[str]) -> None:
    """Draw one figure: its options are the parameters of its `draw`, and --out-prefix.

    Raises:
        InputError: there is no such figure, or one of its inputs is wrong.
    """
    if name not in FIGURES:
        raise InputError(f"there is no figure of this name; there are {', '.join(FIGURES)}")
    from evals.figures import drawn  # not before a figure is named, since matplotlib takes long

    module = importlib.import_module(f"evals.figures.{FIGURES[name].drawn_by or name}")
    make = partial(module.draw, FIGURES[name].arms) if FIGURES[name].drawn_by else module.draw

    def command(out_prefix: Path, **inputs: Any) -> None:
        drawn.save(name, make(**inputs), module, out_prefix)

    parameters = [
        *inspect.signature(make).parameters.values(),
        inspect.Parameter("out_prefix", inspect.Parameter.KEYWORD_ONLY, annotation=OutPrefix),
    ]
    # typer reads both.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=module.__doc__)(command)
    app(args=list(options), prog_name=f"python -m evals.figures {name}", standalone_mode=False)


def draw_named(name: str, options: Sequence[str]) -> None:
    """The same for a command line as it is typed. The error begins with the name: in a log, the figure is one of several."""
    try:
        draw(name, understood(options))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def main() -> int:
    console.print_any_letter()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] == "--help":
        typer.echo(f"{__doc__}\nFigures: {', '.join(FIGURES)}.")
        return 0
    return console.exit_code(lambda: draw_named(arguments[0], arguments[1:]))


if __name__ == "__main__":
    sys.exit(main())
