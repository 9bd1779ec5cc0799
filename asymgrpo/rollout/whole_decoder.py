"""What asymgrpo.rollout.decoder does, by transformers' own forward pass over the whole text at every token.

For architectures that the decoder does not compute (asymgrpo.models.architecture.WHOLE). No cache of keys: slow, right by
construction, good for small models; vLLM samples the large ones.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from asymgrpo.errors import ModelError
from asymgrpo.method.head import with_float32_logits


class Texts:
    """Tokens [rows, slots] so far, in the place of keys and values; slot = position."""

    def __init__(self, tokens: Tensor):
        self.tokens = tokens

    def select(self, rows: Tensor) -> Texts:
        return Texts(self.tokens[rows])

    def move(self, old: Tensor, new: Tensor, used: int, rows: int) -> Texts:
        """As of `Cache`."""
        self.tokens[new] = self.tokens[old]
        return Texts(self.tokens[:rows])


class WholeDecoder:
    """A model of transformers with the methods of asymgrpo.rollout.decoder.Decoder."""

    def __init__(self, config, weights: dict[str, Tensor], head_dtype: str, device: torch.device | None = None):
        """As of `Decoder`."""
        from transformers import AutoConfig, AutoModelForCausalLM

        told = dict(vars(config)) if isinstance(config, SimpleNamespace) else config.to_dict()
        if not any(isinstance(value, dict) for value in told["rope_parameters"].values()):
            del told["rope_parameters"]  # of read_shape, one for all kinds of layers; the file's own fields say enough
        embedding = weights["model.embed_tokens.weight"]
        self.device = device or embedding.device
        with torch.random.fork_rng(devices=[]):  # initial weights, which are replaced, must not move the generator
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**told), dtype=embedding.dtype)
        model = with_float32_logits(model) if head_dtype == "float32" else model
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.load(weights)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Copy named Hugging Face weights. Raises ModelError when some are missing or unknown."""
        missing, unknown = self.model.load_state_dict(weights, strict=False)
        tied = {"lm_head.weight"} if self.model.config.tie_word_embeddings else set()
        if odd := [*(set(missing) - tied), *unknown]:
            raise ModelError(
                f"the weights lack, or have beside the model's, {', '.join(sorted(odd))}; make the model again."
            )

    def prefill(self, tokens: Tensor, lengths: Tensor, slots: int) -> tuple[Tensor, Texts]:
        """tokens [batch, width] padded on the right -> logits of each row's last token [batch, vocab], and the texts."""
        batch, width = tokens.shape
        texts = torch.zeros(batch, slots, dtype=torch.long, device=self.device)
        texts[:, :width] = tokens
        return self._logits(texts[:, :width], lengths - 1), Texts(texts)

    def decode(self, tokens: Tensor, positions: Tensor, used: int, cache: Texts) -> Tensor:
        """One step: tokens [batch] at positions [batch] -> logits of the next token [batch, vocab]."""
        cache.tokens[torch.arange(len(tokens), device=self.device), positions] = tokens
        return self._logits(cache.tokens[:, :used], positions)

    def _logits(self, texts: Tensor, last: Tensor) -> Tensor:
        """Padding on the right needs no mask: attention is causal."""
        hidden = self.model.model(input_ids=texts, use_cache=False).last_hidden_state
        return self.model.lm_head(hidden[torch.arange(len(texts), device=self.device), last]).float()
