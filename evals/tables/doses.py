"""The doses of a study's arms: as its protocol declared them, or, exploratory, from what its own runs left.

Without a protocol they come from the groups of the study's own GRPO runs and from the advantages that conventions.json lists
beside each run. These are numbers seen after the fact, and every row says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from asymgrpo.method.arm import Arm, UserFunction
from asymgrpo.method.arms import GRPO, differences
from evals.estimates.outcomes import outcome_of
from evals.io import DataError, read_json, read_metadata, read_table
from evals.protocol import dose
from evals.protocol.compare import DECLARED, EXPLORATORY
from evals.protocol.files import read, sha256
from evals.protocol.rows import Runs


@dataclass(frozen=True)
class Doses:
    """Of one model. arms: arm -> dose, None if it has none; besides: arm -> the fields but its advantage in which it differs from
    GRPO; declared: whether they were declared before the runs, in words."""

    arms: Mapping[str, float | None]
    besides: Mapping[str, Sequence[str]]
    declared: str

    @property
    def alone(self) -> dict[str, float]:
        """The doses of arms that differ from GRPO in their advantage alone."""
        return {arm: x for arm, x in self.arms.items() if x is not None and not self.besides.get(arm)}


def declared(protocol: Path, runs: Runs) -> dict[str, Doses]:
    """Model -> the doses that a protocol declares; none if it declares none. runs: the protocols that the runs state.

    Raises:
        DataError, ProtocolError: the file is no protocol.
    """
    found = read(protocol)
    digest, models = sha256(found), found.get("dose", {}).get("models", {})
    return {
        model: Doses(of["arms"], of["besides"], _stated(model, of["arms"], runs, digest))
        for model, of in models.items()
    }


def _stated(model: str, arms: Mapping[str, Any], runs: Runs, digest: str) -> str:
    others = [
        f"{arm} seed {seed}"
        for (of_model, arm, seed), told in runs.items()
        if of_model == model and arms.get(arm) is not None and told != digest
    ]
    if not others:
        return DECLARED
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f"{EXPLORATORY}: runs without this protocol: {', '.join(others[:3])}{more}"


def afterwards(metrics: Sequence[Path], conventions: Sequence[Path]) -> dict[str, Doses]:
    """Model -> doses from the study's own runs.

    Args:
        metrics: of its runs; those of GRPO that finished are read.
        conventions: conventions.json, beside the metrics of at least one run of each arm.
    """
    counts: dict[str, np.ndarray] = {}
    for path in metrics:
        about = read_metadata(path)
        if about.get("arm") == GRPO.name and not outcome_of(path, about):
            rows = read_table(path, [dose.COUNTS])[dose.COUNTS].to_pylist()
            counts[about["model"]] = counts.get(about["model"], 0) + np.sum(np.array(rows, float), axis=0)
    return {model: _of_conventions(model, mine, conventions) for model, mine in counts.items()}


def _of_conventions(model: str, counts: np.ndarray, conventions: Sequence[Path]) -> Doses:
    arms: dict[str, float | None] = {}
    besides: dict[str, list[str]] = {}
    for path in conventions:
        told = read_json(path).get("arm", {})
        if path.parts[-4] != model or told.get("arm") in arms:
            continue
        try:
            arm = Arm.model_validate({"name": told["arm"], **told["fields"]})
            arms[arm.name] = _dose(arm, told["advantages"], counts)
        except (KeyError, TypeError, ValidationError):
            raise DataError(f"{path}: it does not say what its arm is; make the run again with this version") from None
        if found := dose.besides(arm):
            besides[arm.name] = found
    return Doses(arms, besides, f"{EXPLORATORY}: doses from the groups of these runs, no protocol declares them")


def _dose(arm: Arm, advantages: Mapping[str, Mapping[str, float]], counts: np.ndarray) -> float | None:
    """The dose by the listed advantages; None where they are of groups of another size, or the arm's are no list."""
    size = len(counts) - 1
    groups = [advantages.get(f"{k} of {size} correct") for k in range(1, size)]
    other = arm.advantage.reads_batch or isinstance(arm.advantage, UserFunction)
    if other or {"reward", "overlong_buffer"} & differences(arm).keys() or len(advantages) != size + 1:
        return None
    return dose.dose([group["correct"] - group["wrong"] for group in groups if group], counts)
