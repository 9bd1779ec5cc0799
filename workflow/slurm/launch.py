"""How a training command gets its ranks: as it is, by torchrun on one node, or by srun inside a SLURM allocation.

`python -m workflow.slurm.launch --operation JSON --cpus-per-rank C [--gpus] -- COMMAND` becomes what `launched` makes of COMMAND.
It runs on the host, where srun is; COMMAND may enter a container. Under SLURM srun also serves a single node: it passes signals
(preemption, time limit) to every rank, and ends the others when one dies.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asymgrpo.console import run
from asymgrpo.errors import InputError
from asymgrpo.training.rendezvous import INTO_CONTAINER
from containers.host import ROOT, in_checkout

if TYPE_CHECKING:
    from asymgrpo.study.config import Study

GRACE = 900
"""Seconds that torchrun leaves its ranks to finish a step and save, after a signal."""


class LaunchError(InputError):
    """The ranks cannot be started here; the message says where they can."""


def prefix(study: Study) -> str:
    """What a training command starts with; the files and numbers that vary between jobs follow it."""
    here = "" if in_checkout() else f"env PYTHONPATH={shlex.quote(str(ROOT))} "
    return f"{here}{shlex.quote(sys.executable)} -m workflow.slurm.launch{' --gpus' if study.machine.has_gpus else ''}"


def request(study: Study, model: str) -> dict[str, Any]:
    """Resources of one training job as snakemake-executor-plugin-slurm names them; None asks for nothing.

    Several ranks are an `mpi` job to the plugin: it then starts no step of its own, and `launched` has the whole allocation.
    Without `tasks_per_gpu` = 0 it would ask for `tasks` ranks on every GPU.
    """
    train, machine = study.train_of(model), study.machine
    several, alone_on_node = train.world_size > 1, train.ranks_per_node == 1
    memory_gb: float | None = machine.memory_gb
    hours = machine.hours
    if memory_gb is None or hours is None:
        from asymgrpo.planner.plan import job_needs

        planned = job_needs(study, model)
        memory_gb, hours = memory_gb or planned.memory_gb, hours or planned.hours
    return {
        "nodes": train.nodes,
        "gpu": train.world_size if machine.has_gpus else None,
        "mpi": "srun" if several else None,
        "tasks": train.nodes if several and alone_on_node else None,
        "tasks_per_node": train.ranks_per_node if several and not alone_on_node else None,
        "tasks_per_gpu": 0 if several and alone_on_node and machine.has_gpus else None,
        "cpus_per_task": machine.cpus_per_rank,
        "mem_mb": round(1000 * memory_gb),
        "runtime": round(60 * hours),
    }


def launched(
    command: Sequence[str], environment: Mapping[str, str], *, nodes: int, ranks_per_node: int, cpus: int, gpus: bool
) -> list[str]:
    """The command that starts `command` (`... -m MODULE ARGUMENTS`) once per rank. Raises LaunchError.

    >>> launched(["python", "-m", "m", "--a"], {}, nodes=1, ranks_per_node=1, cpus=1, gpus=False)
    ['python', '-m', 'm', '--a']
    """
    ranks = nodes * ranks_per_node
    if ranks == 1:
        return list(command)
    if "SLURM_JOB_ID" in environment:
        sizes = {"nodes": nodes, "ntasks": ranks, "ntasks-per-node": ranks_per_node, "cpus-per-task": cpus}
        srun = ["srun", *(f"--{name}={n}" for name, n in sizes.items()), "--kill-on-bad-exit=1", "--export=ALL"]
        return [
            *srun,
            *([f"--gpus={ranks}"] if gpus else []),
            sys.executable,
            "-m",
            "asymgrpo.training.rendezvous",
            *command,
        ]
    if nodes > 1:
        raise LaunchError(
            f"launch: train.nodes = {nodes}, but this is no SLURM job; run snakemake with --profile slurm, or start the command "
            "by torchrun on each node yourself."
        )
    at = command.index("-m") + 1
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    torchrun += ["--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", f"--shutdown-timeout={GRACE}", "-m"]
    return [*command[:at], *torchrun, *command[at:]]


def main(
    command: Annotated[list[str], typer.Argument(help="after --: the command of one rank, ... -m MODULE ARGUMENTS")],
    operation: Annotated[Path, typer.Option(help="JSON file with nodes and ranks_per_node, among others")],
    cpus_per_rank: Annotated[int, typer.Option(help="CPU threads of each rank")],
    gpus: Annotated[bool, typer.Option("--gpus", help="every rank has a GPU")] = False,
) -> None:
    train = json.loads(operation.read_text(encoding="utf-8"))
    sizes = {"nodes": train["nodes"], "ranks_per_node": train["ranks_per_node"], "cpus": cpus_per_rank}
    started = launched(command, os.environ, **sizes, gpus=gpus)
    told = {"OMP_NUM_THREADS": str(cpus_per_rank), "PYTHONWARNINGS": "ignore"}
    inside = {f"{INTO_CONTAINER}{name}": value for name, value in told.items()}
    os.execvpe(started[0], started, os.environ | told | inside)


if __name__ == "__main__":
    run(main)
