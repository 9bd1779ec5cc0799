"""Where the ranks of one job meet: torchrun says it, SLURM's variables say it, or there is one rank.

`python -m asymgrpo.training.rendezvous COMMAND ...` becomes COMMAND, with the variables that torchrun would have set. Under
srun it finds the meeting where SLURM's tools are, before COMMAND enters a container that has none.

submitit's TorchDistributedEnvironment turns the same variables of SLURM into torch's, but inside the rank's own process: too
late for a rank whose container does not see them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from asymgrpo.errors import EXIT_WRONG_INPUT, InputError

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SRUN = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_STEP_NODELIST")
INTO_CONTAINER = "APPTAINERENV_"
"""Apptainer hands NAME to a container that is otherwise closed to variables when this prefix + NAME is set."""
PER_TASK = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""What srun sets anew for each task: the value of the batch script's own node would hide other GPUs, or show a neighbour's."""
PER_TASK_PREFIXES = ("NCCL_", "GLOO_", "UCX_")
"""Beginnings of the variables that tell how ranks talk to each other: network interfaces, adapters, what to write to the log."""
FIRST_PORT, PORTS = 20_000, 12_000
"""Below 32768, from which on Linux gives out ports by itself."""


class RendezvousError(InputError):
    """The ranks of a job cannot find each other; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Meeting:
    rank: int
    """Among all ranks of the job."""
    local_rank: int
    """Among those on this node."""
    world_size: int
    address: str
    """Host of rank 0."""
    port: int

    def environment(self) -> dict[str, str]:
        """The variables that torchrun sets.

        >>> Meeting(3, 1, 4, "node1", 29500).environment()["WORLD_SIZE"]
        '4'
        """
        values = (self.rank, self.local_rank, self.world_size, self.address, self.port)
        return dict(zip(TORCHRUN, map(str, values), strict=True))


def find_meeting(
    environment: Mapping[str, str], hosts: Callable[[str], list[str]], free_port: Callable[[], int]
) -> Meeting:
    """The meeting that a process's environment describes.

    torchrun's variables win, then those of an `srun` step of several tasks; anything else is a single rank. (A batch script has
    SLURM_PROCID too, and Snakemake's own step is one task: neither is a rank of several.)

    Args:
        environment: of this process. hosts: the hosts of a SLURM node list. free_port: a port of a single rank's own.

    Raises:
        RendezvousError: the environment describes a meeting only in part.
    """
    if "RANK" in environment:
        _require(environment, TORCHRUN, "RANK is set")
        rank, local_rank, world_size, address, port = (environment[name] for name in TORCHRUN)
        return Meeting(int(rank), int(local_rank), int(world_size), address, int(port))
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks == 1:
        return Meeting(0, 0, 1, "127.0.0.1", free_port())
    _require(environment, SRUN, f"srun started {tasks} tasks")
    return Meeting(
        rank=int(environment["SLURM_PROCID"]),
        local_rank=int(environment["SLURM_LOCALID"]),
        world_size=tasks,
        address=hosts(environment["SLURM_STEP_NODELIST"])[0],
        port=job_port(int(environment["SLURM_JOB_ID"]), int(environment["SLURM_STEP_ID"])),
    )


def _require(environment: Mapping[str, str], names: tuple[str, ...], why: str) -> None:
    missing = [name for name in names if name not in environment]
    if missing:
        raise RendezvousError(
            f"rendezvous: {why}, but {', '.join(missing)} is not set; start the ranks by torchrun or srun, or unset RANK for a "
            "single one."
        )


def job_port(job: int, step: int) -> int:
    """A port known to all ranks of a step; jobs that share a node hardly share it.

    >>> job_port(1234567, 0), job_port(1234568, 0)
    (21969, 21976)
    """
    return FIRST_PORT + (7 * job + step) % PORTS


def hosts_of(nodes: str) -> list[str]:
    """node[1-2] -> [node1, node2], by SLURM itself. Raises RendezvousError when it cannot be asked."""
    try:
        done = subprocess.run(
            ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True, encoding="utf-8"
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise RendezvousError(
            f"rendezvous: `scontrol show hostnames {nodes}` failed ({error}); where scontrol is missing (in a container), "
            "start the ranks by `srun ... python -m asymgrpo.training.rendezvous COMMAND`."
        ) from None
    return done.stdout.split()


def free_loopback_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def meeting() -> Meeting:
    """This process's meeting. Raises RendezvousError."""
    return find_meeting(os.environ, hosts_of, free_loopback_port)


def single_process_environment() -> dict[str, str]:
    """The variables of a world of one rank, on a free loopback port."""
    return Meeting(0, 0, 1, "127.0.0.1", free_loopback_port()).environment()


def into_container(environment: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """The variables of one task, with those that its container gets as well: the meeting `found`, and the task's own of PER_TASK
    and PER_TASK_PREFIXES. What an earlier shell handed over of these is forgotten.

    >>> batch = {"APPTAINERENV_CUDA_VISIBLE_DEVICES": "0,1,2,3", "CUDA_VISIBLE_DEVICES": "2", "NCCL_DEBUG": "INFO"}
    >>> told = into_container(batch, {"RANK": "2"})
    >>> told["APPTAINERENV_CUDA_VISIBLE_DEVICES"], told["APPTAINERENV_NCCL_DEBUG"], told["APPTAINERENV_RANK"], told["RANK"]
    ('2', 'INFO', '2', '2')
    """

    def per_task(name: str) -> bool:
        return name in PER_TASK or name.startswith(PER_TASK_PREFIXES)

    kept = {k: v for k, v in environment.items() if not per_task(k.removeprefix(INTO_CONTAINER)) or per_task(k)}
    told = {name: value for name, value in environment.items() if per_task(name)} | dict(found)
    return kept | dict(found) | {f"{INTO_CONTAINER}{name}": value for name, value in told.items()}


def main(command: list[str]) -> None:
    try:
        found = meeting().environment()
    except RendezvousError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_WRONG_INPUT)
    os.execvpe(command[0], command, into_container(os.environ, found))


if __name__ == "__main__":
    main(sys.argv[1:])
