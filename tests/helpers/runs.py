"""Small training runs as real processes, on a random tiny model: what a cluster starts is what is tested."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PATIENCE = 900
"""Seconds after which a run is believed to hang. It takes some ten; ranks that wait for each other on a busy machine, more."""
TRAIN = yaml.safe_load((ROOT / "config/default.yaml").read_text())["train"] | {
    "steps": 6,
    "prompts_per_step": 4,
    "group_size": 4,
    "updates_per_rollout": 2,
    "micro_batch": 4,
    "max_tokens": 12,
    "evaluate_every": 3,
    "evaluate_samples": 2,
    "evaluate_max_tokens": 12,
    "checkpoint_every": 1,
    "displacement_every": 2,
    "rollouts_every": 2,
    "learning_rate": 3e-3,
}


def prepare(folder: Path, model: Path, arm: str = "grpo", changes: dict | None = None, **train) -> list[str]:
    """Write the inputs of one run into `folder` -> the command that trains it."""
    from asymgrpo.method.arms import get_arm
    from asymgrpo.study.agreement import stated
    from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS
    from asymgrpo.tasks.chain_sum import rows
    from asymgrpo.tasks.table import write_problems

    folder.mkdir(parents=True, exist_ok=True)
    write_problems(folder / "train.parquet", rows("chain_train", 24, 1), {})
    write_problems(folder / "chain2.parquet", rows("chain2", 6, 1), {})
    whole = TRAIN | train
    fields = get_arm(arm, changes).settings()
    settings = {
        "of": "run",
        "model": "tiny",
        "seed": 0,
        "base": stated(Path(model) / "manifest.json") or {},
        "template": "plain",
        "arm": fields,
    }
    settings |= {"train": {key: value for key, value in whole.items() if key not in NO_EFFECT_ON_RESULTS}}
    settings |= {"problems": {"train": {}, "chain2": {}}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "operation.json").write_text(
        json.dumps({key: whole[key] for key in NO_EFFECT_ON_RESULTS if key in whole})
    )
    options = {
        "settings": folder / "settings.json",
        "operation": folder / "operation.json",
        "model": model,
        "problems": folder / "train.parquet",
        "evaluate": f"chain2={folder / 'chain2.parquet'}",
        "checkpoints": folder / "checkpoints",
        "out": folder / "runs" / "tiny" / arm / "seed0",
    }
    return [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "asymgrpo.training",
        *(f"--{k}={v}" for k, v in options.items()),
    ]


def asked_of_samples(base: Path, **evaluation) -> str:
    """Settings, as text, of samples of chain2 from a base model: those of the default study, with changes to `evaluation`."""
    from asymgrpo.study.agreement import stated
    from asymgrpo.study.config import parse
    from asymgrpo.study.settings import dumps, graded, plan_of, samples

    study = yaml.safe_load((ROOT / "config/default.yaml").read_text())
    plan = plan_of(parse(study | {"evaluation": study["evaluation"] | evaluation}))
    asked = samples(graded(plan, "tiny", "base", 0), "chain2")
    return dumps(asked | {"source": stated(Path(base) / "manifest.json") or {}, "problems": {}})


def start(command: list[str]) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def finish(command: list[str]) -> str:
    """Run to the end -> what it said; fails the test if it fails."""
    process = start(command)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return said


def wait_for_steps(process: subprocess.Popen, command: list[str], n: int) -> None:
    """Until a checkpoint of step n is there (or the run ended)."""
    deadline = time.time() + PATIENCE
    checkpoints = next(part.split("=", 1)[1] for part in command if part.startswith("--checkpoints="))
    while process.poll() is None and time.time() < deadline:
        newest = sorted(p.name for p in Path(checkpoints).glob("*/*/seed*/checkpoints/step*"))
        if newest and int(newest[-1][4:]) >= n:
            return
        time.sleep(0.02)


def out_of(command: list[str]) -> Path:
    return Path(next(part.split("=", 1)[1] for part in command if part.startswith("--out=")))


def workspace_of(command: list[str]) -> Path:
    checkpoints = next(part.split("=", 1)[1] for part in command if part.startswith("--checkpoints="))
    (found,) = Path(checkpoints).glob("*/*/seed*")
    return found


def digests(out: Path) -> dict[str, str]:
    """sha256 of every result that must not depend on interruptions (seconds are in timings.parquet)."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "timings.parquet"
    }
