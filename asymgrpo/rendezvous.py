"""Where the ranks of one job meet: from torchrun, from SLURM, or alone."""

from __future__ import annotations

import socket


def single_process_environment() -> dict[str, str]:
    """The variables of a world of one rank, on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
