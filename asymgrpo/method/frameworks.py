"""Our arms under the conventions that a framework has by default: `asymgrpo arms --like verl`.

The values are those of the packages of tests/method/peers/record.py, read and recorded there; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asymgrpo.method.arm import Arm, GroupStandardized
from asymgrpo.method.arms import ARMS, acting, differences

LIKE: dict[str, dict[str, Any]] = {
    "verl": {"dual_clip": 3.0, "ddof": 1, "eps": 1e-6},
    "trl": {"dual_clip": None, "ddof": 1, "eps": 1e-4},
    "openrlhf": {"dual_clip": None, "ddof": 1, "eps": 1e-9},
}
"""Framework -> what it does in every arm, as under `arms.all` of a configuration: its cap on the loss of A < 0, and the standard
deviation and epsilon where an arm divides by one."""


def like(arm: Arm, framework: str) -> Arm:
    """The arm with the framework's conventions, as far as it has a use for them."""
    changes = acting(arm, LIKE[framework])
    parameters = {key: changes.pop(key) for key in list(changes) if key in arm.advantage_parameters}
    return arm.but(advantage=arm.advantage.model_dump() | parameters, **changes)


def listing(framework: str) -> str:
    """All arms: what the framework's conventions change, and the advantage of one correct rollout of eight."""
    lines = [f"{'arm':24}{'changes':48}A of 1 correct of 8"]
    for name, arm in ARMS.items():
        other = like(arm, framework)
        lines.append(f"{name:24}{_changes(arm, other):48}{_first(arm):+.4f} -> {_first(other):+.4f}")
    yaml = ", ".join(f"{key}: {'null' if value is None else value}" for key, value in LIKE[framework].items())
    return "\n".join([*lines, "", f"In a configuration: arms: {{all: {{{yaml}}}}}"])


def _changes(arm: Arm, other: Arm) -> str:
    mine, theirs = differences(arm), differences(other)
    told = [f"dual_clip {other.dual_clip:g}"] if theirs.get("dual_clip") != mine.get("dual_clip") else []
    if isinstance(other.advantage, GroupStandardized) and other.advantage != arm.advantage:
        told.append("sample std" if other.advantage.ddof else "population std")
    elif other.advantage != arm.advantage:
        told.append(", ".join(f"{key} {value}" for key, value in _moved(arm, other).items()))
    return "; ".join(told) or "none"


def _moved(arm: Arm, other: Arm) -> Mapping[str, Any]:
    before = arm.advantage_parameters
    return {key: value for key, value in other.advantage_parameters.items() if value != before[key]}


def _first(arm: Arm) -> float:
    import torch

    rewards = torch.tril(torch.ones(9, 8, dtype=torch.float64), diagonal=-1)
    return float(arm.estimate(rewards)[1, 0])
