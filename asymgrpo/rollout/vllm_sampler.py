"""Rollouts by vLLM, inside the training process: one sampler per rank, weights handed over in memory.

What holds, and what does not (docs/rollout.md): a call of `generate` is a function of weights and requests, so the same call
gives the same bytes on a CPU. A sample's random numbers depend on its seed alone, but its logits are those of a batch, whose
composition moves their last bits: the same seed in another batch gives the same text but for near-ties.

The paths for CUDA (sleep, graphs, memory fraction) have run on an H200 and an H100 (docs/gpu.md); tests/gpu/accept.py tries
them on a card.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asymgrpo import surroundings
from asymgrpo.devices import take_own_device
from asymgrpo.models.load import Dtype, read_shape
from asymgrpo.rollout.base import Limits, Request, Rollout, SamplerError
from asymgrpo.rollout.checksum import checksum, differing
from asymgrpo.study.config import ConfigError
from asymgrpo.study.limits import LOWEST_VLLM_TEMPERATURE, MAX_SEQUENCES

CPU_CACHE_BYTES = 1 << 30
"""Keys and values on a CPU, where a share of the memory would be taken from every other job of the machine."""
CPU_BLOCK = 32
"""Tokens of a cache block on a CPU: the fewest that its kernels are made for. A prompt is shared in whole blocks."""
ALL = ("weights", "kv_cache")
SLEEPERS: weakref.WeakSet[Any] = weakref.WeakSet()
"""vLLM's objects of this process that may sleep and still exist."""


class VllmSampler:
    """A `Sampler`. With top_p < 1 its log-probabilities are those of the distribution that top_p leaves."""

    def __init__(
        self,
        model: Path,
        weights: Iterable[tuple[str, Tensor]],
        eos_ids: Sequence[int],
        dtype: Dtype,
        limits: Limits,
    ):
        """`model` gives the architecture alone; the weights are `weights`."""
        self.eos_ids, self.verify_every = sorted(eos_ids), limits.verify_weights_every
        self.updates, self.asleep = 0, set[str]()
        self.dtype: torch.dtype = getattr(torch, dtype)
        borrowed_group = torch.distributed.is_initialized()
        self.llm = start(model, dtype, limits)
        self.sleeps = limits.sleeps
        release_with(self, self.llm.llm_engine.engine_core, borrowed_group)
        self.max_model_len: int = self.llm.model_config.max_model_len
        self.update_weights(weights)

    def generate(
        self, requests: Sequence[Request], temperature: float, top_p: float, max_tokens: int
    ) -> list[list[Rollout]]:
        """One vLLM request per sample: each has its own seed, and the prefix cache shares the prompt.

        Raises ConfigError when a prompt and max_tokens exceed the sampler's length.
        """
        self.check(requests, temperature, max_tokens)
        self.rouse(*ALL)
        self.forget()  # what an earlier call left in the cache would change the batches of this one
        prompts = [{"prompt_token_ids": list(r.prompt_ids)} for r in requests for _ in r.seeds]
        settings = [self.sampling(seed, temperature, top_p, max_tokens) for r in requests for seed in r.seeds]
        outputs = iter(self.llm.generate(prompts, settings, use_tqdm=False) if prompts else ())
        return [[rollout_of(next(outputs), request, seed) for seed in request.seeds] for request in requests]

    def update_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """New weights by their Hugging Face names, in memory. At every `verify_weights_every`-th update their checksums are
        compared with those of the weights that vLLM then computes with; raises SamplerError when they differ."""
        expected: dict[str, int] | None = {} if self.verify_every and self.updates % self.verify_every == 0 else None
        self.rouse("weights")
        self.llm.collective_rpc("take_weights", args=(self.handed_over(weights, expected),))
        self.forget()
        self.updates += 1
        if expected is not None:
            self.verify(expected)

    def handed_over(
        self, weights: Iterable[tuple[str, Tensor]], checksums: dict[str, int] | None
    ) -> Iterator[tuple[str, Tensor]]:
        """Copies: vLLM reads them when a fused projection is complete, and under ZeRO-3 the original is gone by then."""
        for name, tensor in weights:
            copy = tensor.detach().to(self.dtype, copy=True)
            if checksums is not None:
                checksums[name] = checksum(copy)
            yield name, copy

    def verify(self, expected: dict[str, int]) -> None:
        """Compare the weights that vLLM computes with to checksums by name. Raises SamplerError naming those that differ."""
        (found,) = self.llm.collective_rpc("weight_checksums")
        if "model.embed_tokens.weight" in expected:
            expected = {"lm_head.weight": expected["model.embed_tokens.weight"]} | expected
        names = differing(expected, found)
        if names:
            raise SamplerError(
                f"the sampler's weights are not the trainer's after update {self.updates}: {len(names)} of {len(expected)} "
                f"differ, first {names[0]}. Samples would come from another policy; report it with the versions of vLLM "
                "and torch, or set train.rollout_engine: torch."
            )

    def forget(self) -> None:
        """Drop all cached prefixes: keys and values of old weights are wrong, however well the tokens match."""
        if not self.llm.reset_prefix_cache():
            raise SamplerError("vLLM refused to drop its prefix cache because requests are still running.")

    def sleep(self) -> None:
        """Give the GPU's memory back. Weights are discarded too (level 2): they are replaced before the next rollout anyway.
        On a CPU, or where nobody else wants the memory (`Limits.sleeps`), there is nothing to do."""
        if self.sleeps and torch.cuda.is_available() and not self.asleep:
            self.llm.sleep(level=2)
            self.asleep = set(ALL)

    def wake(self) -> None:
        self.rouse(*ALL)

    def rouse(self, *parts: str) -> None:
        """Take back memory for the named parts that sleep."""
        missing = [part for part in parts if part in self.asleep]
        if missing:
            self.llm.wake_up(tags=missing)
            self.asleep -= set(missing)

    def check(self, requests: Sequence[Request], temperature: float, max_tokens: int) -> None:
        """Raises ConfigError for what vLLM would cut or change silently."""
        longest = max((len(r.prompt_ids) for r in requests), default=0)
        if longest + max_tokens > self.max_model_len:
            raise ConfigError(
                f"a prompt of {longest} tokens and max_tokens = {max_tokens} exceed the {self.max_model_len} tokens of the "
                "vLLM sampler; shorten one of them, or leave out such problems (max_prompt_tokens)."
            )
        if 0 < temperature < LOWEST_VLLM_TEMPERATURE:
            raise ConfigError(
                f"temperature {temperature} is below vLLM's least, {LOWEST_VLLM_TEMPERATURE}; use 0 for greedy decoding."
            )

    def sampling(self, seed: int, temperature: float, top_p: float, max_tokens: int) -> Any:
        """Nothing is taken from a model's generation config: no top_k, no penalty, no end token but ours."""
        from vllm import SamplingParams

        return SamplingParams(
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            top_k=0,
            max_tokens=max_tokens,
            stop_token_ids=self.eos_ids,
            ignore_eos=True,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
        )


