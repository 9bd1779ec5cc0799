"""An advantage of the user's own: a Python function of rewards, carried as text, checked on a grid before anything trains.

The text is part of the arm, and so of the settings that results state: a job needs no further file, and another text is another
arm. The function gets a NumPy array of float64 [prompts, group] that holds 0 and 1, and returns as many finite numbers. It must
give the same values for the same rewards, whatever other prompts are beside them.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from asymgrpo.errors import ArmError

if TYPE_CHECKING:
    from torch import Tensor

    from asymgrpo.method.arm import UserFunction

TOLERANCE = 1e-12


def python(rewards: Tensor, file: str, function: str, sha256: str, source: str) -> Tensor:
    """The estimator `python`: the user's function applied to binary rewards [prompts, group]."""
    import torch

    from asymgrpo.method.rewards import binary, like

    values = binary(rewards, f"{file}:{function}").to(torch.float64)
    found = np.asarray(_function(source, file, function)(values.cpu().numpy().copy()), dtype=np.float64)
    return like(rewards, torch.from_numpy(found.copy()).to(rewards.device))


def check_function(advantage: UserFunction, name: str, group: int) -> None:
    """Raises ArmError unless the function of arm `name` gives advantages for groups of this size, alike each time."""
    where = f"arms.{name}.python: {advantage.file}:{advantage.function}"
    grid = rewards_grid(group)
    values = _called(advantage, grid, where)
    if not np.isfinite(values).all():
        row = grid[~np.isfinite(values).all(axis=1)][0]
        raise ArmError(
            f"{where} returns {values[~np.isfinite(values)][0]} for a group with {int(row.sum())} of {group} correct; return "
            "finite numbers, for all-correct and all-wrong groups too."
        )
    if not np.allclose(_called(advantage, grid, where), values, rtol=0, atol=TOLERANCE):
        raise ArmError(f"{where} gives other values when it is called again; make it a function of the rewards alone.")
    parts = [_called(advantage, part, where) for part in np.array_split(grid[::-1], 4)]
    if not np.allclose(np.concatenate(parts)[::-1], values, rtol=0, atol=TOLERANCE):
        raise ArmError(
            f"{where} gives a prompt other values when other prompts are beside it; use the rewards of its own row only (ranks "
            "see different prompts)."
        )


def rewards_grid(group: int) -> np.ndarray:
    """[2 G + 2, G] rewards: every number of correct rollouts, at the beginning and at the end of the group.

    >>> rewards_grid(2)
    array([[0., 0.],
           [1., 0.],
           [1., 1.],
           [0., 0.],
           [0., 1.],
           [1., 1.]])
    """
    rows = np.tril(np.ones((group + 1, group)), k=-1)
    return np.concatenate([rows, rows[:, ::-1]])


def _called(advantage: UserFunction, rewards: np.ndarray, where: str) -> np.ndarray:
    function = _function(advantage.source, advantage.file, advantage.function)
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(function(rewards.copy()), dtype=np.float64)
    except (Exception, SystemExit) as error:  # whatever a user's code raises is said in one sentence
        raise ArmError(f"{where} fails on rewards of the shape {list(rewards.shape)}: {_said(error)}.") from error
    if values.shape != rewards.shape:
        raise ArmError(
            f"{where} returns the shape {list(values.shape)} for rewards [prompts, group] = {list(rewards.shape)}; return one "
            "advantage for each reward."
        )
    return values


@functools.lru_cache
def _function(source: str, file: str, function: str) -> Callable[[np.ndarray], Any]:
    module = types.ModuleType(file.removesuffix(".py"))
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ArmError(f"{file} cannot be run: {_said(error)}; correct it.") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise ArmError(f"{file} has no function {function!r}; define it, or name another after the colon.")
    return found


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
