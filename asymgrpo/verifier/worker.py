"""A worker: a small supervisor and the process that it forks, which judges pairs until a limit ends it.

Limits are the kernel's: processor time by ITIMER_PROF (load on the machine does not shorten it, arithmetic in
C cannot put it off, no `except` swallows it) and address space by RLIMIT_AS. The supervisor has the libraries
loaded and a little warm, so that a replacement costs one fork. Before every pair the judge forgets sympy's
caches and reseeds sympy's random numbers: a verdict is a function of its pair, not of what came before.

Protocol: one JSON array [answer, reference answer, with_fixes] a line on standard input, one verdict a line on standard
output, the next pair only after the verdict. "ready" comes first. In place of either a worker that cannot go on says why, in
one line, and ends: what befalls it from outside is no verdict on a pair.
"""

import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from asymgrpo.verifier.ends import BY_THE_PAIR, RENEW, SPENT, told

PAIRS_PER_FORK = 10_000  # the parser's tables and sympy's registers only grow

# Forms that benchmarks are full of; parsed once, so that every fork finds the parser's tables filled.
WARM_UP = (
    (r"3\sqrt{13} + \frac{1}{2}", r"-\dfrac{3}{4}"),
    ("(x-1)(x+2)", r"x^2 - 3x + 5"),
    (r"\left[0, \frac{1}{2}\right) \cup (3, \infty)", "(-1, 2)"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\{1, 2, 3\}", "x = 5"),
)


def main(cpu_seconds: float, memory_bytes: int) -> None:
    """Fork judges one after another until standard input ends."""
    reply = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not enter the protocol
    from asymgrpo.verifier.judge import judge

    for answer, reference in WARM_UP:
        judge(answer, reference, True)
    gc.freeze()  # keep the collector from touching, and so copying, the shared pages
    if lack := limit_memory(memory_bytes):
        fail(reply, lack)
    os.write(reply, b"ready\n")
    while True:
        try:
            child = os.fork()
        except OSError as error:
            fail(
                reply, f"it cannot start the process that judges ({error.strerror}); free memory, or use fewer workers"
            )
        if child == 0:
            serve(reply, judge, cpu_seconds)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        if status in BY_THE_PAIR:
            os.write(reply, b"timeout\n")
        elif status != RENEW:
            fail(reply, f"the process that judges ended with {told(status)}")


def limit_memory(memory_bytes: int) -> str | None:
    """Bound the address space of this process and its forks to what it has now and so many bytes; else say why it cannot be.

    A pair that had less would get another verdict here than elsewhere.
    """
    own = _address_space()
    size, (_, most) = own + memory_bytes, resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and size > most:
        return (
            f"a process may have {most >> 10} KiB of address space here (ulimit -v), and a worker needs {-(-size >> 10)}; raise "
            "that limit, or lift it"
        )
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    return None


def fail(reply: int, why: str) -> NoReturn:
    """Say why this worker ends, and end it."""
    os.write(reply, why.encode() + b"\n")
    sys.exit(1)


def serve(reply: int, judge: Callable[[str, str, bool], str], cpu_seconds: float) -> None:
    """Judge pairs until input ends (exit status 0), enough of them (RENEW) or a limit; does not return."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for _ in range(PAIRS_PER_FORK):
        line = _read_line()
        if not line:
            os._exit(0)
        pair = json.loads(line)
        # SIGPROF has no handler: it ends the process.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            verdict = judge(*pair)
        except BaseException:
            os._exit(SPENT)
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(reply, verdict.encode() + b"\n")
    os._exit(RENEW)


def _read_line() -> bytes:
    """One line of standard input without reading ahead: a successor must find what this process left."""
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        part = os.read(0, 1 << 16)
        if not part:
            return b""
        parts.append(part)
    return b"".join(parts)


def _address_space() -> int:
    """Bytes of address space of this process."""
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main(cpu_seconds=float(sys.argv[1]), memory_bytes=int(sys.argv[2]))
