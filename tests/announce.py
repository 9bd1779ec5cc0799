"""What `make test` says before it begins: how long it takes, and what this machine cannot run, and why."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests/cluster"), str(ROOT / "tests/containers"), str(ROOT / "tests/gpu/desk"), str(ROOT)]
MINUTES = 60
"""Of all tests on two cores."""


def skipped() -> dict[str, str]:
    """Tests that will be skipped here -> the reason."""
    import cluster
    import cuda_vllm
    import image

    no_vllm = "" if importlib.util.find_spec("vllm") else "vLLM is not installed; `make vllm` installs it"
    no_sources = (
        ""
        if (cuda_vllm.UNPACKED / "vllm").is_dir()
        else "its wheel is not unpacked; `make gpu-sources` does it (330 MB)"
    )
    reasons = {
        "tests/cluster (SLURM)": cluster.missing(),
        "tests/containers (Apptainer images)": image.missing(),
        "the report in a browser": ""
        if shutil.which("chromium")
        else "Chromium is not installed; .ci/system.sh installs it",
        "rollouts by vLLM": no_vllm,
        "calls of vLLM for CUDA": no_vllm or no_sources,
        "the arms in TRL and verl": ""
        if (ROOT / ".venv-peers").is_dir()
        else "they are not installed; `make peer-packages` installs them (300 MB)",
        "jobs without a network": ""
        if os.geteuid() == 0 and shutil.which("unshare")
        else "cutting the network needs root",
    }
    return {what: why for what, why in reasons.items() if why}


def text(missing: dict[str, str], cores: int) -> str:
    """
    >>> print(text({"rollouts by vLLM": "vLLM is not installed"}, 2))
    All tests take about 60 minutes on 2 cores; `pytest -m "not slow and not cluster and not containers"` runs the quick ones.
    Skipped here:
      rollouts by vLLM: vLLM is not installed
    """
    told = f"All tests take about {MINUTES} minutes on 2 cores"
    told += "" if cores == 2 else f" (this machine has {cores})"
    lines = [f'{told}; `pytest -m "not slow and not cluster and not containers"` runs the quick ones.']
    if missing:
        lines += ["Skipped here:", *(f"  {what}: {why}" for what, why in missing.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    print(text(skipped(), len(os.sched_getaffinity(0))))
