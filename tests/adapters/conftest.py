"""Programs that run with the published frameworks, which `make peer-packages` installs (tests/method/peers/record.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.method.peers.record import FOLDER

ROOT = Path(__file__).parents[2]
collect_ignore = ["trl_cases.py", "verl_cases.py"]  # they import the frameworks


def with_peers(program: Path, *arguments: object, **variables: str) -> str:
    """Run a program where `import trl` and `import verl` work -> what it printed."""
    if not FOLDER.is_dir():
        pytest.skip("the peers are not installed; `make peer-packages` does it")
    paths = os.pathsep.join(map(str, (FOLDER, ROOT)))
    surroundings = {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", str(program), *map(str, arguments)]
    inherited = {
        key: value for key, value in os.environ.items() if key != "LOCAL_RANK"
    }  # of the engine in this process
    environment = inherited | surroundings | variables
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
