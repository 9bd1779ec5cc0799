"""Twenty steps of every arm on a very small model, and how two recordings of them are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from asymgrpo.method.arms import get_arm
from tests.helpers.tiny_trainer import even_wins_in_time, make_trainer, settings, steps, tiny_model

FILE = Path(__file__).with_name("recorded.json")
COLUMNS = ("loss", "grad_norm", "entropy", "reward_mean")
STEPS = 20
SHAPE = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16}
TRAIN = settings(
    steps=STEPS,
    prompts_per_step=4,
    group_size=4,
    micro_batch=8,
    max_tokens=8,
    learning_rate=6e-3,
    adam_eps=1e-4,
    displacement_every=STEPS + 1,
)
"""Adam's epsilon is large so that a gradient of 0 up to rounding moves no weight by a whole learning rate."""
OVERRIDES = {
    "grpo_adaptive_entropy": {"adaptive_entropy": {"target": 2.6, "delta": 0.005, "low": 0.0, "high": 1.0}},
    "pass_at_k": {"k": 2},
    "grpo_off_policy": {"off_policy_delta": 0.01},
    "dppo_tv": {"surrogate": {"kind": "dppo_tv", "delta": 0.005, "cap": 20.0}},
}
"""A random model's entropy starts far above the target of 0.2 that the study uses; every draw of 4 of 4 is the same; two small
updates move less than the published bounds 0.5 and 0.2."""
RELATIVE = 1e-4
"""Of a column's largest value: what other processors' rounding may do to one step."""
SYSTEMATIC = 1e-5
"""Of the same: what it may do to the mean over the steps, where rounding averages out."""

Trajectory = Mapping[str, Sequence[float]]


def trajectory(name: str, run_seed: int, noise_seed: int | None = None) -> dict[str, list[float]]:
    """COLUMNS over the steps of one arm; with a noise seed, from weights that are off by about float32's rounding."""
    model = tiny_model(**SHAPE)
    if noise_seed is not None:
        g = torch.Generator().manual_seed(noise_seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1 + 2**-22 * torch.randn(parameter.shape, generator=g))
    trainer = make_trainer(get_arm(name, OVERRIDES.get(name)), TRAIN, model, grade=even_wins_in_time, run_seed=run_seed)
    rows = steps(trainer, 1, STEPS)
    return {column: [row[column] for row in rows] for column in COLUMNS}


def residuals(found: Trajectory, recorded: Trajectory) -> dict[str, np.ndarray]:
    """Signed differences [steps] per column, in units of the recorded column's largest absolute value."""
    return {c: (np.array(found[c]) - recorded[c]) / np.abs(recorded[c]).max() for c in COLUMNS}


def faults(found: Trajectory, recorded: Trajectory, tolerance: float = 1.0) -> list[str]:
    """A sentence for each way in which a trajectory is not the recorded one; both bounds are scaled by `tolerance`."""
    said = []
    for column, residual in residuals(found, recorded).items():
        worst, mean = int(np.abs(residual).argmax()), residual.mean()
        if abs(residual[worst]) > RELATIVE * tolerance:
            said.append(f"{column} is off by {residual[worst]:.1e} (relative) at step {worst + 1}")
        if abs(mean) > SYSTEMATIC * tolerance:
            said.append(f"{column} is off by {mean:.1e} (relative) on average: rounding has no direction")
    return said


def steady_seed(name: str) -> int:
    """The first run seed whose trajectory does not turn on rounding.

    A draw, a clip bound or a choice of tokens may be so close a call that another processor decides it differently.
    """
    for run_seed in range(100):
        plain = trajectory(name, run_seed)
        if not any(faults(trajectory(name, run_seed, noise), plain, tolerance=0.2) for noise in range(3)):
            return run_seed
    raise RuntimeError(f"no run seed gives a steady trajectory of {name}; make the learning rate smaller.")


def read() -> dict[str, dict]:
    """Arm -> run_seed and COLUMNS, as recorded."""
    return json.loads(FILE.read_text())
