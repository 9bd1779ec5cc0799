"""Real steps: from one state every arm makes its whole update on one batch, and held-out responses are scored after each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from asymgrpo.errors import FailedError
from asymgrpo.probe.held_out import Scores
from asymgrpo.probe.linear import same_size
from asymgrpo.probe.responses import Held
from asymgrpo.study.outcome import DivergedError
from asymgrpo.training.batch import pack
from asymgrpo.training.dynamic import Drawn
from asymgrpo.training.engine import Engine
from asymgrpo.training.trainer import Trainer, control_seed

NONE = "none"
"""The name, among arms, of an update without a gradient: Adam still moves by the gradients of earlier batches."""
SCALES = ("rate", "size")
"""rate: the step as the arm makes it, at the run's learning rate. size: its own part scaled to the norm of the reference's."""


class Weights:
    """The weights of an engine of ZeRO stage 0, as vectors: kept, compared, set."""

    def __init__(self, engine: Engine):
        """Take the engine's weights as the state, with the metric of its optimizer."""
        pairs = list(engine.adam_metric())
        self.parameters = [parameter.detach() for parameter, _ in pairs]
        self.metric = [metric for _, metric in pairs]
        self.state = [parameter.clone() for parameter in self.parameters]

    def moved(self) -> list[Tensor]:
        """How far the weights are from the state."""
        return [now - then for now, then in zip(self.parameters, self.state, strict=True)]

    def put(self, *steps: tuple[float, Sequence[Tensor]]) -> None:
        """Set the weights to the state plus factors times steps."""
        for number, (parameter, then) in enumerate(zip(self.parameters, self.state, strict=True)):
            parameter.copy_(then + sum(factor * step[number] for factor, step in steps))

    def norm(self, step: Sequence[Tensor]) -> float:
        """Norm of a step in the metric D of the state's optimizer: sqrt(sum D step^2)."""
        total = sum(
            float((metric.double() * part.double().square()).sum())
            for metric, part in zip(self.metric, step, strict=True)
        )
        return math.sqrt(total)


@dataclass(frozen=True)
class Step:
    """What one arm did, at one scale."""

    arm: str
    scale: str
    norm: float
    """Of the whole step, in Adam's metric."""
    own: float
    """Of what the step has beyond the momentum's, in the same metric."""
    after: dict[str, Scores]
    """Name of the held-out set -> its scores after the step."""


def advantages_of(trainer: Trainer, drawn: Drawn, step: int) -> Tensor:
    """The trainer's arm on a batch -> [prompts, G]."""
    seeds = [control_seed(trainer.run_seed, step, p.problem_id, p.occurrence, p.extra) for p in drawn.problems]
    return trainer.arm.advantage_fn(trainer.shaped(drawn.rewards, drawn.groups), seeds, trainer.of_all_ranks)


def update(trainer: Trainer, drawn: Drawn, advantages: Tensor, step: int) -> None:
    """All optimizer updates of one batch, as `Trainer.step` makes them; the sampler keeps the weights that it has."""
    batch = pack([rollout for group in drawn.groups for rollout in group])
    trains = trainer.trains(batch, drawn.verdicts)
    passes = trainer.passes(batch, advantages, trains)
    scores = trainer.score(batch, passes.first)
    ahead = trainer.forward(batch, passes.updates[0][0], scores)
    coefficient = trainer.entropy_coef_now(batch, scores, step)
    trainer.update(batch, passes, scores, advantages, trains, coefficient, step, ahead)


def real_steps(
    trainers: Mapping[str, Trainer],
    reference: str,
    drawn: Drawn,
    step: int,
    restore: Callable[[], None],
    held: Mapping[str, Held],
) -> Iterator[Step]:
    """The momentum's step (NONE), the reference's, then those of the other arms, at each scale; the engine ends in the state.

    trainers: arm -> a trainer; all share one engine, which `restore` brings into the state. A step of Adam moves by the gradients
    of earlier batches, too: NONE is the update with the reference's loss and all advantages 0. What an arm does itself is its
    step less that one, and only that part is scaled.

    Raises:
        FailedError: an arm's update is not finite.
    """
    engine = trainers[reference].engine
    weights = Weights(engine)

    def scored() -> dict[str, Scores]:
        return {name: responses.scores(engine.score, engine.device) for name, responses in held.items()}

    def made(trainer: Trainer, advantages: Tensor) -> list[Tensor]:
        restore()
        try:
            update(trainer, drawn, advantages, step)
        except DivergedError as error:
            raise FailedError(
                f"{trainer.arm.name} cannot be probed in step {step}: {error}; leave it out of probe.arms."
            ) from error
        return weights.moved()

    momentum = made(trainers[reference], torch.zeros_like(drawn.rewards))
    yield Step(NONE, SCALES[0], weights.norm(momentum), 0.0, scored())
    size = 0.0
    for name in [reference, *(arm for arm in trainers if arm != reference)]:
        trainer = trainers[name]
        whole = made(trainer, advantages_of(trainer, drawn, step))
        own = less(whole, momentum)
        found = Step(name, "rate", weights.norm(whole), weights.norm(own), scored())
        yield found
        if name == reference:
            size = found.own
            yield replace(found, scale="size")
        else:
            weights.put((1.0, momentum), (same_size(found.own, size), own))
            scaled = weights.moved()
            yield Step(name, "size", weights.norm(scaled), weights.norm(less(scaled, momentum)), scored())
    restore()


def less(step: Sequence[Tensor], other: Sequence[Tensor]) -> list[Tensor]:
    return [one - two for one, two in zip(step, other, strict=True)]


def engine_state(engine: Engine, checkpoint: Path) -> Callable[[], None]:
    """A function that brings the engine into the state of a checkpoint: weights, optimizer, number of updates."""
    return lambda: engine.load_state(checkpoint / "engine")
