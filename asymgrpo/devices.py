"""Which device a process computes on: the CPU, or the one GPU that is its own."""

from __future__ import annotations

import os

import torch

from asymgrpo.errors import InputError
from asymgrpo.surroundings import EXPECTS_GPU


class DeviceError(InputError):
    """This process has no device of its own; the message says what it sees and what to do."""


def own_device() -> torch.device:
    """The CPU, or this rank's GPU: one of several by the local rank, or the only one that the launcher lets it see.

    Raises:
        DeviceError: there are fewer GPUs than ranks on this node, or none where the job was told that it has some.
    """
    if not torch.cuda.is_available():
        if os.environ.get(EXPECTS_GPU, "0") == "1":
            raise DeviceError(
                f"this job was to compute on a GPU (machine.kind of the study), but torch {torch.__version__} can use none "
                f"({why_no_gpu()}). Look at nvidia-smi on the node: wheels for CUDA 13 need a driver >= 580; a container needs "
                f"--nv; requirements/cpu.lock has a torch without CUDA. To compute on the CPU all the same, set {EXPECTS_GPU}=0."
            )
        return torch.device("cpu")
    visible, local_rank = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", 0))
    if visible == 1:
        return torch.device("cuda", 0)
    if local_rank >= visible:
        raise DeviceError(
            f"rank {local_rank} of this node sees {visible} GPUs, and needs one of its own; ask for as many GPUs as "
            "train.ranks_per_node on every node."
        )
    return torch.device("cuda", local_rank)


def why_no_gpu() -> str:
    """What torch says when it is made to use a GPU: no driver, a driver that is too old, or a torch without CUDA."""
    try:
        torch.cuda.init()
    # Every kind of refusal counts: an assertion, a runtime error, a library that cannot be loaded.
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return "CUDA starts, but shows no device"


def take_own_device() -> torch.device:
    """Make the own device the current one, and LOCAL_RANK its index.

    DeepSpeed and vLLM take LOCAL_RANK for the index of a GPU. Where a launcher shows each rank one GPU alone
    (`--gpus-per-task=1`), that index is 0 on every rank, and their own choice would be an invalid device.
    """
    device = own_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
        os.environ["LOCAL_RANK"] = str(device.index)
    return device
