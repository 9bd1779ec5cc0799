"""Before the first job, when the graph of jobs is known and the folder is locked: check data files, make missing images.

Images are made by the workflow's own rules, in another call of snakemake; containers/enter.py says why (point 4).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asymgrpo.files import write_text
from asymgrpo.study import stored
from asymgrpo.study.config import Study
from asymgrpo.training.checkpoint import forget, workspace_of
from containers import host
from containers.enter import Images, documents
from workflow import common


def wanted(images: Images, commands: Iterable[str]) -> list[str]:
    """Image files that some command enters, and that are missing or older than what they are made from."""
    entered = list(commands)
    return [
        images.sif(image)
        for image in images.to_build
        if any(f"{shlex.quote(images.sif(image))} python " in command for command in entered)
        and is_stale(images, image)
    ]


def is_stale(images: Images, image: str) -> bool:
    """Whether an image is missing, or was made from another recipe than today's."""
    sif, recipe = Path(images.sif(image)), Path(images.recipe(image))
    if not (sif.exists() and recipe.exists()):
        return True
    changed = recipe.read_text(encoding="utf-8") != documents(images)[str(recipe)]
    return changed or sif.stat().st_mtime < recipe.stat().st_mtime


def profile(arguments: Sequence[str]) -> list[str]:
    """The --profile of a command line, so that images are built where it sends jobs (containers.build: job).

    >>> profile(["snakemake", "--profile", "slurm", "all"]), profile(["snakemake", "--profile=slurm"]), profile(["snakemake"])
    (['--profile', 'slurm'], ['--profile=slurm'], [])
    """
    found: list[str] = []
    for i, word in enumerate(arguments):
        if word == "--profile":
            found += arguments[i : i + 2]
        elif word.startswith("--profile="):
            found.append(word)
    return found


def check_data(study: Study, needed: Iterable[str]) -> None:
    """Check every data file before anything expensive starts, if one of the needed jobs (names of rules) reads them.

    Raises:
        RuntimeError: a file is missing or is not what the lock says; no job was started.
    """
    if study.data.source != "directory" or "problems" not in needed:
        return
    from asymgrpo.tasks.sources import load_dataset_rows

    lock = Path(host.of_project(common.LOCK))
    for name in [study.data.train, *study.evaluation.benchmarks]:
        try:
            load_dataset_rows(name, "directory", study.data.dir, lock, None)
        except ValueError as error:
            raise RuntimeError(f"{error} No job was started.") from None


def write_operation(study: Study, pattern: str) -> None:
    """Write how each model's training is carried out: its jobs read it, no result depends on it."""
    for model in study.study.models:
        write_text(stored.document(common.operation(study, model)), pattern.format(model=model))


def forget_accepted(dag: Any, runs: Iterable[Mapping[str, str]], done: str, checkpoints: Path) -> None:
    """Delete what training keeps until Snakemake has accepted its outputs, of runs whose outputs it took, now or before.

    What other folders of results wait for stays (asymgrpo.training.checkpoint.forget).

    Args:
        dag: Snakemake's graph of jobs. runs: wildcards of the study's runs.
        done: pattern of their done.json. checkpoints: folder of everything unfinished.
    """
    pending = {frozenset(job.wildcards.items()) for job in dag.needrun_jobs() if job.rule.name == "train"}
    for run in runs:
        if frozenset(run.items()) in pending:
            continue
        try:
            out = Path(done.format(**run))
            sha256 = json.loads(out.read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError):  # whoever reads it next says what is wrong
            continue
        forget(workspace_of(checkpoints, run["model"], run["arm"], int(run["seed"]), sha256), out.parent)


def forget_samples(forced: Iterable[Any]) -> None:
    """Delete the tables of samples beside the outputs of jobs that were forced: a job keeps those that it finds good."""
    for job in forced:
        if job.rule.name == "sample":
            for table in Path(str(job.output[0])).parent.glob("*.parquet"):
                table.unlink()


def make(images: Images, commands: Iterable[str], config: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Make what the commands of jobs need. Raises RuntimeError when an image cannot be made; the log above says why."""
    if not (targets := wanted(images, commands)):
        return
    print(f"Images to make first: {', '.join(targets)}", file=sys.stderr)
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(dict(config), file, default=str)
        file.flush()
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *targets,
            "--cores",
            "2",
            "--nolock",
            "--no-hooks",
            *profile(arguments),
        ]
        done = subprocess.run([*command, "--configfile", file.name], check=False)
    if done.returncode:
        raise RuntimeError(
            f"containers: {', '.join(targets)} could not be made; the log above says why. No job was started."
        )
