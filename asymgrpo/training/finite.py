"""Whether the numbers of a training step are finite, decided on all ranks alike: NaN and infinity pass no comparison by accident.

`x > gate` is false for NaN, so a gate asks for `x <= gate` and what is not finite has been refused here before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from asymgrpo.study.outcome import DivergedError
from asymgrpo.training.engine import Engine


def need_finite(engine: Engine, where: str, step: int, **values: Tensor) -> None:
    """Collective. Every tensor must be finite on every rank; `_` in a name is a blank in the sentence.

    Raises:
        DivergedError: naming the first quantity that is not, and its ranks.
    """
    mine = [name for name, tensor in values.items() if not bool(torch.isfinite(tensor).all())]
    by_rank = engine.gather_objects(mine)
    for name in values:
        if ranks := [rank for rank, wrong in enumerate(by_rank) if name in wrong]:
            on = f" (on rank {', '.join(map(str, ranks))})" if len(by_rank) > 1 else ""
            raise DivergedError(step, f"{name.replace('_', ' ')} not finite {where}{on}")


def need_finite_row(row: Mapping[str, Any]) -> None:
    """Every metric of a step, which all ranks hold alike, must be finite; what was not measured is None.

    >>> need_finite_row({"step": 3, "entropy": 0.5, "cov_by_correct": [0.0, None]})

    Raises:
        DivergedError: naming the metrics that are not.
    """
    wrong = [name for name, value in row.items() if not all(math.isfinite(x) for x in _numbers(value))]
    if wrong:
        step = row["step"]
        raise DivergedError(step, f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not finite in step {step}")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif value is not None:
        yield value
