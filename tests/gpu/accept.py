"""Does this machine compute what asymgrpo believes? Parts A to G, each a process of its own with a time limit.

    python tests/gpu/accept.py --size full --out FOLDER [--parts A,B,C] [--vllm '{"attention_backend": "TRITON_ATTN"}']

One JSON line per part on stdout; logs and machine.json (device, versions, the planner's rates, all parts) in the folder. A
second call with other parts adds to the same machine.json. Only the first visible GPU is used, nothing is downloaded. Exit
code 0: every part that was asked for passed; 1: one did not, or could not run; 2: wrong arguments. docs/gpu.md tells more.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from accept_options import FAULTS, NAMES, SECONDS, SIZES, Options

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from asymgrpo.surroundings import FOLDERS, folders, own_folder  # noqa: E402 - the checkout need not be installed

LOG_LINES = 15
NO_HOME = "/proc/nohome"
"""A home that cannot be written, as in a closed container: part F has it."""


def main(words: list[str] | None = None) -> int:
    asked = parser().parse_args(words)
    parts = [part.strip().upper() for part in asked.parts.split(",") if part.strip()]
    if unknown := [part for part in parts if part not in NAMES]:
        parser().error(f"--parts: {', '.join(unknown)} is no part; use some of {', '.join(NAMES)}.")
    try:
        extra = json.loads(asked.vllm)
    except ValueError as error:
        parser().error(f"--vllm: not valid JSON ({error}).")
    if asked.attention_backend:
        extra["attention_backend"] = asked.attention_backend
    faults = [fault.strip() for fault in asked.faults.split(",") if fault.strip()]
    if unknown := [fault for fault in faults if fault not in FAULTS]:
        parser().error(f"--faults: {', '.join(unknown)} is none; use some of {', '.join(FAULTS)}.")
    out = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="accept-") as work:
        options = Options(
            asked.size, asked.device or found_device(), out, Path(work), extra, tuple(faults), asked.head_dtype
        )
        lines = [run_part(part, options, asked.limit * SECONDS[asked.size][part]) for part in parts]
    write_machine(out, lines)
    return 0 if all(line["passed"] for line in lines) else 1


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--parts", default=",".join(NAMES), help="letters, separated by commas (default: all)")
    found.add_argument(
        "--out", type=Path, default=Path("results-accept"), help="folder of reports (default: results-accept)"
    )
    found.add_argument("--size", choices=SIZES, default="full", help="tiny: for CPUs; full: a card of 80 GB (default)")
    found.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is a GPU")
    found.add_argument("--limit", type=float, default=1.0, help="multiplies the time limit of each part")
    found.add_argument("--vllm", default="{}", help="JSON: further arguments of vLLM's LLM")
    found.add_argument(
        "--attention-backend", help="of vLLM, such as TRITON_ATTN or FLASH_ATTN (default: its own choice)"
    )
    found.add_argument(
        "--head-dtype", choices=["float32", "model"], default="float32", help="of logits (train.head_dtype)"
    )
    found.add_argument("--faults", default="", help=f"plant some of {', '.join(FAULTS)}, to see that parts notice them")
    return found


def found_device() -> str:
    """cuda where the driver shows itself; without importing torch."""
    places = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/nvidia0"))
    return "cuda" if any(place.exists() for place in places) else "cpu"


def run_part(part: str, options: Options, limit: float) -> dict[str, Any]:
    """Run it, print its line, and return the line; what a part wrote before it was killed or crashed is in it."""
    report, log = options.out / f"part_{part}.json", options.out / f"part_{part}.log"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-W",
        "ignore",
        str(HERE / "accept_part.py"),
        part,
        options.dumps(),
    ]
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            command,
            cwd=HERE.parents[1],
            env=environment(part, options),
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
        try:
            ended = process.wait(limit)
            why = None
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            ended, why = process.wait(), f"time limit of {limit:.0f} s"
    line = read_line(report) or {"part": part, "name": NAMES[part], "measured": {}, "rates": {}, "reason": None}
    if why is None and (not line.get("finished") or ended not in (0, 1)):
        why = f"the process ended with exit code {ended}"
    if why is not None:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
        earlier = f"{line['reason']}\n" if line.get("reason") else ""
        line |= {"passed": False, "reason": f"{earlier}{why}; last of its log:\n{tail}"}
    line |= {"seconds": round(time.perf_counter() - start, 1)}
    line.pop("finished", None)
    print(json.dumps({key: value for key, value in line.items() if key != "rates"}), flush=True)
    return line


def read_line(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def environment(part: str, options: Options) -> dict[str, str]:
    """Of a part's process: one GPU or none, no network, and the caches of all parts in one place, so that kernels are compiled
    once.
    """
    values = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    given = dict(os.environ)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        given.pop(name, None)
    if options.device == "cpu":
        values |= {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
        given.setdefault("OMP_NUM_THREADS", "1")
    else:
        values["CUDA_VISIBLE_DEVICES"] = given.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        given.setdefault("OMP_NUM_THREADS", str(min(16, len(os.sched_getaffinity(0)))))
    if part == "F":  # no folder is named: the engine must find one by itself
        values["HOME"] = NO_HOME
        for name in FOLDERS:
            given.pop(name, None)
    else:
        values |= folders(str(own_folder(given)))
    return given | values


def write_machine(out: Path, lines: list[dict[str, Any]]) -> None:
    """machine.json: earlier parts of the same folder stay unless they were run again."""
    path = out / "machine.json"
    facts = read_line(out / "machine_facts.json") or {"device": None, "versions": {}}
    parts = {line["part"]: line for line in (read_line(path) or {"parts": []})["parts"]}
    parts |= {line["part"]: line for line in lines}
    rates: dict[str, float] = {}
    for _, line in sorted(parts.items()):
        rates |= line.get("rates", {})
    whole = {**facts, "rates": rates, "parts": [line for _, line in sorted(parts.items())]}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
