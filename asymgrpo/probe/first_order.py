"""The linear probe of one batch: gradients of its sources and of the targets, and what every arm does by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import differences
from asymgrpo.method.reduce import counts
from asymgrpo.probe.gradients import Combination, Gradients, as_sources, sources_of
from asymgrpo.probe.held_out import TARGETS, Scores, coefficients, levels
from asymgrpo.probe.linear import CHANNELS, Array, Sources, effects, norm, of_signs, same_size, weights
from asymgrpo.probe.responses import Held
from asymgrpo.probe.steps import SCALES, advantages_of
from asymgrpo.study.sections.train import Train
from asymgrpo.training.batch import by_rows, pack
from asymgrpo.training.dynamic import Drawn
from asymgrpo.training.trainer import Trainer

Row = dict[str, Any]
UNDERSTOOD = {"advantage", "clip_low", "clip_high", "dual_clip", "entropy_coef", "reduction"}
"""Fields in which an arm may differ from GRPO to be in the linear probe: where all ratios are 1 no bound acts."""
PER_TOKEN = "token_entropy"
"""Token-mean entropy, E[sum over a response's tokens] / E[number of tokens], nats."""


def sources(
    trainer: Trainer, drawn: Drawn, groups: int, held: Mapping[str, Held], before: Mapping[str, Scores], scratch: Path
) -> Sources:
    """Inner products of the channels of the first `groups` groups, with each other and with "SET/TARGET" of the held-out sets."""
    engine, size = trainer.engine, trainer.train.group_size
    batch = pack([response for group in drawn.groups[:groups] for response in group])
    trains = trainer.trains(batch, drawn.verdicts[:groups])
    channels = sources_of(drawn.rewards[:groups].double().numpy())
    by_group = [
        group[part]
        for group in torch.arange(len(batch)).split(size)
        for part in by_rows(batch.widths[group], torch.arange(size), trainer.train.micro_batch)
    ]
    wanted = {name: _flat(coefficients(held[name].facts, before[name])) for name in held}
    pairs = list(engine.adam_metric())
    rows = Gradients([parameter for parameter, _ in pairs], len(channels) + len(held) * len(TARGETS), scratch)
    rows.fill(0, channels, engine.probe, batch, trains, by_group)
    for number, (name, responses) in enumerate(held.items()):
        first = len(channels) + number * len(TARGETS)
        rows.fill(first, wanted[name], engine.probe, responses.batch, responses.batch.mask, responses.parts)
    names = [f"{name}/{target}" for name in held for target in TARGETS]
    found = as_sources(rows.inner([metric for _, metric in pairs]), groups, names)
    for name in held:
        found.targets[f"{name}/{PER_TOKEN}"] = per_token(found, name, levels(held[name].facts, before[name]))
    return found


def _flat(found: Mapping[str, Combination]) -> list[Combination]:
    return [(a.ravel(), c.ravel()) for a, c in (found[target] for target in TARGETS)]


def per_token(found: Sources, name: str, level: Mapping[str, Array]) -> Array:
    """[n, 3] inner products with the gradient of the token-mean entropy, from those of the sum and of the length."""
    entropy, tokens = level["entropy"].mean(), level["tokens"].mean()
    slope: Array = (found.targets[f"{name}/entropy"] - entropy / tokens * found.targets[f"{name}/tokens"]) / tokens
    return slope


def divisors(arm: Arm, train: Train, trains: Tensor) -> Array:
    """[prompts]: what the arm's reduction divides the losses of each group's update by; trains [B, R]."""
    found: list[float] = []
    for share in trains.split(len(trains) // train.updates_per_rollout):
        tokens, sequences = counts(share)
        divisor = {"token": tokens, "constant": train.max_tokens * sequences}[arm.reduction]
        found += [float(max(divisor, 1))] * (len(share) // train.group_size)
    return np.array(found)


def weights_of(trainer: Trainer, drawn: Drawn, step: int) -> Array | None:
    """[prompts, 3] weights of the sources in the gradient of a trainer's arm; None for an arm that is more than that."""
    arm = trainer.arm
    if differences(arm).keys() - UNDERSTOOD or arm.reduction == "sequence":
        return None
    advantages = advantages_of(trainer, drawn, step).double().numpy()
    signs = of_signs(advantages, drawn.rewards.double().numpy())
    if signs is None:
        return None
    batch = pack([response for group in drawn.groups for response in group])
    trains = trainer.trains(batch, drawn.verdicts)
    return weights(*signs, arm.entropy_coef, divisors(arm, trainer.train, trains))


def linear_rows(
    trainers: Mapping[str, Trainer], reference: str, drawn: Drawn, step: int, found: Sources, accuracy: Array
) -> Iterator[Row]:
    """The inner products, and every arm's first-order effect by source group, at the run's rate and at the reference's norm."""
    yield from inner_rows(found)
    groups, rate = len(found.gram), trainers[reference].train.learning_rate
    told = {name: weights_of(trainer, drawn, step) for name, trainer in trainers.items()}
    mine = {name: weight[:groups] for name, weight in told.items() if weight is not None}
    sizes = {name: norm(found, weight) for name, weight in mine.items()}
    for name, weight in mine.items():
        for scale, factor in zip(SCALES, (1.0, same_size(sizes[name], sizes[reference])), strict=True):
            about = {"part": "linear", "arm": name, "scale": scale}
            yield about | {"quantity": "norm", "value": rate * factor * sizes[name]}
            for target in found.targets:
                prompts, quantity = target.split("/")
                parts = rate * factor * effects(found, weight, target)
                yield from over_prompts(about | {"prompts": prompts, "quantity": quantity}, parts, accuracy)


def inner_rows(found: Sources) -> Iterator[Row]:
    """Gram matrix (each pair once) and inner products with the targets."""
    n, channels = found.gram.shape[:2]
    matrix = found.gram.reshape(n * channels, n * channels)
    for one in range(n * channels):
        about = {"prompt": one // channels, "channel": CHANNELS[one % channels]}
        for other in range(one, n * channels):
            to = {"other_prompt": other // channels, "other_channel": CHANNELS[other % channels]}
            yield about | to | {"part": "gram", "value": float(matrix[one, other])}
        for target, values in found.targets.items():
            prompts, quantity = target.split("/")
            value = float(values.reshape(-1)[one])
            yield about | {"part": "inner", "prompts": prompts, "quantity": quantity, "value": value}


def over_prompts(about: Row, values: Array, accuracy: Sequence[float] | Array | None = None) -> Iterator[Row]:
    """A row per prompt; a value that does not exist is left out."""
    for prompt, value in enumerate(values.tolist()):
        if not np.isnan(value):
            told = {} if accuracy is None else {"accuracy": float(accuracy[prompt])}
            yield about | told | {"prompt": prompt, "value": value}
