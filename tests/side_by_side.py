"""All tests, by two calls of pytest at a time: `make test`. `pytest` alone runs the same tests one after the other.

    python tests/side_by_side.py --workers 2 [options of pytest]

Most tests keep one core busy, or wait. Folders that share what takes long to set up (images, trained runs) are one part; a worker
takes the next part when it has finished one, the longest first. A part is a process of its own, so that no test sees another's
state. Its output is printed as a whole when it ends; until then a line a minute says how many have.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LONGEST_FIRST = (
    ("cluster", "containers"),
    ("workflow",),
    ("training", "trajectories"),
    ("artifacts", "figures", "report"),
    ("docs", "evals"),
    ("gpu", "vllm"),
    ("verifier",),
    ("planner", "tasks"),
)
"""Folders of tests/ that are parts; everything else is the last part."""
MINUTE = 60.0
"""Seconds between signs of life."""
PATIENCE = 1200
"""Seconds for one test: twice those of pyproject.toml, because another part has the other core."""


class Ended(NamedTuple):
    """How a part ended."""

    part: tuple[str, ...]
    code: int
    seconds: float
    said: str


def parts(root: Path = ROOT) -> list[tuple[str, ...]]:
    """What pytest is given in each call. Together they are all that it takes by itself (`testpaths`)."""
    named = [tuple(f"tests/{folder}" for folder in part) for part in LONGEST_FIRST]
    taken = {path for part in named for path in part}
    found = sorted(f"tests/{path.name}" for path in (root / "tests").iterdir() if path.suffix in ("", ".py"))
    rest = [path for path in found if path not in taken and not Path(path).name.startswith(("__", ".", "conftest"))]
    return [*named, (*rest, "asymgrpo", "evals")]


def run(part: tuple[str, ...], options: Sequence[str], workers: int) -> Ended:
    """Run one part. Libraries take one thread where workers share the cores."""
    command = [sys.executable, "-m", "pytest", *part, *options]
    threads = {"OMP_NUM_THREADS": "1"} if workers > 1 else {}
    command += ["-o", f"timeout={PATIENCE}"] if workers > 1 else []
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | threads,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Ended(part, done.returncode, time.monotonic() - began, done.stdout)


def headline(ended: Ended) -> str:
    """
    >>> headline(Ended(("tests/vllm", "tests/gpu"), 0, 125.2, "")), headline(Ended(("tests/docs",), 1, 5.0, ""))
    ('tests/vllm tests/gpu: passed in 125 s', 'tests/docs: FAILED in 5 s')
    """
    return f"{' '.join(ended.part)}: {'FAILED' if ended.code else 'passed'} in {ended.seconds:.0f} s"


def main(arguments: Sequence[str]) -> int:
    """Run all parts; 1 if one of them failed."""
    workers, options = 2, list(arguments)
    if options[:1] == ["--workers"]:
        workers, options = int(options[1]), options[2:]
    ended, began = [], time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(run, part, options, workers) for part in parts()}
        while waiting:
            done, waiting = wait(waiting, timeout=MINUTE, return_when=FIRST_COMPLETED)
            if not done:
                minutes = (time.monotonic() - began) / MINUTE
                print(f"{minutes:.0f} min: {len(ended)} of {len(ended) + len(waiting)} parts have ended", flush=True)
            for one in (future.result() for future in done):
                print(f"\n=== {headline(one)}\n{one.said}", flush=True)
                ended.append(one)
    print(*map(headline, ended), sep="\n")
    return int(any(one.code for one in ended))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
