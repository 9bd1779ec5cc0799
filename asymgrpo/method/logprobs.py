"""Log-probabilities of the sampled tokens and full-vocabulary entropies, at the sampling temperature.

Both are taken in float32 (float64 when the logits are) whatever the precision of the model: chunks of a
log-softmax in bfloat16 move ratios by more than the clip range. Entropies are in nats, over the whole
vocabulary, never -logp of the sampled token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def token_logprobs_and_entropy(logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """logits [N, V], targets [N] -> (logp [N], entropy [N]) of softmax(logits / temperature).

        logp_n = log pi(targets_n)        H_n = -sum_v pi(v) log pi(v)   [nats]

    A logit of -inf has probability 0 and adds nothing to the entropy. Differentiable once; the entropy costs
    no backward work unless it is used. Raises ValueError unless temperature > 0.

    >>> logp, entropy = token_logprobs_and_entropy(torch.zeros(1, 4), torch.tensor([2]), temperature=1.0)
    >>> round(logp.item(), 4), round(entropy.item(), 4)
    (-1.3863, 1.3863)
    """
    if not temperature > 0:
        raise ValueError(f"temperature = {temperature} has no distribution to take ratios of; use one above 0.")
    return _LogprobEntropy.apply(logits, targets, float(temperature))


def chunked_token_logprobs_and_entropy(
    hidden: Tensor, lm_head: Callable[[Tensor], Tensor], targets: Tensor, temperature: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """The same from hidden states [N, H] and the output layer [n, H] -> [n, V], `chunk` tokens at a time.

    Only one chunk of logits exists at any moment; each is computed again in the backward pass. For small
    vocabularies (N * V numbers fit easily) `token_logprobs_and_entropy(lm_head(hidden), ...)` is faster and
    equal. The precision of the matrix product is that of `lm_head`; for exact ratios under bfloat16 let it
    compute in float32.

    >>> head = torch.nn.Linear(3, 5)
    >>> states, targets = torch.randn(7, 3), torch.arange(7) % 5
    >>> logp, entropy = chunked_token_logprobs_and_entropy(states, head, targets, 0.7, chunk=2)
    >>> torch.allclose(logp, token_logprobs_and_entropy(head(states), targets, 0.7)[0])
    True
    """

    def one_chunk(states: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return token_logprobs_and_entropy(lm_head(states), wanted, temperature)

    parts = [
        checkpoint(one_chunk, states, wanted, use_reentrant=False)
        for states, wanted in zip(hidden.split(chunk), targets.split(chunk), strict=True)
    ]
    logps, entropies = zip(*parts, strict=True)
    return torch.cat(logps), torch.cat(entropies)


class _LogprobEntropy(torch.autograd.Function):
    """Closed-form gradients: one softmax forward, none backward, and no entropy work for an unused entropy.

    d logp / d z_v = (1[v = target] - pi_v) / T        d H / d z_v = -pi_v (log pi_v + H) / T
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        scaled = logits if logits.dtype == torch.float64 else logits.float()
        if temperature != 1.0:
            scaled = scaled / temperature
        logps = torch.log_softmax(scaled, dim=-1)
        logps = logps.clamp_(min=torch.finfo(logps.dtype).min)  # 0 * -inf would be NaN
        entropy = -logps.exp().mul_(logps).sum(dim=-1)
        ctx.save_for_backward(logps, targets, entropy)
        ctx.temperature, ctx.dtype = temperature, logits.dtype
        ctx.set_materialize_grads(False)
        return logps.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_logp: Tensor | None, grad_entropy: Tensor | None) -> tuple[Tensor | None, None, None]:
        logps, targets, entropy = ctx.saved_tensors
        if grad_logp is None and grad_entropy is None:
            return None, None, None
        # grad = -pi (g_logp + g_H (log pi + H)) / T, plus g_logp / T at the target: folded into factors [N, 1]
        scale = 1 / ctx.temperature
        weight = torch.zeros_like(entropy) if grad_logp is None else grad_logp * scale
        grad = logps.exp()
        if grad_entropy is None:
            grad *= -weight.unsqueeze(-1)
        else:
            slope = (grad_entropy * scale).unsqueeze(-1)
            grad *= torch.addcmul(-weight.unsqueeze(-1) - slope * entropy.unsqueeze(-1), slope, logps, value=-1)
        grad.scatter_add_(-1, targets.unsqueeze(-1), weight.unsqueeze(-1))
        return grad.to(ctx.dtype), None, None
