"""Held-out responses: drawn from the policy of the state, graded, and scored again after every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asymgrpo.probe.held_out import Facts, Scores
from asymgrpo.rollout import Request
from asymgrpo.seeds import derive
from asymgrpo.training import scoring
from asymgrpo.training.batch import Batch, by_rows, pack
from asymgrpo.training.dynamic import Problem
from asymgrpo.training.trainer import Trainer
from asymgrpo.verifier import reward


@dataclass(frozen=True)
class Held:
    """Responses to P prompts, m to each, in the order of the prompts."""

    batch: Batch
    facts: Facts
    parts: Sequence[Tensor]
    """Rows that go through the model together."""

    def scores(self, forward: scoring.Forward, device: torch.device) -> Scores:
        """What the current policy says of them."""
        found = scoring.score(forward, self.batch, self.parts, device)
        sums = ((grid.double() * self.batch.mask).sum(dim=1) for grid in (found.logp, found.entropy))
        logp, entropy = (total.reshape(self.facts.correct.shape).numpy() for total in sums)
        return Scores(logp, entropy)


def respond(trainer: Trainer, problems: Sequence[Problem], number: int, name: str, step: int) -> Held:
    """`number` responses to each of the problems, from the sampler's weights, graded as in training.

    A response's seed is a function of (run, step, name of the set, place of the prompt in it, number of the response).
    """
    train, run_seed = trainer.train, trainer.run_seed
    requests = [
        Request(p.prompt_ids, tuple(derive("probe", run_seed, step, name, place, i) for i in range(number)))
        for place, p in enumerate(problems)
    ]
    trainer.sampler.wake()
    groups = trainer.sampler.generate(requests, train.temperature, train.top_p, train.max_tokens)
    trainer.sampler.sleep()
    flat = [response for group in groups for response in group]
    verdicts = trainer.grade(flat, [p.answer for p in problems for _ in range(number)])
    shape = (len(problems), number)
    correct = np.array([reward(verdict) for verdict in verdicts], float).reshape(shape)
    tokens = np.array([len(response.response_ids) for response in flat], float).reshape(shape)
    batch = pack(flat)
    return Held(batch, Facts(correct, tokens), by_rows(batch.widths, torch.arange(len(flat)), train.micro_batch))
