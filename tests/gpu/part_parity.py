"""B: in float32, this device against the CPU: updates of every kind, ZeRO stages, the torch sampler; saved and continued."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from accept_options import Options
from accept_report import Report

TOLERANCE = 1e-5
"""Of losses and weights that are about 1, and of the gradient norm, relative to it."""
RUN_TOLERANCE = 1e-4
"""Of weights and metrics after five steps."""
METRICS = ("loss", "grad_norm", "entropy", "reward_mean", "logp_change_correct", "gap_mean", "response_tokens_mean")


def run(options: Options, report: Report) -> None:
    reference = options.work / "parity.pt"
    child = start_reference(options, reference)
    import parity_cases

    ours: dict[str, Any] = {}
    with report.section("this_device") as found:
        ours = parity_cases.results(options.sizes)
        found["updates"] = len(ours["updates"])
    with report.section("continued") as found:
        compare_continued(options, report, found)
    with report.section("against_cpu") as found:
        _, said = child.communicate(timeout=200)
        if child.returncode != 0:
            raise RuntimeError(f"the reference on the CPU failed: {said[-1500:]}")
        theirs = torch.load(reference, weights_only=False)
        compare(ours, theirs, report, found)


def start_reference(options: Options, reference: Path) -> subprocess.Popen:
    """The same on the CPU, meanwhile."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    script = str(Path(__file__).with_name("parity_cases.py"))
    command = [sys.executable, "-W", "ignore", script, options.size, str(reference)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def compare(ours: dict[str, Any], theirs: dict[str, Any], report: Report, found: dict[str, Any]) -> None:
    for name, one in ours["updates"].items():
        other = theirs["updates"][name]
        gaps = {"weights": largest_gap(one["weights"], other["weights"])}
        if "rows" in one:
            gaps["metrics"] = metric_gap(one["rows"], other["rows"])
            report.at_most(f"{name}: gap of metrics", gaps["metrics"], RUN_TOLERANCE)
        else:
            gaps |= {
                "loss": abs(one["loss"] - other["loss"]),
                "grad_norm": abs(one["grad_norm"] / other["grad_norm"] - 1),
            }
            report.at_most(f"{name}: gap of the loss", gaps["loss"], TOLERANCE)
            report.at_most(f"{name}: relative gap of the gradient norm", gaps["grad_norm"], TOLERANCE)
        report.at_most(f"{name}: gap of weights", gaps["weights"], RUN_TOLERANCE if "rows" in one else TOLERANCE)
        found[name] = gaps
    for temperature, (ids, logprobs) in ours["sampled"].items():
        their_ids, their_logprobs = theirs["sampled"][temperature]
        same = sum(a == b for a, b in zip(ids, their_ids, strict=True))
        found[f"sampled at {temperature}"] = f"{same} of {len(ids)} equal"
        report.require(
            same == len(ids), f"torch sampler at temperature {temperature}: {same} of {len(ids)} responses equal"
        )
        pairs = [(a, b) for a, b, i, j in zip(logprobs, their_logprobs, ids, their_ids, strict=True) if i == j]
        gap = largest([abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True)])
        report.at_most(f"torch sampler at temperature {temperature}: gap of log-probabilities", gap, TOLERANCE)


def compare_continued(options: Options, report: Report, found: dict[str, Any]) -> None:
    """Two steps, saved, two more; and the two more of an engine that began elsewhere and loaded what was saved."""
    from asymgrpo.rollout.torch_sampler import TorchSampler
    from tests.helpers.tiny_trainer import EOS, make_trainer, settings, steps, tiny_model, weights

    for stage in options.sizes.stages:
        train, folder = settings(zero_stage=stage, warmup_updates=6), options.work / f"stage{stage}"
        undisturbed = make_trainer(train=train)
        steps(undisturbed, 1, 2)
        undisturbed.engine.save_state(folder)
        spent = undisturbed.sampled_tokens
        expected = steps(undisturbed, 3, 4)
        resumed = make_trainer(train=train, model=tiny_model(seed=1))
        resumed.engine.load_state(folder)
        resumed.sampled_tokens = spent  # a run keeps it with its history
        resumed.sampler = TorchSampler(resumed.engine.hf_config, resumed.engine.weights(), EOS)
        rows = steps(resumed, 3, 4)
        gap = largest_gap(weights(resumed.engine), weights(undisturbed.engine))
        found[f"stage {stage}"] = gap
        report.at_most(f"stage {stage}: gap of weights after saving, loading and continuing", gap, 0.0)
        report.require(
            rows == expected, f"stage {stage}: metrics of the continued run differ from the undisturbed one's"
        )


def largest(values: list[float]) -> float:
    """NaN if one of them is; `max` would pass over it."""
    return float(torch.tensor(values, dtype=torch.float64).max()) if values else 0.0


def largest_gap(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    if one.keys() != other.keys():
        raise ValueError(f"weights by other names: {sorted(one.keys() ^ other.keys())[:3]}")
    return largest([float((one[name] - other[name]).abs().max()) for name in one])


def metric_gap(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    """Largest gap, relative where a number is above 1."""
    pairs = [(a[name], b[name]) for a, b in zip(ours, theirs, strict=True) for name in METRICS]
    if any((a is None) != (b is None) for a, b in pairs):
        return float("nan")
    return largest([abs(a - b) / max(1.0, abs(b)) for a, b in pairs if a is not None])
