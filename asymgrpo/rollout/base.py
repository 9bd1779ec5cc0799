"""The protocol between whoever needs responses (trainer, evaluation) and whatever generates them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from asymgrpo.errors import FailedError


@dataclass(frozen=True)
class Request:
    """One prompt and the seeds of its samples: one sample per seed, and a sample depends on nothing else."""

    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Rollout:
    """One sampled response."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    """The end token included when finish_reason is `stop`; never empty."""
    logprobs: tuple[float, ...]
    """log pi(token | before) under the sampler, in nats, at the sampling temperature (at temperature 0: of the model itself)."""
    finish_reason: Literal["stop", "length"]
    seed: int


@dataclass(frozen=True)
class Limits:
    """What a sampler may take and how closely it is watched. The torch sampler needs none of this."""

    max_model_len: int | None
    """Longest prompt and response together, in tokens; None: all positions that the model has."""
    memory_fraction: float
    """Share of a GPU's memory for weights and cache (on a CPU: a fixed cache, see vllm_sampler)."""
    verify_weights_every: int
    """Compare checksums of sampler and trainer weights at the first and then at every n-th update; 0: never."""
    head_dtype: Literal["float32", "model"] = "float32"
    """Of the logits, as in asymgrpo.study.sections.train.Train."""
    sleeps: bool = True
    """Whether somebody else uses the GPU's memory between rollouts, as a trainer does; a process can have one such sampler."""


EVALUATION_LIMITS = Limits(max_model_len=None, memory_fraction=0.9, verify_weights_every=1, sleeps=False)
"""Alone on its GPU, weights compared with each checkpoint's."""


class SamplerError(FailedError):
    """The sampler is not what the trainer believes it to be; the message says what differs."""


class Sampler(Protocol):
    """Generates from its own copy of the weights, which `update_weights` replaces."""

    def generate(
        self, requests: Sequence[Request], temperature: float, top_p: float, max_tokens: int
    ) -> list[list[Rollout]]:
        """Responses per request, in the order of its seeds. Temperature 0 is greedy."""
        ...

    def update_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Take new weights by their names in the Hugging Face model; everything cached from old ones is dropped."""
        ...

    def sleep(self) -> None:
        """Give memory back while the trainer works."""
        ...

    def wake(self) -> None: ...
