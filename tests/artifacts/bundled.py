"""How these tests call Snakemake, with or without the packages that training needs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "artifacts" / "study.zip"
MOST_BYTES = {"study": 20e6, "smollm2": 3e6}
"""Name of a bundle that may be committed -> its limit."""


def snakemake(*arguments: str, light: bool = False) -> subprocess.CompletedProcess:
    """Snakemake at the repository's root; `light`: torch, transformers and the like cannot be imported by it or its jobs."""
    blocked = {"PYTHONPATH": str(Path(__file__).parent / "blocked")} if light else {}
    command = [sys.executable, "-m", "snakemake", *arguments, "--nolock", "--cores", "2"]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | blocked, capture_output=True, text=True, timeout=1500, check=False
    )
