"""A pool of worker processes; threads of the caller wait on them."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import LifoQueue

from asymgrpo.errors import FailedError
from asymgrpo.verifier.ends import told
from asymgrpo.verifier.verdict import Verdict

CPU_SECONDS = 5.0
"""Processor seconds for one pair (math-verify's own figure), whatever the load of the machine."""
MEMORY_BYTES = 1 << 30
"""Address space that judging may add to the worker's own."""
WALL_SECONDS = 120.0
"""Backstop for a worker that neither computes nor answers: stopped, or starved beyond 24 to 1."""
VERDICTS = frozenset(Verdict)
BY_HAND = f"; the reason is shown by: {sys.executable} -m asymgrpo.verifier.worker 5 1000000000 < /dev/null"


class Worker:
    """One worker process and the pipes to it."""

    def __init__(self, cpu_seconds: float, memory_bytes: int, wall_seconds: float):
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.wall_seconds = wall_seconds
        self.ready = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asymgrpo.verifier.worker", str(cpu_seconds), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A fixed hash seed: the order of sets of symbols must not differ between workers.
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
            bufsize=0,
            start_new_session=True,  # one group to kill; a Ctrl-C reaches the caller alone
        )

    def judge(self, answer: str, reference: str, with_fixes: bool) -> Verdict | None:
        """Verdict of one pair; None if the process was silent for the whole wall time.

        Raises:
            FailedError: the process has ended, or says why it must. That is no verdict on the pair.
        """
        assert self.process.stdin is not None
        self._start()
        with contextlib.suppress(BrokenPipeError):  # what is read then says more
            _write_all(self.process.stdin.fileno(), json.dumps([answer, reference, with_fixes]).encode() + b"\n")
        line = self._read_line()
        if line is None:
            return None
        if line not in VERDICTS:
            raise FailedError(
                f"The verifier's worker has failed: {line or self._end()}. Then start the same command again."
            )
        return Verdict(line)

    def _start(self) -> None:
        """Wait until the process is ready. Raises FailedError when it will not be."""
        if not self.ready and (line := self._read_line()) != "ready":
            raise FailedError(f"The verifier's worker does not start{f': {line}' if line else BY_HAND}.")
        self.ready = True

    def _read_line(self) -> str | None:
        """The next line; empty if the process has ended, None if it was silent for the whole wall time."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], self.wall_seconds)[0]:
            return None
        return self.process.stdout.readline().decode().strip()

    def _end(self) -> str:
        """How the process ended, as a clause."""
        return f"it ended with {told(self.process.wait())}"

    def kill(self) -> None:
        """End the process and its fork."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Pool:
    """Workers that start when a pair needs them and live until `close`; a context manager."""

    def __init__(self, workers: int, cpu_seconds: float, memory_bytes: int, wall_seconds: float):
        if workers < 1:
            raise ValueError(f"The verifier needs at least 1 worker, not {workers}.")
        self.limits = (cpu_seconds, memory_bytes, wall_seconds)
        self.size = workers
        self.slots: LifoQueue[Worker | None] = LifoQueue()  # last used first: a single pair finds a warm one
        for _ in range(workers):
            self.slots.put(None)

    def judge_many(self, pairs: Sequence[tuple[str, str]], with_fixes: bool = True) -> list[Verdict]:
        """Verdicts of (answer, reference answer) pairs, in their order; `with_fixes=False` is math-verify alone."""
        if len(pairs) < 2:
            return [self._judge(pair, with_fixes) for pair in pairs]
        with ThreadPoolExecutor(min(self.size, len(pairs))) as threads:
            return list(threads.map(self._judge, pairs, [with_fixes] * len(pairs)))

    def _judge(self, pair: tuple[str, str], with_fixes: bool) -> Verdict:
        worker = self.slots.get()
        alive = False
        try:
            worker = worker or Worker(*self.limits)
            verdict = worker.judge(*pair, with_fixes)
            alive = verdict is not None
            return verdict or Verdict.timeout
        finally:
            if worker is not None and not alive:
                worker.kill()
            self.slots.put(worker if alive else None)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers; the pool can be used again afterwards."""
        for _ in range(self.size):
            worker = self.slots.get()
            if worker is not None:
                worker.kill()
        for _ in range(self.size):
            self.slots.put(None)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
