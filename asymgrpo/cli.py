"""The command `asymgrpo`: `asymgrpo NAME ...` does what `python -m MODULE ...` does, and imports that module only.

Which names there are: asymgrpo/commands.py.
"""

from __future__ import annotations

import difflib
import os
import re
import runpy
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from asymgrpo import console
from asymgrpo.commands import COMMANDS, GROUPS, Command
from asymgrpo.errors import EXIT_FAILED, EXIT_PREEMPTED, EXIT_WRONG_INPUT

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, if this is one."""
OURS = ("asymgrpo", "evals", "workflow", "containers")
WIDTH = 110
"""Columns of an example."""
BREAK = " \\\n    "
USAGE = """\
Usage: asymgrpo NAME [OPTIONS]; `asymgrpo NAME --help` lists the options of NAME.

A study runs by `snakemake` in a checkout (README.md); these commands serve before, beside and after it.
"""
CODES = f"""\
Exit codes: 0 done; {EXIT_WRONG_INPUT} the input is wrong; {EXIT_PREEMPTED} stopped with the state saved, run it again; \
{EXIT_FAILED} anything else.
"""


def typed(command: Command) -> str:
    """The example of a command as it is typed, in lines of at most WIDTH columns.

    >>> typed(Command("arms", "m", "Print.", "asymgrpo"))
    'asymgrpo arms asymgrpo'
    """
    first, *options = re.split(" (?=--)", f"asymgrpo {command.name} {command.example}")
    lines = [first]
    for option in options:
        if len(lines[-1]) + 1 + len(option) > WIDTH - len(BREAK):
            lines.append(option)
        else:
            lines[-1] += f" {option}"
    return BREAK.join(lines)


def needs(command: Command) -> str:
    """What a command needs beyond `pip install .`: an extra of pyproject.toml, a checkout."""
    return ", ".join([command.extra] * bool(command.extra) + ["a checkout"] * bool(command.checkout))


def listing() -> str:
    """What `asymgrpo --help` prints."""
    parts = [USAGE]
    for title, group in GROUPS.items():
        parts.append(f"{title}\n")
        parts += [f"  {c.name}: {c.does}\n{textwrap.indent(typed(c), ' ' * 6)}\n" for c in group]
    return "\n".join([*parts, CODES])


def document() -> str:
    """docs/commands.md."""
    parts = [
        f"""\
# Commands

Written by `python -m asymgrpo --markdown > docs/commands.md`; change `asymgrpo/commands.py` instead.

`asymgrpo NAME ...` does what `python -m MODULE ...` does. `asymgrpo --help` prints this list, `asymgrpo NAME --help` the
options of NAME. A study itself runs by `snakemake` in a checkout.

| installed by | gives `asymgrpo` | with |
|---|---|---|
| `make` (or `make test`, `make reproduce`) | in `.venv/bin` | every package of `requirements/cpu.lock` |
| `uv pip install --no-deps -r requirements/cpu.lock -e .` | in your environment | the same packages |
| `pip install .` | in your environment | newest packages that pyproject.toml allows |
| `pip install ".[report,train]"` | in your environment | the same, and extras |

Extras are `report` (figures, page, crate), `workflow` (Snakemake, SLURM), `train` (training and sampling by torch), `vllm`, `gpu`
(as the GPU images) and `lm-eval`.

| exit code | meaning |
|---|---|
| 0 | done |
| {EXIT_WRONG_INPUT} | the input is wrong; nothing was computed |
| {EXIT_PREEMPTED} | stopped by a signal or a time limit with the state saved; run the same command again |
| {EXIT_FAILED} | anything else |

An error is one sentence on standard error, after `error: `; several are one a line.
"""
    ]
    for title, group in GROUPS.items():
        rows = "\n".join(f"| `{c.name}` | {c.does} | {needs(c)} | `{c.module}` |" for c in group)
        examples = "\n".join(typed(c) for c in group)
        parts.append(
            f"## {title}\n\n| command | what it does | needs | module |\n|---|---|---|---|\n{rows}\n\n```bash\n{examples}\n```\n"
        )
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Start the program that the first argument names, with the others as its arguments; exit as it does."""
    name, *others = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h", "--markdown"):
        console.print_any_letter()
        print(document() if name == "--markdown" else listing(), end="")
        sys.exit(0)
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        console.say_error(f"{name!r} is not a command of asymgrpo.{meant} It has {', '.join(COMMANDS)}.")
        sys.exit(EXIT_WRONG_INPUT)
    _start(COMMANDS[name], others)


def _start(command: Command, arguments: Sequence[str]) -> NoReturn:
    if command.checkout and not (ROOT / command.checkout).is_file():
        console.say_error(
            f"{command.name} needs a checkout of the project, where {command.checkout} is; start it there."
        )
        sys.exit(EXIT_WRONG_INPUT)
    if command.module.endswith(".py"):
        os.execv(sys.executable, [sys.executable, str(ROOT / command.module), *arguments])
    console.started_as = f"asymgrpo {command.name}"
    sys.argv[1:] = arguments
    try:
        runpy.run_module(command.module, run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as missing:
        if not command.extra or (missing.name or "").split(".")[0] in OURS:
            raise
        console.say_error(
            f"{command.name} needs {missing.name}, which is not installed; run make in the checkout, or "
            f"pip install '.[{command.extra}]'."
        )
        sys.exit(EXIT_FAILED)
    sys.exit(0)
