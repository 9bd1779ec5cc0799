"""A: driver, card, and one rank of NCCL that an launcher calls local rank 3 although it sees one GPU only."""

from __future__ import annotations

import os

import torch
from accept_options import Options
from accept_report import Report

from asymgrpo.training.rendezvous import Meeting, free_loopback_port


def run(options: Options, report: Report) -> None:
    with report.section("device") as found:
        cuda = options.device == "cuda"
        found["torch"], found["cuda"], found["devices"] = (
            torch.__version__,
            torch.version.cuda,
            torch.cuda.device_count(),
        )
        if cuda:
            card = torch.cuda.get_device_properties(0)
            free, total = torch.cuda.mem_get_info()
            found |= {
                "name": card.name,
                "capability": f"{card.major}.{card.minor}",
                "processors": card.multi_processor_count,
            }
            found |= {
                "free_gb": round(free / 1e9, 2),
                "total_gb": round(total / 1e9, 2),
                "nccl": torch.cuda.nccl.version(),
            }
            report.require((card.major, card.minor) >= (8, 0), f"{card.name} has no bfloat16 in hardware")
            report.at_least("free share of the card's memory", free / total, 0.95)
        found["cpus"] = len(os.sched_getaffinity(0))
        found["tmp_free_gb"] = round(os.statvfs("/tmp").f_bavail * os.statvfs("/tmp").f_frsize / 1e9, 1)
    with report.section("one_rank") as found:
        from asymgrpo.training.engine import own_device, start_process_group

        os.environ |= Meeting(0, 3, 1, "127.0.0.1", free_loopback_port()).environment()
        rank, world_size = start_process_group()
        found |= {"backend": torch.distributed.get_backend(), "device": str(own_device()), "world_size": world_size}
        report.require((rank, world_size) == (0, 1), f"this is rank {rank} of {world_size}, not 0 of 1")
        report.require(found["backend"] == ("nccl" if cuda else "gloo"), f"the backend is {found['backend']}")
        report.require(found["device"] == ("cuda:0" if cuda else "cpu"), f"the device is {found['device']}")
        ones = torch.ones(1 << 20, device=own_device())
        torch.distributed.all_reduce(ones)
        report.require(float(ones.sum()) == 1 << 20, "a sum over one rank changed its values")
    with report.section("deepspeed") as found:  # which sets the device of LOCAL_RANK by itself
        from tests.helpers.tiny_trainer import make_trainer, steps, weights

        trainer = make_trainer()
        (row,) = steps(trainer, 1, 1)
        found |= {"loss": row["loss"], "grad_norm": row["grad_norm"], "gap_max": row["gap_max"]}
        devices = {str(weight.device) for _, weight in trainer.engine.weights()}
        found["weights_on"] = sorted(devices)
        report.require(devices == {"cuda:0" if cuda else "cpu"}, f"weights lie on {devices}")
        report.at_most("gap between sampler and trainer", row["gap_max"], 1e-4)
        del trainer, weights
