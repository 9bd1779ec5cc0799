"""Environment variables that libraries read when they are imported: where they may write, and which of their parts stay unused.

One home for it: containers (containers.enter), our vLLM sampler and that of lm-eval read this table. Nothing heavy is imported.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from asymgrpo.errors import InputError

VLLM = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
"""FlashInfer's sampler is never used (seeds per request, log-probabilities), but asking for it writes below the home."""
FOLDERS = {
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "MPLCONFIGDIR": "matplotlib",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TORCH_EXTENSIONS_DIR": "extensions",
    "CUDA_CACHE_PATH": "cuda",
    "VLLM_CACHE_ROOT": "vllm",
    "VLLM_CONFIG_ROOT": "vllm-config",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
}
"""Variable -> folder, below one of the job's own, of what a library makes for itself."""
EXPECTS_GPU = "ASYMGRPO_EXPECTS_GPU"
"""1 in jobs that ask for GPUs: one that sees none refuses (asymgrpo.devices). Set it to 0 to compute on the CPU then."""
OWN = "asymgrpo-{user}-{job}"
"""The job's own folder, in the folder of temporary files: neither other users nor the user's other jobs write there."""
NO_JOB = "local"
"""In the place of the job's number where there is no SLURM."""


class SurroundingsError(InputError):
    """Libraries have no place to write to; the message names it."""


def folders(own: str) -> dict[str, str]:
    """Variable -> folder below `own`.

    >>> folders("/tmp/asymgrpo-1000-17")["VLLM_CACHE_ROOT"]
    '/tmp/asymgrpo-1000-17/vllm'
    """
    return {variable: f"{own}/{name}" for variable, name in FOLDERS.items()}


def own_folder(environment: Mapping[str, str]) -> Path:
    """The own folder of the job whose variables these are."""
    name = OWN.format(user=os.getuid(), job=environment.get("SLURM_JOB_ID") or NO_JOB)
    return Path(environment.get("TMPDIR") or tempfile.gettempdir()) / name


def prepare(environment: MutableMapping[str, str]) -> None:
    """Tell libraries what they must know before they are imported; what is set already stays.

    A home that can be written keeps its caches. Otherwise they go to the job's own folder, which others cannot enter.

    Raises:
        SurroundingsError: neither the home nor that folder can be written, or the folder is another user's.
    """
    for name, value in VLLM.items():
        environment.setdefault(name, value)
    wanted = {name: folder for name, folder in folders(str(own_folder(environment))).items() if name not in environment}
    home = environment.get("HOME") or os.path.expanduser("~")
    if not wanted or can_write(Path(home) / ".cache"):
        return
    own = own_folder(environment)
    if not can_write(own) or own.stat().st_uid != os.getuid():
        raise SurroundingsError(
            f"neither the home ({home}) nor {own} can be written, and libraries keep what they compile there; "
            "set TMPDIR to a folder of yours."
        )
    environment.update(wanted)


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
