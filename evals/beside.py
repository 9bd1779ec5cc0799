"""Work in stages, shared out among processes that are forked once: what is imported before is imported for all of them.

Whoever is free takes the next piece, so that pieces need not be divided up in advance. Queue and barrier of a stage are pipes,
which the kernel closes for a process that dies: nobody waits for it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from asymgrpo import console

Piece = Callable[[], int]
"""Does something, and returns an exit code."""

WORD = 2
"""Bytes of a piece's number in the queue."""


class _Stage(NamedTuple):
    """The pieces of a stage; `queue` holds the numbers of those that nobody has taken, `others` is read to wait for all."""

    pieces: Sequence[Piece]
    queue: int
    others: int
    done: int
    """Closed when this process has nothing left to do; with something written before, the call has failed."""


def in_stages(stages: Sequence[Sequence[Piece]], processes: int) -> int:
    """Run all pieces, those of a stage side by side and in any order, each stage after the one before.

    A piece that fails ends the call: those at work are finished, and no other is begun.

    Returns:
        the exit code of a piece that failed, 0 if none did.
    """
    if processes == 1:
        return next((code for stage in stages for piece in stage if (code := piece())), 0)
    shared = [_Stage(pieces, _filled(len(pieces)), *os.pipe()) for pieces in stages]
    parent, context = os.getpid(), multiprocessing.get_context("fork")
    children = [
        context.Process(target=lambda: sys.exit(_work(shared, processes, parent)), daemon=True)
        for _ in range(processes - 1)
    ]
    for child in children:
        child.start()
    codes = [_work(shared, processes, parent)]
    for child in children:
        child.join()
        codes.append(child.exitcode or 0)
    for stage in shared:
        os.close(stage.queue)
        os.close(stage.others)
    if killed := [-code for code in codes if code < 0]:
        console.say_error(f"a process was killed by signal {killed[0]}")
    return next((code if code > 0 else 1 for code in codes if code), 0)


def _filled(number: int) -> int:
    """The end of a pipe that holds the numbers below `number`."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(i.to_bytes(WORD, "big") for i in range(number)))
    os.close(writing)
    return reading


def _work(stages: Sequence[_Stage], processes: int, parent: int) -> int:
    """What each process does. `parent`: the process whose death ends the others."""
    left = [stage.done for stage in stages]
    try:
        for stage in stages:
            while taken := os.read(stage.queue, WORD):
                if parent not in (os.getpid(), os.getppid()):
                    return 1
                if code := stage.pieces[int.from_bytes(taken, "big")]():
                    while os.read(stage.queue, 1 << 16):  # no other is begun
                        pass
                    os.write(stage.done, b"!" * processes)
                    return code
            os.close(left.pop(0))
            if os.read(stage.others, 1):
                return 0
        return 0
    finally:
        for end in left:
            os.close(end)
