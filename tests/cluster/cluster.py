"""A real SLURM for tests, and Snakemake on it: start, look, wait, disturb."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from asymgrpo.surroundings import EXPECTS_GPU
from evals.cost.slurm import FIELDS, job_costs

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
STUDY = "tests/cluster/study.yaml"
PROGRAMS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "sbatch")
PATIENCE = 900
"""Seconds that a test waits for one event: a minute at most on a quiet machine."""
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> str:
    """Why SLURM cannot be started here, or nothing."""
    if os.geteuid() != 0:
        return "starting a SLURM needs root"
    absent = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    return f"{', '.join(absent)} not installed: run .ci/system.sh" if absent else ""


def wait_for(what: str, found: Callable[[], object], seconds: float = PATIENCE, every: float = 0.2):
    """The first true value of `found()`; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(every)
    return value


class Cluster:
    """SLURM's daemons below one folder."""

    def __init__(self, root: Path):
        self.root = root
        self.environment = os.environ | {"SLURM_ROOT": str(root), "SLURM_CONF": f"{root}/etc/slurm.conf"}
        self.environment[EXPECTS_GPU] = "0"  # its GPUs are pretended

    def up(self) -> None:
        self._script("slurm_up.sh")

    def down(self) -> None:
        self._script("slurm_down.sh")

    def _script(self, name: str) -> None:
        done = subprocess.run([HERE / name], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *command: str) -> str:
        """Output of a SLURM command, which must succeed."""
        done = self._done(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def _done(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def job(self, comment: str, after: str = "0") -> str:
        """Number of the queued job with this comment (rule and wildcards), and a later number; empty if there is none."""
        for line in self.run("squeue", "--noheader", "--states=all", "--format=%A|%k|%T").splitlines():
            number, found, state = line.split("|")
            if found == comment and state in ("PENDING", "RUNNING") and int(number) > int(after):
                return number
        return ""

    def fields(self, number: str) -> dict[str, str]:
        """What SLURM says of a job: JobState, Restarts, NodeList, ..."""
        words = self.run("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def states(self, rule: str, results: Path, **wildcards: str) -> list[str]:
        """How every start of every job of a study's rule ended, oldest first."""
        columns = f"--format={','.join(FIELDS)}"
        text = self.run("sacct", "--duplicates", "--noheader", "--parsable2", "--starttime=now-1days", columns)
        costs = [cost for cost in job_costs(text, results) if (cost.rule, cost.wildcards) == (rule, wildcards)]
        return [cost.state for cost in sorted(costs, key=lambda cost: int(cost.job_id))]

    def release(self) -> None:
        """Start requeued jobs now: SLURM holds them back for two minutes."""
        for line in self.run("squeue", "--noheader", "--states=PENDING", "--format=%A|%r").splitlines():
            number, reason = line.split("|")
            if reason == "BeginTime":
                self.start_now(number)

    def start_now(self, number: str) -> None:
        """Start a job that waits for its time. Another thread, or SLURM itself, may have started it since somebody looked."""
        done = self._done("scontrol", "update", f"jobid={number}", "StartTime=now")
        assert done.returncode == 0 or "no longer pending" in done.stderr, done.stderr

    def stall(self, number: str) -> None:
        """A job that hangs: its processes are stopped until something kills them; SLURM's keepers of its steps are well."""
        for process in self.processes(number)[1]:
            _send(process, signal.SIGSTOP)

    def kill_node(self, node: str) -> None:
        """The node dies: its daemon, and every process of its jobs."""
        lines = [line.split() for line in (self.root / "pids").read_text().splitlines()]
        daemons = [psutil.Process(int(number)) for number, name in lines if name == f"slurmd-{node}"]
        jobs = self.run("squeue", "--noheader", "--format=%A", "--nodelist", node).split()
        inside = [process for number in jobs for kind in self.processes(number) for process in kind]
        for process in (*daemons, *inside):
            _send(process, signal.SIGKILL)

    def training(self, number: str) -> psutil.Process | None:
        """A job's training process, once its signal handlers are there."""
        for process in self.processes(number)[1]:
            with contextlib.suppress(psutil.Error, OSError):
                line = " ".join(process.cmdline())
                caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
                ready = caught and int(caught[1], 16) >> (signal.SIGUSR1 - 1) & 1
                if "-W ignore -m asymgrpo.training " in line and ready:
                    return process
        return None

    def processes(self, number: str) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """SLURM's own keepers of a job's steps, and the job's processes."""
        keepers, workers = [], []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if f"slurmstepd: [{number}." in " ".join(process.cmdline()):
                    keepers.append(process)
                elif process.environ().get("SLURM_JOB_ID") == number:
                    workers.append(process)
        return keepers, workers

    def revive_node(self, node: str) -> None:
        command = ["slurmd", "-D", "-N", node, "-f", f"{self.root}/etc/slurm.conf"]
        with (self.root / "log" / f"slurmd-{node}.out").open("a") as log:
            daemon = subprocess.Popen(
                command, env=self.environment | {"PATH": PATH}, stdout=log, stderr=log, start_new_session=True
            )
        with (self.root / "pids").open("a") as pids:
            pids.write(f"{daemon.pid} slurmd-{node}\n")


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


class Snakemake:
    """One call of Snakemake in the background, with its results in a folder of the test."""

    def __init__(
        self,
        *arguments: str,
        results: Path,
        environment: Mapping[str, str],
        log: Path,
        study: str = STUDY,
        changes: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
    ):
        command = [
            *(*before, sys.executable, "-m", "snakemake", *arguments, "--nolock", "--configfile", study),
            *("--config", f"results={results}", f"checkpoints={results}-checkpoints", *changes),
        ]
        self.log = log
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )

    def ended(self, seconds: float = 2 * PATIENCE) -> str:
        """What it printed; it must end well, and in time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"snakemake still runs after {seconds} s:\n{self.log.read_text()[-5000:]}") from None
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        assert code == 0, self.log.read_text()[-5000:]
        return self.log.read_text()


UNEQUAL = ("benchmarks", "logs", "timings.parquet", "sampled_from.json")
"""Folders and files below results that hold clock times, and the one that names the image of its job."""


def digests(results: Path) -> dict[str, str]:
    """Path below results -> sha256 of every file that must not depend on where and when the study ran."""
    files = [path for path in sorted(results.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not set(path.relative_to(results).parts) & set(UNEQUAL)
    }
