"""`python -m evals.figures.NAME`, which would define functions and draw nothing, is refused for every module of this folder."""

import sys
from collections.abc import Sequence

from asymgrpo.errors import EXIT_WRONG_INPUT
from evals.figures.table import FIGURES


def figures_of(module: str) -> list[str]:
    """The figures that a module of this folder draws.

    >>> figures_of("passk_curves"), figures_of("arms_compared"), figures_of("style")
    (['passk_curves'], ['entropy_accuracy', 'reversal', 'synergy'], [])
    """
    return [name for name, entry in FIGURES.items() if module == (entry.drawn_by or name)]


def refusal(module: str) -> str:
    """What is said of such a call.

    >>> refusal("plane")
    'python -m evals.figures.plane draws nothing; the command is python -m evals.figures plane, with the same options'
    """
    names = figures_of(module)
    command = f"python -m evals.figures {names[0] if len(names) == 1 else 'NAME'}, with the same options"
    which = "" if len(names) == 1 else f", where NAME is one of {', '.join(names or FIGURES)}"
    return f"python -m evals.figures.{module} draws nothing; the command is {command}{which}"


def refuse_a_module(words: Sequence[str]) -> None:
    """End the process, if its command line (`sys.orig_argv`) names a module of this folder as its program."""
    start = f"{__package__}."
    called = next((word.removeprefix("-m") for word in words if word.removeprefix("-m").startswith(start)), None)
    if called is None or called == f"{start}__main__":
        return
    from asymgrpo import console

    console.say_error(refusal(called.removeprefix(start)))
    sys.exit(EXIT_WRONG_INPUT)
