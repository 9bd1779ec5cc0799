"""Who meets where: from torchrun's variables, from SLURM's, or alone; and how the launcher starts ranks."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.training.rendezvous import (
    FIRST_PORT,
    PORTS,
    SRUN,
    TORCHRUN,
    Meeting,
    RendezvousError,
    find_meeting,
    job_port,
)
from tests.helpers.runs import ROOT
from workflow.slurm.launch import LaunchError, launched

COMMAND = ["env", "A=1", "python", "-W", "ignore", "-m", "asymgrpo.training", "--model=x"]


def hosts(nodes: str) -> list[str]:
    return {"node[1-2]": ["node1", "node2"], "gpu7": ["gpu7"]}[nodes]


def found(environment) -> Meeting:
    return find_meeting(environment, hosts, lambda: 4242)


def srun(rank: int, ranks: int = 4) -> dict[str, str]:
    """As srun sets it in a step of two nodes."""
    step = {"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "node[1-2]"}
    task = {"SLURM_PROCID": f"{rank}", "SLURM_LOCALID": f"{rank % (ranks // 2)}", "SLURM_STEP_NUM_TASKS": f"{ranks}"}
    return step | task


@given(st.integers(0, 63), st.integers(0, 7), st.integers(1, 64), st.integers(1, 65535))
def test_torchrun_is_believed(rank, local_rank, world_size, port):
    expected = Meeting(rank, local_rank, world_size, "host", port)
    assert found(expected.environment()) == expected
    assert found(expected.environment() | srun(1)) == expected, "also inside an srun step"


@given(st.integers(1, 32).map(lambda n: 2 * n))
def test_the_ranks_of_an_srun_step_agree(ranks):
    meetings = [found(srun(rank, ranks)) for rank in range(ranks)]
    assert [m.rank for m in meetings] == list(range(ranks))
    assert {(m.world_size, m.address, m.port) for m in meetings} == {(ranks, "node1", job_port(17, 0))}
    assert sorted(m.local_rank for m in meetings) == sorted([*range(ranks // 2)] * 2)


@given(st.integers(1, 10**9), st.integers(0, 1000))
def test_ports_are_allowed_and_neighbours_differ(job, step):
    assert FIRST_PORT <= job_port(job, step) < FIRST_PORT + PORTS <= 32768
    assert len({job_port(job + i, step) for i in range(100)}) == 100


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "17"},  # a batch script, not a step
        srun(0) | {"SLURM_STEP_NUM_TASKS": "1"},  # Snakemake's own step
    ],
)
def test_alone(environment):
    assert found(environment) == Meeting(0, 0, 1, "127.0.0.1", 4242)


@pytest.mark.parametrize("name", TORCHRUN[1:])
def test_half_of_torchruns_variables_are_refused(name):
    environment = Meeting(0, 0, 2, "host", 1).environment()
    del environment[name]
    with pytest.raises(
        RendezvousError, match=f"RANK is set, but {name} is not set; start the ranks by torchrun or srun"
    ):
        found(environment)


@pytest.mark.parametrize("name", SRUN)
def test_half_of_sruns_variables_are_refused(name):
    environment = srun(1)
    del environment[name]
    with pytest.raises(RendezvousError, match=f"srun started 4 tasks, but {name} is not set"):
        found(environment)


def test_one_rank_is_started_as_it_is():
    for environment in ({}, {"SLURM_JOB_ID": "17"}):
        assert launched(COMMAND, environment, nodes=1, ranks_per_node=1, cpus=8, gpus=True) == COMMAND


def test_several_ranks_on_one_node_are_started_by_torchrun():
    command = launched(COMMAND, {}, nodes=1, ranks_per_node=4, cpus=8, gpus=True)
    assert command[:6] == COMMAND[:6]
    assert command[6:9] == ["torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    assert command[-3:] == ["-m", *COMMAND[6:]]


def test_several_nodes_need_slurm():
    with pytest.raises(LaunchError, match=r"train\.nodes = 2, but this is no SLURM job; .*--profile slurm"):
        launched(COMMAND, {}, nodes=2, ranks_per_node=4, cpus=8, gpus=True)


@pytest.mark.parametrize("gpus", [False, True])
def test_inside_a_slurm_job_srun_starts_the_ranks(gpus):
    command = launched(COMMAND, {"SLURM_JOB_ID": "17"}, nodes=2, ranks_per_node=4, cpus=8, gpus=gpus)
    at = command.index(sys.executable)
    assert command[0] == "srun"
    assert {"--nodes=2", "--ntasks=8", "--ntasks-per-node=4", "--cpus-per-task=8", "--kill-on-bad-exit=1"} <= set(
        command
    )
    assert ("--gpus=8" in command) == gpus
    assert command[at:] == [sys.executable, "-m", "asymgrpo.training.rendezvous", *COMMAND]


FAKE_SRUN = """#!/bin/bash
# Two tasks, as srun would start them in a step of two nodes.
while [[ "$1" == --* ]]; do shift; done
for rank in 0 1; do
    SLURM_PROCID=$rank SLURM_LOCALID=0 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST='n[1-2]' "$@" &
done
wait
"""
FAKE_SCONTROL = """#!/bin/bash
[ "$*" = "show hostnames n[1-2]" ] && printf 'n1\\nn2\\n'
"""
SAYS = """import os
names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "APPTAINERENV_RANK", "OMP_NUM_THREADS")
os.write(1, (" ".join(os.environ[n] for n in names) + chr(10)).encode())  # one write: the ranks share the pipe
"""


def test_the_launcher_passes_a_command_on_as_it_is(tmp_path):
    """Also words that are options of the launcher, and a second --."""
    (tmp_path / "operation.json").write_text('{"nodes": 1, "ranks_per_node": 1}')
    words = ["--gpus", "--operation", "x y", "--", "--help", ""]
    start = [sys.executable, "-m", "workflow.slurm.launch", "--gpus", "--operation", str(tmp_path / "operation.json")]
    says = [sys.executable, "-c", "import sys; print(sys.argv[1:])", *words]
    done = subprocess.run([*start, "--cpus-per-rank", "3", "--", *says], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{words}\n")


def test_the_launcher_refuses_nodes_without_slurm(tmp_path):
    (tmp_path / "operation.json").write_text('{"nodes": 2, "ranks_per_node": 1}')
    start = [sys.executable, "-m", "workflow.slurm.launch", "--operation", str(tmp_path / "operation.json")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    done = subprocess.run(
        [*start, "--cpus-per-rank", "3", "--", "python", "-m", "x"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: launch: train.nodes = 2")
    assert "Traceback" not in done.stderr


def test_from_launcher_to_rank(tmp_path):
    """The real launcher and the real rendezvous, only SLURM's two commands are stand-ins."""
    for name, text in {"srun": FAKE_SRUN, "scontrol": FAKE_SCONTROL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "says.py").write_text(SAYS)
    (tmp_path / "operation.json").write_text('{"nodes": 2, "ranks_per_node": 1}')
    launcher = [
        sys.executable,
        "-m",
        "workflow.slurm.launch",
        "--operation",
        str(tmp_path / "operation.json"),
        "--cpus-per-rank",
        "3",
    ]
    paths = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(
        [*launcher, "--", sys.executable, "-m", "says"],
        cwd=ROOT,
        env=os.environ | paths | {"SLURM_JOB_ID": "17"},
        capture_output=True,
        text=True,
        check=True,
    )
    port = job_port(17, 0)
    assert sorted(done.stdout.splitlines()) == [f"{rank} 2 n1 {port} {rank} 3" for rank in (0, 1)]
