"""Rollouts in plain torch: one prefill per prompt, finished rows are dropped, uniform numbers come from each sample's seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from asymgrpo.models.architecture import WHOLE
from asymgrpo.rollout.base import Request, Rollout
from asymgrpo.rollout.decoder import Cache, Decoder
from asymgrpo.rollout.whole_decoder import Texts, WholeDecoder
from asymgrpo.seeds import uniforms

KEEP_SHARE = 0.9  # compact the batch when no more than this share of its rows is still running


class TorchSampler:
    """A `Sampler` on the device of its first weights, or on `device`; uniform numbers are drawn on the CPU everywhere."""

    def __init__(
        self,
        config,
        weights: Iterable[tuple[str, Tensor]],
        eos_ids: Sequence[int],
        device: torch.device | None = None,
        head_dtype: str = "float32",
    ):
        kind: Any = WholeDecoder if config.model_type in WHOLE else Decoder
        self.decoder = kind(config, dict(weights), head_dtype, device)
        self.device = self.decoder.device
        self.eos_ids = torch.tensor(sorted(eos_ids), device=self.device)

    def update_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        self.decoder.load(dict(weights))

    def sleep(self) -> None:
        """Nothing to release: weights are small and caches live within `generate`."""

    wake = sleep

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[Request], temperature: float, top_p: float, max_tokens: int
    ) -> list[list[Rollout]]:
        prompts = [torch.tensor(r.prompt_ids) for r in requests]
        tokens = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True).to(self.device)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        slots = max(len(prompt) for prompt in prompts) + max_tokens
        logits, cache = self.decoder.prefill(tokens, lengths, slots)
        flat = [(request, seed) for request in requests for seed in request.seeds]
        owner = torch.tensor([i for i, r in enumerate(requests) for _ in r.seeds], device=self.device)
        uniform = torch.from_numpy(uniforms([seed for _, seed in flat], max_tokens)).to(self.device)
        found = self._decode(logits[owner], cache.select(owner), lengths[owner], uniform, temperature, top_p)
        ids, logprobs, n_tokens, stopped = (part.cpu() for part in found)
        rollouts = iter(
            Rollout(
                prompt_ids=request.prompt_ids,
                response_ids=tuple(ids[i, :n].tolist()),
                logprobs=tuple(logprobs[i, :n].tolist()),
                finish_reason="stop" if stopped[i] else "length",
                seed=seed,
            )
            for i, (n, (request, seed)) in enumerate(zip(n_tokens.tolist(), flat, strict=True))
        )
        return [[next(rollouts) for _ in request.seeds] for request in requests]

    def _decode(
        self,
        logits: Tensor,
        cache: Cache | Texts,
        positions: Tensor,
        uniform: Tensor,
        temperature: float,
        top_p: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sample until every row has stopped or is full.

        Returns ids and log-probabilities [rows, max_tokens], token counts and whether each stopped [rows].
        """
        (rows, max_tokens), here = uniform.shape, self.device
        ids = torch.zeros(max_tokens, rows, dtype=torch.long, device=here)
        logprobs = torch.zeros(max_tokens, rows, device=here)
        where = torch.arange(rows, device=here)  # which row of the result each running row writes
        running = torch.ones(rows, dtype=torch.bool, device=here)
        for t in range(max_tokens):
            token, logprob = sample(logits, uniform[where, t], temperature, top_p)
            ids[t, where], logprobs[t, where] = token, logprob  # nobody reads what a row draws after its end
            running = running & ~torch.isin(token, self.eos_ids)
            n_running = int(running.sum())
            if n_running == 0 or t + 1 == max_tokens:
                break
            if n_running <= KEEP_SHARE * len(running):
                old, new = moves(running, n_running)
                cache = cache.move(old, new, int(positions.max()), n_running)
                rest = torch.arange(len(running), device=here).index_copy_(0, new, old)[:n_running]
                token, positions, where, running = token[rest], positions[rest], where[rest], running[rest]
            logits = self.decoder.decode(token, positions, int(positions.max()) + 1, cache)
            positions = positions + 1
        ends = torch.isin(ids, self.eos_ids)
        stopped = ends.any(dim=0)
        n_tokens = torch.where(stopped, ends.int().argmax(dim=0) + 1, max_tokens)
        return ids.T, logprobs.T, n_tokens, stopped


def moves(running: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(old, new) places of the running rows that must move for all n to be the first.

    >>> [places.tolist() for places in moves(torch.tensor([True, False, True, False, True]), 3)]
    [[4], [1]]
    """
    return n + running[n:].nonzero()[:, 0], (~running[:n]).nonzero()[:, 0]


def sample(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """Draw one token per row by inverting the distribution function at `uniform` -> token [rows], log-probability [rows].

    logits [rows, vocab] float32, uniform [rows] float64 in [0, 1). The log-probability is that of the full distribution at
    `temperature` (before top_p cuts it); temperature 0 takes the most probable token, with the model's own log-probability.

    >>> logits = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    >>> sample(logits, torch.tensor([0.1, 0.9], dtype=torch.float64), 1.0, 1.0)[0].tolist()
    [0, 1]
    """
    logp = torch.log_softmax(logits if temperature in (0, 1) else logits / temperature, dim=-1)
    if temperature == 0:
        token = logp.argmax(dim=-1)
    else:
        probabilities = logp.double().exp()
        if top_p < 1:
            probabilities = _nucleus(probabilities, top_p)
        cumulative = probabilities.cumsum(dim=-1)
        token = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)[:, 0]
        token = token.clamp_max(logits.shape[-1] - 1)
    return token, logp.gather(-1, token[:, None])[:, 0]


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero all but the smallest set of tokens whose mass reaches top_p."""
    ordered, order = probabilities.sort(dim=-1, descending=True)
    outside = ordered.cumsum(dim=-1) - ordered >= top_p
    return probabilities.scatter(-1, order, ordered.masked_fill(outside, 0.0))
