"""The policy as the trainer sees it: response log-probabilities and entropies of a batch, nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from asymgrpo.method.head import with_float32_logits
from asymgrpo.method.logprobs import chunked_token_logprobs_and_entropy, token_logprobs_and_entropy
from asymgrpo.models import layers
from asymgrpo.training import packed
from asymgrpo.training.batch import Batch


class Policy(nn.Module):
    """A causal language model whose logits are made for response tokens only."""

    def __init__(self, model: Any, temperature: float, logits_chunk: int | None, head_dtype: str = "float32"):
        """`head_dtype`: float32, or model for logits of the model's own precision (asymgrpo.study.sections.train.Train)."""
        super().__init__()
        self.model: Any = with_float32_logits(model) if head_dtype == "float32" else model
        self.temperature, self.logits_chunk = temperature, logits_chunk
        self.packs = layers.knows(model)
        """Whether the model's own layers are replaced by asymgrpo.models.layers as long as the weights are whole and on a CPU."""

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """log pi(token) and entropy over the full vocabulary, both [B, R] in nats, float32, at the sampling temperature.

        Padding on the right needs no attention mask: attention is causal, and padded positions are never read.
        """
        where = batch.mask.bool()
        picked, targets = self.predicting_states(batch, where), batch.response_ids[where]
        if self.logits_chunk is None:
            logp, entropy = token_logprobs_and_entropy(self.model.lm_head(picked), targets, self.temperature)
        else:
            logp, entropy = chunked_token_logprobs_and_entropy(
                picked, self.model.lm_head, targets, self.temperature, self.logits_chunk
            )
        blank = torch.zeros_like(batch.mask)
        return blank.masked_scatter(where, logp), blank.masked_scatter(where, entropy)

    def predicting_states(self, batch: Batch, where: Tensor) -> Tensor:
        """[n, H] last hidden states of the tokens that predict a response's, row by row."""
        if self.packs and layers.is_whole_on_cpu(self.model):
            return packed.predicting_states(self.model, batch)
        hidden = self.model.model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
        row = torch.arange(len(batch), device=hidden.device)[:, None].expand_as(where)
        return hidden[row[where], batch.predictors[where]]
