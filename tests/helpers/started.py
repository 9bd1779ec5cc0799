"""A program of this project, started in the test's own process as `python -m` starts it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

from asymgrpo.console import run


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    stdout: str
    stderr: str


def started(main: Callable[..., None], *arguments: object) -> Ended:
    """Run the program whose options are the parameters of `main`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.argv", ["program", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run(main)
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())
