"""The vLLM sampler of parts F and G on a random model, and what is asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accept_models import config_of
from accept_options import Options
from torch import Tensor

from asymgrpo.rollout import Limits, Request, Rollout
from asymgrpo.training.batch import pack
from asymgrpo.training.policy import Policy

EOS = (1, 2)
MEMORY_FRACTION = 0.35


class NotRunError(RuntimeError):
    """This part needs something that the machine does not have."""


def need_vllm() -> None:
    """Raises NotRunError with the reason when vLLM cannot be imported."""
    try:
        import vllm.entrypoints.llm  # noqa: F401
    except Exception as error:
        raise NotRunError(f"not run: vLLM cannot be imported ({type(error).__name__}: {error})") from error


def dtype_of(options: Options) -> str:
    return "bfloat16" if options.device == "cuda" else "float32"


def start_sampler(options: Options, weights: Iterable[tuple[str, Tensor]]) -> Any:
    """The project's sampler on the shape of `options`, in a folder that holds a configuration and no weights."""
    import vllm

    from asymgrpo.rollout.vllm_sampler import VllmSampler

    folder = options.work / "model"
    config_of(options.sizes.shape).save_pretrained(folder)
    plain = vllm.LLM
    vllm.LLM = lambda *arguments, **named: plain(*arguments, **named | options.vllm)
    size = options.sizes
    longest = size.prompt_tokens + max(size.response_tokens, size.iterations) + 1
    limits = Limits(max(128, longest), MEMORY_FRACTION, verify_weights_every=1, head_dtype=options.head_dtype)
    try:
        return VllmSampler(folder, weights, EOS, dtype_of(options), limits)
    finally:
        vllm.LLM = plain


def requests_of(options: Options, samples: int, first_seed: int = 0, prompts: int | None = None) -> list[Request]:
    size = options.sizes
    g = torch.Generator().manual_seed(first_seed)
    shape = (prompts or size.prompts, size.prompt_tokens)
    ids = torch.randint(3, size.shape["vocab_size"], shape, generator=g).tolist()
    return [Request(tuple(row), tuple(first_seed + 1000 * i + j for j in range(samples))) for i, row in enumerate(ids)]


def flat(groups: Iterable[Sequence[Rollout]]) -> list[Rollout]:
    return [rollout for group in groups for rollout in group]


@torch.no_grad()
def disagreement(model: Any, rollouts: Sequence[Rollout], chunk: int, head_dtype: str = "float32") -> dict[str, float]:
    """Sampler against transformers: token_mult_prob_error, and the mean and the largest |log pi - log pi_sampler|."""
    policy, gaps = Policy(model, 1.0, chunk, head_dtype), []
    device = next(model.parameters()).device
    for first in range(0, len(rollouts), 8):
        batch = pack(rollouts[first : first + 8])
        part = batch.rows(torch.arange(len(batch))).to(device)
        gaps.append((policy(part)[0] - part.logp_sampler)[part.mask.bool()].double().abs())
    gap = torch.cat(gaps)
    return {
        "token_mult_prob_error": float(gap.exp().mean()),
        "gap_mean": float(gap.mean()),
        "gap_max": float(gap.max()),
        "tokens": gap.numel(),
    }


@torch.no_grad()
def first_differences(model: Any, ours: Sequence[Rollout], theirs: Sequence[Rollout]) -> tuple[list[float], list[int]]:
    """Of greedy responses to the same prompts: where two part, by how many nats the model prefers one token to the other; and
    the number of tokens before they part (or end)."""
    device = next(model.parameters()).device
    gaps, common = [], []
    for one, other in zip(ours, theirs, strict=True):
        pairs = list(zip(one.response_ids, other.response_ids, strict=False))
        place = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        common.append(len(pairs) if place is None else place)
        if place is not None:
            ids = torch.tensor([one.prompt_ids + one.response_ids[:place]], device=device)
            logits = model(ids).logits[0, -1].float()
            gaps.append(float((logits[pairs[place][0]] - logits[pairs[place][1]]).abs()))
    return gaps, common


def describe(sampler: Any) -> dict[str, Any]:
    """What vLLM made of our arguments, as far as it can be asked."""
    config = sampler.llm.llm_engine.vllm_config
    layers = config.compilation_config.static_forward_context.values()
    (runner,) = sampler.llm.collective_rpc(lambda worker: type(worker.model_runner).__module__)
    return {
        "runner": runner,
        "attention": sorted({layer.attn_backend.get_name() for layer in layers if hasattr(layer, "attn_backend")}),
        "async_scheduling": getattr(config.scheduler_config, "async_scheduling", None),
        "graphs": str(getattr(config.compilation_config, "cudagraph_mode", None)),
        "capture_sizes": len(getattr(config.compilation_config, "cudagraph_capture_sizes", None) or []),
        "cache_blocks": getattr(config.cache_config, "num_gpu_blocks", None),
        "block_size": getattr(config.cache_config, "block_size", None),
    }


def used_bytes(options: Options) -> int:
    """Of the card by everything, or of this process's memory."""
    from part_memory import host_bytes

    if options.device == "cpu":
        return host_bytes("VmRSS")
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free
