"""How these tests call Snakemake on the mini study: for real in a process, or dry in a fork of one that has only imported it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINI = "tests/workflow/mini.yaml"
LEADING = ("job", "total", "all")
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snakemake.cli"])


def arguments(results: Path, *changes: str) -> list[str]:
    """Those of a call on the mini study with its results in a folder of the test."""
    places = (f"results={results}", f"checkpoints={results}-checkpoints")
    return ["--configfile", MINI, "--config", *places, *changes, "--nolock", "--cores", "1"]


def run_mini(
    *words: str, results: Path, changes: tuple[str, ...] = (), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run `snakemake WORDS` at the repository's root; fails the test if it fails and `check`."""
    command = [sys.executable, "-m", "snakemake", *words, *arguments(results, *changes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def said(out: Path, *words: str) -> str:
    """What `snakemake WORDS` says, written to `out` on its way.

    The call is a fork of a server that has imported Snakemake and nothing else: pytest's own process has threads and settings of
    logging from every test before.
    """
    process = SERVER.Process(target=_call, args=(out, words))
    process.start()
    process.join(300)
    assert process.exitcode in (0, 1), f"snakemake {' '.join(words)} ended with {process.exitcode}"
    return out.read_text(encoding="utf-8")


def _call(out: Path, words: tuple[str, ...]) -> None:
    os.chdir(ROOT)
    handle = os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    from snakemake.cli import main

    main(list(words))


def planned(text: str) -> dict[str, int]:
    """Rule -> number of jobs, from what a dry run said; empty when there is nothing to do."""
    assert "This was a dry-run" in text or "Nothing to be done" in text, text
    found = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2 and parts[1].isdigit() and parts[0] not in LEADING and not parts[0].endswith(":"):
            found[parts[0]] = int(parts[1])
    return found
