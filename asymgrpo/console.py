"""The one way a program starts and ends: typed options, every letter printable, one form of error, the codes of asymgrpo.errors.

A program is a module whose last lines are `if __name__ == "__main__": run(main)`; its options are the parameters of `main`.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer
from typer.exceptions import Abort, TyperException

from asymgrpo.errors import EXIT_FAILED, EXIT_PREEMPTED, EXIT_WRONG_INPUT, FailedError, InputError, Preempted

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk, a quota or a limit of file sizes is full."""
NO_PLACE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG),
)
"""What the user named may not be used, or cannot be a file, or a folder, of that name."""
started_as: str | None = None
"""What the user typed in place of `python -m MODULE`, for usage lines; set by asymgrpo.cli."""


def print_any_letter() -> None:
    """Let standard output escape what its encoding lacks (LC_ALL=C), as standard error always does, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say_error(message: str) -> None:
    """Print the user's sentences to standard error, each on its line after `error: `."""
    for line in message.splitlines():
        typer.echo(f"error: {line}", err=True)


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


def run(*commands: Callable[..., None], arguments: Callable[[Sequence[str]], list[str]] = list) -> NoReturn:
    """Run a command as a program, or several as its subcommands, and exit.

    Args:
        commands: functions whose annotated parameters are the options, and whose docstring (else their module's) is the help.
        arguments: rewrites the command line before it is read; its errors count as the command's own.
    """
    print_any_letter()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    for command in commands:
        app.command(help=command.__doc__ or sys.modules[command.__module__].__doc__)(command)
    sys.exit(exit_code(lambda: app(args=arguments(sys.argv[1:]), prog_name=started_as, standalone_mode=False)))


def exit_code(program: Callable[[], object]) -> int:
    """The exit code of a program, after its error was printed; an error that is not the user's keeps its traceback."""
    try:
        found = program()
        sys.stdout.flush()
    except TyperException as error:
        path = getattr(getattr(error, "ctx", None), "command_path", None)
        say_error(error.format_message() + (f" ({path} --help lists what there is)" if path else ""))
        return error.exit_code
    except InputError as error:
        say_error(str(error))
        return EXIT_WRONG_INPUT
    except FailedError as error:
        say_error(str(error))
    except Preempted as stopped:
        typer.echo(str(stopped), err=True)
        return EXIT_PREEMPTED
    except Abort:
        say_error("interrupted")
    except OSError as error:
        return _of_system(error)
    else:
        return found if isinstance(found, int) else 0
    return EXIT_FAILED


def _of_system(error: OSError) -> int:
    """The exit code after an error of the system, which was said. Raises it again where it is not the user's."""
    if error.errno == errno.EPIPE:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes
    elif error.errno in NO_ROOM:
        say_error(f"nothing was written: {error}; make room on that disk and run it again")
    elif error.errno in NO_PLACE and error.filename is not None:
        place = error.filename if error.filename2 is None else error.filename2
        say_error(f"{place}: cannot be used ({error.strerror}); name another path, or change what is there")
        return EXIT_WRONG_INPUT
    else:
        raise error
    return EXIT_FAILED