def rollout_of(output: Any, request: Request, seed: int) -> Rollout:
    """vLLM's answer to one request. Raises SamplerError when it ended for no reason that we know."""
    (answer,) = output.outputs
    if answer.finish_reason not in ("stop", "length"):
        raise SamplerError(f"vLLM ended a response with {answer.finish_reason!r}; stop and length are known.")
    return Rollout(
        prompt_ids=request.prompt_ids,
        response_ids=tuple(answer.token_ids),
        logprobs=tuple(answer.logprobs.logprobs),
        finish_reason=answer.finish_reason,
        seed=seed,
    )


def start(model: Path, dtype: Dtype, limits: Limits) -> Any:
    """vLLM's `LLM` in this process, with arbitrary weights. Raises ConfigError when vLLM is not installed, SamplerError for a
    second sampler that sleeps.

    Among several ranks vLLM uses the training's process group, as it does for external launchers: it adds groups of one rank
    each, so that no rank waits for another while it generates. (All ranks must start their samplers together.)
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # vLLM would set this process to one thread
    surroundings.prepare(os.environ)
    try:
        from vllm import LLM
    except ImportError as error:
        raise ConfigError(
            f"sampler vllm: vLLM cannot be imported ({error}); run `make vllm`, or choose the torch sampler."
        ) from error
    cuda = torch.cuda.is_available()
    sleeps = cuda and limits.sleeps
    refuse_second_sleeper(sleeps)
    if not cuda:
        check_head_size(model)
    many = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
    take_own_device()
    if many:  # where vLLM looks for them
        os.environ["RANK"] = str(torch.distributed.get_rank())
        os.environ.setdefault("LOCAL_RANK", os.environ["RANK"])
    on_device: dict[str, Any] = (
        {
            "gpu_memory_utilization": limits.memory_fraction,
            "enable_sleep_mode": sleeps,
            "max_cudagraph_capture_size": MAX_SEQUENCES,  # no step decodes more
        }
        if cuda
        else {"kv_cache_memory_bytes": CPU_CACHE_BYTES, "block_size": CPU_BLOCK}
    )
    if not cuda:  # vLLM would compile a counting kernel for many seconds
        torch._dynamo.config.disable = True
    set_num_threads = torch.set_num_threads
    llm = LLM(
        str(model),
        dtype=dtype,
        load_format="dummy",
        skip_tokenizer_init=True,
        generation_config="vllm",
        max_model_len=limits.max_model_len,
        max_num_seqs=MAX_SEQUENCES,
        enforce_eager=not cuda,
        enable_prefix_caching=True,
        logprobs_mode="processed_logprobs",
        tensor_parallel_size=1,
        distributed_executor_backend="external_launcher" if many else "uni",
        worker_extension_cls="asymgrpo.rollout.vllm_worker.WeightSync",
        seed=0,
        **on_device,
        **({"hf_overrides": {"head_dtype": limits.head_dtype}} if dtype != "float32" else {}),
    )
    torch.set_num_threads = set_num_threads  # on a CPU vLLM replaces it by a warning
    if sleeps:
        SLEEPERS.add(llm)
    return llm


def refuse_second_sleeper(sleeps: bool) -> None:
    """Raises SamplerError for a sampler that sleeps beside another one: vLLM's allocator for it serves one per process."""
    if sleeps and len(SLEEPERS):
        raise SamplerError(
            "this process already has a vLLM sampler that sleeps, and vLLM allows one: give it other weights by update_weights, "
            "start the second in a process of its own, or set Limits.sleeps to false."
        )


def check_head_size(model: Path) -> None:
    """Raises ConfigError for a model whose attention heads vLLM's CPU kernels do not know: it would fail at the first rollout."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    shape = read_shape(model)
    size = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    known = CPUAttentionBackend.get_supported_head_sizes()
    if size not in known:
        raise ConfigError(
            f"sampler vllm: {model} has attention heads of {size} numbers; on a CPU vLLM knows {known}. Use torch."
        )


def release_with(sampler: VllmSampler, core: Any, borrowed_group: bool) -> None:
    """Shut vLLM down with its sampler. In a process group that is not its own, do not: its shutdown destroys the group."""
    if borrowed_group:
        core._finalizer.detach()
    else:
        weakref.finalize(sampler, core.shutdown)
