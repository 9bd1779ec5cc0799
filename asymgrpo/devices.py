"""Which device a process computes on: the CPU, or the one GPU that is its own."""

from __future__ import annotations

import os

import torch

from asymgrpo.errors import InputError


class DeviceError(InputError):
    """This process has no device of its own; the message says what it sees and what to do."""


def own_device() -> torch.device:
    """The CPU, or this rank's GPU: one of several by the local rank, or the only one that the launcher lets it see.

    Raises:
        DeviceError: there are fewer GPUs than ranks on this node.
    """
    if not torch.cuda.is_available():
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
