"""A pool of worker processes, with threads of the caller waiting on them."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from asymgrpo.verifier.verdict import Verdict

CPU_SECONDS = 5.0
"""Processor seconds for one pair, math-verify's own figure; independent of the load of the machine."""
MEMORY_BYTES = 1 << 30
"""Address space that one pair may add to the worker's own."""
WALL_SECONDS = 120.0
"""Backstop for a worker that neither computes nor answers (stopped, or starved beyond 24 to 1)."""


class Worker:
    """One worker process; `judge` blocks until the verdict is there."""

    def __init__(self, cpu_seconds: float, memory_bytes: int, wall_seconds: float):
        self.arguments = [str(cpu_seconds), str(memory_bytes)]
        self.wall_seconds = wall_seconds
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the process without waiting for it."""
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        # A fixed hash seed: the order of sets of symbols must not differ between workers.
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asymgrpo.verifier.worker", *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
            start_new_session=True,  # one group to kill; an interrupt reaches the caller alone
        )
        self.ready = False

    def judge(self, answer: str, gold: str) -> Verdict:
        """Verdict of one pair; a process that stays silent or dies is replaced and counts as a timeout."""
        if self.process is None:
            self.start()
        if not self.ready:
            if self._read_line() != "ready":
                self.close()
                raise RuntimeError(
                    "The verifier's worker process does not start. Check that math-verify is installed: "
                    f"{sys.executable} -m asymgrpo.verifier.worker 5 1000000000"
                )
            self.ready = True
        try:
            self.process.stdin.write(json.dumps([answer, gold]).encode() + b"\n")
            line = self._read_line()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            return Verdict.timeout
        return Verdict(line)

    def _read_line(self) -> str:
        if not select.select([self.process.stdout], [], [], self.wall_seconds)[0]:
            return ""
        return self.process.stdout.readline().decode().strip()

    def close(self) -> None:
        """Kill the process."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None


class Pool:
    """Workers that start with the first pair and live until `close`; a context manager."""

    def __init__(
        self,
        workers: int,
        cpu_seconds: float = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        wall_seconds: float = WALL_SECONDS,
    ):
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}.")
        self.idle: SimpleQueue[Worker] = SimpleQueue()
        self.workers = [Worker(cpu_seconds, memory_bytes, wall_seconds) for _ in range(workers)]
        for worker in self.workers:
            self.idle.put(worker)

    def judge_many(self, pairs: Iterable[tuple[str, str]]) -> list[Verdict]:
        """Verdicts of (answer, gold) pairs, in their order."""
        pairs = list(pairs)
        if not pairs:
            return []
        if len(pairs) == 1:
            return [self._judge(pairs[0])]
        with ThreadPoolExecutor(min(len(self.workers), len(pairs))) as threads:
            return list(threads.map(self._judge, pairs))

    def _judge(self, pair: tuple[str, str]) -> Verdict:
        worker = self.idle.get()
        try:
            return worker.judge(*pair)
        finally:
            self.idle.put(worker)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.close()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
