"""A worker process: reads pairs, answers with verdicts; each pair is judged in a fork of its own.

The fork is what makes a verdict a function of its pair alone: every pair starts from the same warm copy of
the libraries, whatever was judged before, and a limit that strikes costs one fork and no restart. Limits are
the kernel's: processor time by ITIMER_PROF (a loaded machine does not shorten it, arithmetic in C cannot put
it off) and address space by RLIMIT_AS.

Protocol: one JSON array [answer, gold] a line on standard input, one verdict a line on standard output.
"""

import gc
import json
import os
import resource
import signal
import sys

# Forms of answer that training and benchmarks are full of: parsed once so that every fork finds the parser's tables filled.
WARM_UP = (
    (r"\frac{1}{2}", r"-\dfrac{3}{4}"),
    (r"3\sqrt{13}+2", r"\sqrt[3]{2}"),
    (r"x^2 - 3x + 5", "(x-1)(x+2)"),
    (r"\left[0, \frac{1}{2}\right) \cup (3, \infty)", "(-1, 2)"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\{1, 2, 3\}", "1, 2"),
    (r"x = 5", "x > 5"),
    (r"\frac{\pi}{4}", r"2\pi e^{3}"),
    (r"12.5\%", "1,000,000"),
    (r"90^\circ", r"5\text{ cm}"),
    (r"\text{odd}", r"\sin(x) + \log_2 3"),
    (r"1 + 2i", r"\frac{a+b}{c}"),
    (r"3 \cdot 10^{8}", r"\binom{5}{2} \cdot 4!"),
)


def main(cpu_seconds: float, memory_bytes: int) -> None:
    """Serve pairs until standard input ends."""
    reply = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not enter the protocol
    from asymgrpo.verifier.judge import judge

    for answer, gold in WARM_UP:
        judge(answer, gold)
    gc.freeze()  # keep the collector from touching, and so copying, the shared pages
    reply.write(b"ready\n")
    for line in sys.stdin.buffer:
        child = os.fork()
        if child == 0:
            _limit(cpu_seconds, memory_bytes)
            answer, gold = json.loads(line)
            _reply_and_exit(reply.fileno(), judge, answer, gold)
        _, status = os.waitpid(child, 0)
        if status != 0:
            reply.write(b"timeout\n")


def _limit(cpu_seconds: float, memory_bytes: int) -> None:
    """Give this process its limits; without a handler SIGPROF ends it, even inside one long C call."""
    in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory_bytes, in_use + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _reply_and_exit(fd: int, judge, answer: str, gold: str) -> None:
    try:
        verdict = judge(answer, gold)
    except BaseException:
        os._exit(1)
    os.write(fd, verdict.encode() + b"\n")
    os._exit(0)


if __name__ == "__main__":
    main(cpu_seconds=float(sys.argv[1]), memory_bytes=int(sys.argv[2]))
