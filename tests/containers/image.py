"""Real images for tests, built by the workflow's own rules with the CPU lock on a debootstrap base, once for all tests.

They stay in containers/built, as after any use of the workflow, so that only the first call takes minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILT = Path("containers/built/debootstrap-cpu")
STUDY = "tests/workflow/mini.yaml"
SETTINGS: dict[str, Any] = {"mode": "apptainer", "base": "debootstrap", "lock": "requirements/cpu.lock"}
TOOLS = ("apptainer", "debootstrap", "mksquashfs")


def missing() -> str:
    """Why images cannot be built here, or nothing."""
    absent = [name for name in TOOLS if not shutil.which(name)]
    return f"{', '.join(absent)} not installed: run .ci/system.sh" if absent else ""


def environment() -> dict[str, str]:
    """Of a call of snakemake: root in a container of a container may lack the rights of Apptainer's set-user-id way."""
    return os.environ | ({"APPTAINER_USERNS": "1"} if os.geteuid() == 0 else {})


def given(train: Path, **images: Path) -> dict[str, Any]:
    """Settings of `containers` in which one image serves training and evaluation."""
    return {
        **SETTINGS,
        "images": {"train": str(train), "evaluate": str(train), **{k: str(v) for k, v in images.items()}},
    }


def snakemake(
    *arguments: str,
    containers: Mapping[str, Any] | str,
    folder: Path = ROOT,
    changes: tuple[str, ...] = (),
    before: tuple[str, ...] = (),
) -> str:
    """What snakemake says; it must succeed. Results are in `folder`/results unless `changes` says otherwise."""
    value = containers if isinstance(containers, str) else json.dumps(containers)
    command = [
        *(*before, sys.executable, "-m", "snakemake", *arguments, "--nolock", "--cores", "2", "--configfile", STUDY),
        *("--config", f"containers={value}", *changes),
    ]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> dict[str, Path]:
    """The train and the report image."""
    if missing():
        pytest.skip(missing())
    folder = tmp_path_factory.mktemp("build")
    changes = (f"results={folder}/results", f"checkpoints={folder}/checkpoints")
    settings = SETTINGS | {"base_lock": f"{folder}/base.lock.json"}
    names = ("train", "report")
    snakemake(*(f"{BUILT}/{name}.sif" for name in names), containers=settings, changes=changes)
    return {name: ROOT / BUILT / f"{name}.sif" for name in names}


@pytest.fixture(scope="session")
def train_image(images) -> Path:
    """An image with everything, from the CPU lock."""
    return images["train"]
