"""Before the first job: the images that jobs need are made, by the workflow's own rules, in a call of snakemake of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow.enter import Images, write_contents


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
    sif, recipe = Path(images.sif(image)), Path(images.recipe(image))
    return not sif.exists() or sif.stat().st_mtime < recipe.stat().st_mtime


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
    write_contents(images)
