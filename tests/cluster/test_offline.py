"""Compute nodes have no network: data, base model, training and evaluation run with it cut."""

import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from cluster import ROOT, Snakemake

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

# As on a node: only the loopback device, which a new network namespace leaves down.
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])
"""
CUT = ("unshare", "--net", sys.executable, "-c", LOOPBACK_UP)


@pytest.fixture(scope="module", autouse=True)
def _can_cut():
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("cutting the network needs root and unshare (util-linux)")


def test_the_network_is_cut():
    probe = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    done = subprocess.run([*CUT, sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert "Network is unreachable" in done.stderr


def test_a_study_runs_without_network(tmp_path):
    """And jobs tell the hub's library so: a missing file is an error at once, not a retry of minutes."""
    changes = ("study={arms: [reinforce], seeds: [0]}", "train={steps: 1, evaluate_every: 1}")
    log, results = tmp_path / "log", tmp_path / "results"
    options = ("--cores", "2", "--printshellcmds")
    said = Snakemake(
        "graded", *options, results=results, environment=os.environ, log=log, changes=changes, before=CUT
    ).ended()
    assert pq.read_table(results / "graded/tiny/reinforce/seed0.parquet").num_rows == 8 * 4
    commands = [line for line in said.splitlines() if "-m asymgrpo." in line or "-m evals." in line]
    assert commands
    assert all("HF_HUB_OFFLINE=1" in line for line in commands)


def test_downloads_are_made_where_snakemake_runs(tmp_path):
    """With the profile of the cluster, but the network cut: a download fails here and is not submitted to a node."""
    results = tmp_path / "results"
    command = [
        *(
            *CUT,
            sys.executable,
            "-m",
            "snakemake",
            f"{results}/data/math500.parquet",
            "--profile",
            "slurm",
            "--retries",
            "0",
        ),
        *("--nolock", "--configfile", "config/paper.yaml", "--config", f"results={results}"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "cannot be read from the hub" in said
    assert "sbatch" not in said
