"""Run several programs one after the other in one process, which spares starting Python and its libraries for each.

    python -m evals.together MODULE options + MODULE options + ...
    python -m evals.together --no-frames MODULE options + ...

Each MODULE does what `python -m MODULE options` does. The first that fails ends the call, with its exit code. With --no-frames
no program here makes frames of pandas, whose import is spared (asymgrpo.lean).
"""

import runpy
import sys
import warnings
from collections.abc import Sequence

from asymgrpo import console
from asymgrpo.errors import EXIT_WRONG_INPUT
from asymgrpo.lean import arrow_alone, frames_alone, seldom_collected

SEPARATOR = "+"
NO_FRAMES = "--no-frames"


def split(arguments: Sequence[str]) -> list[list[str]]:
    """The command lines, the module first in each.

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


def run_program(module: str, options: Sequence[str]) -> int:
    """The exit code of `python -m MODULE options`, run here."""
    before, sys.argv = sys.argv, [module, *options]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")  # another one has imported it
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return 0


def main() -> int:
    """Run all programs of the command line."""
    console.print_any_letter()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] == "--help":
        print(__doc__)
        return 0
    if arguments[0] == NO_FRAMES:
        arrow_alone()
        arguments = arguments[1:]
    else:
        frames_alone()  # before a program that makes no frames has pyarrow take pandas for absent
    programs = split(arguments)
    if any(not words for words in programs):
        console.say_error(
            f"a program's module is missing beside a {SEPARATOR}; write MODULE options {SEPARATOR} MODULE options"
        )
        return EXIT_WRONG_INPUT
    for module, *options in programs:
        if code := run_program(module, options):
            console.say_error(f"{module} ended with exit code {code}; programs after it were not run")
            return code
    return 0


if __name__ == "__main__":
    seldom_collected()
    sys.exit(main())
