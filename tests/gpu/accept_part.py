"""One part of the acceptance in this process: `python tests/gpu/accept_part.py PART OPTIONS.json-text`; see accept.py."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "transformers", "deepspeed", "vllm", "triton", "numpy", "pydantic", "math-verify")


def main(part: str, text: str) -> int:
    began = time.perf_counter()
    sys.path[:0] = [str(ROOT / folder) for folder in ("", "tests/gpu", "tests/vllm")]
    from accept_options import NAMES, loads
    from accept_report import Report

    options = loads(text)
    report = Report(part, NAMES[part], options.out / f"part_{part}.json")
    with report.section("imports"):
        import torch

        if options.device == "cpu":
            torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        elif not torch.cuda.is_available():
            raise RuntimeError("this torch cannot use a GPU: see the driver's version, or ask for --device cpu")
        (options.out / "machine_facts.json").write_text(json.dumps(facts(options.device)), encoding="utf-8")
        module = importlib.import_module(f"part_{NAMES[part]}")
        report.measured["imports"]["until_here"] = round(time.perf_counter() - began, 1)
    if not report.problems:
        with report.section("part"):
            module.run(options, report)
    report.write(finished=True)
    return 0 if not report.problems else 1


def facts(device: str) -> dict:
    """What machine.json says of the card and of the packages."""
    import torch

    versions = {"python": ".".join(map(str, sys.version_info[:3])), "cuda": torch.version.cuda}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    if device == "cpu":
        return {
            "device": {"name": "cpu", "memory_gb": None, "capability": None, "driver": None},
            "versions": versions,
        }
    card = torch.cuda.get_device_properties(0)
    about = {
        "name": card.name,
        "memory_gb": round(card.total_memory / 1e9, 2),
        "capability": f"{card.major}.{card.minor}",
        "driver": driver(),
    }
    return {"device": about, "versions": versions}


def driver() -> str | None:
    """The driver's version, as its own tool tells it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
