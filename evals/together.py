"""Run several programs in one process or a few, which spares starting Python and its libraries for each.

    python -m evals.together MODULE options + MODULE options // MODULE options ++ MODULE options
    python -m evals.together --processes 2 MODULE options // ...
    python -m evals.together --no-frames MODULE options + ...

Each MODULE does what `python -m MODULE options` does: after the one before it (+), beside it (//), or after all before it (++).
With --processes, programs that stand side by side run so (evals.beside), once the modules of all are imported. The first that
fails ends the call, with its exit code. With --no-frames no program here makes frames of pandas, whose import is spared
(asymgrpo.lean).
"""

import gc
import importlib
import os
import runpy
import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import partial

from asymgrpo import console
from asymgrpo.errors import EXIT_WRONG_INPUT
from asymgrpo.lean import arrow_alone, frames_alone, memory_kept, seldom_collected
from evals import beside

AFTER, BESIDE, AFTER_ALL = "+", "//", "++"
NO_FRAMES, PROCESSES = "--no-frames", "--processes"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that Snakemake sets to the cores of a job."""
Program = Sequence[str]
"""The words of a command line, the module first."""


def split(arguments: Sequence[str], separator: str = AFTER) -> list[list[str]]:
    """The groups of words between separators: with AFTER the command lines, the module first in each.

    >>> split(["a", "--scores", "s", "+", "b", "--metrics", "m", "n"])
    [['a', '--scores', 's'], ['b', '--metrics', 'm', 'n']]
    """
    groups: list[list[str]] = [[]]
    for argument in arguments:
        if argument == separator:
            groups.append([])
        else:
            groups[-1].append(argument)
    return groups


def stages_of(arguments: Sequence[str]) -> list[list[list[Program]]]:
    """Stages, whose chains may run side by side; the programs of a chain run one after the other.

    >>> stages_of("a + b // c ++ d --out x".split())
    [[[['a'], ['b']], [['c']]], [[['d', '--out', 'x']]]]
    """
    return [[list(split(chain)) for chain in split(stage, BESIDE)] for stage in split(arguments, AFTER_ALL)]


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


def run_chain(programs: Sequence[Program]) -> int:
    """Programs one after the other, up to the first that fails: its exit code."""
    for module, *options in programs:
        code = run_program(module, options)
        sys.stdout.flush()
        if code:
            console.say_error(f"{module} ended with exit code {code}; programs after it were not run")
            return code
    return 0


def import_all(modules: Iterable[str]) -> None:
    """Import programs of this project, and with them what they use. (They do nothing when they are imported; what a package runs
    is its __main__, so that something it imports stands for it.)"""
    inside = {"evals.figures": "evals.figures.drawn", "evals.claims": "evals.claims.decided"}
    for module in dict.fromkeys(modules):
        if module.startswith("evals."):
            importlib.import_module(inside.get(module, module))
    gc.freeze()  # all of it lives on, and is not to be looked through for garbage


def main() -> int:
    """Run all programs of the command line."""
    console.print_any_letter()
    arguments, processes, frames = sys.argv[1:], 1, True
    if not arguments or arguments[0] == "--help":
        print(__doc__)
        return 0
    while arguments and arguments[0] in (NO_FRAMES, PROCESSES):
        if arguments[0] == NO_FRAMES:
            frames, arguments = False, arguments[1:]
        elif arguments[1:2] and arguments[1].isdecimal() and int(arguments[1]):
            processes, arguments = int(arguments[1]), arguments[2:]
        else:
            console.say_error(f"{PROCESSES} needs a whole number above 0; write {PROCESSES} 2 MODULE options")
            return EXIT_WRONG_INPUT
    stages = stages_of(arguments)
    programs = [program for stage in stages for chain in stage for program in chain]
    if not all(programs):
        console.say_error(
            f"a program's module is missing beside a {AFTER}, {BESIDE} or {AFTER_ALL}; "
            f"write MODULE options {AFTER} MODULE options"
        )
        return EXIT_WRONG_INPUT
    if processes > 1:
        os.environ |= dict.fromkeys(THREADS, "1")  # before numpy and pyarrow are imported: each process has one core
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # lines of several processes, each whole
    if frames:
        frames_alone()  # before a program that makes no frames has pyarrow take pandas for absent
    else:
        arrow_alone()
    if processes > 1:
        import_all(module for module, *_ in programs)
    return beside.in_stages([[partial(run_chain, chain) for chain in stage] for stage in stages], processes)


if __name__ == "__main__":
    seldom_collected()
    memory_kept()
    sys.exit(main())
