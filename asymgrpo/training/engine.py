"""DeepSpeed behind six verbs: score, backward, weights, save, load, and sums over ranks. All collectives are here."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asymgrpo.devices import own_device, take_own_device
from asymgrpo.errors import FailedError
from asymgrpo.method.diagnostics import adam_update_square
from asymgrpo.study.limits import BUCKET
from asymgrpo.study.sections.train import Train
from asymgrpo.training.batch import Batch
from asymgrpo.training.checkpoint import CheckpointError
from asymgrpo.training.policy import Policy
from asymgrpo.training.rendezvous import meeting

CHUNK = 2**24
"""Moments that `update_norm` looks at together, so that its temporaries stay small."""


class GradientError(ArithmeticError):
    """The global gradient norm of an update is not finite; the weights are as before."""


class LostRankError(FailedError):
    """Another rank of this job has ended, so that this one cannot go on."""


def start_process_group() -> tuple[int, int]:
    """Join the ranks that torchrun or srun started (or be the only one) -> (rank, world size).

    Raises:
        RendezvousError: the ranks cannot find each other. DeviceError: this one has no GPU of its own.
    """
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "warning")
    os.environ.update(meeting().environment())
    take_own_device()
    if not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend, timeout=timedelta(minutes=30))
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


@contextmanager
def naming_lost_ranks() -> Iterator[None]:
    """Turn what a collective raises when a peer has gone into a LostRankError."""
    try:
        yield
    except RuntimeError as error:
        if torch.distributed.get_world_size() == 1 or not of_a_collective(error):
            raise
        raise LostRankError(
            f"rank {torch.distributed.get_rank()}: another rank has ended ({str(error).splitlines()[0][:160]}); its own message "
            "says why. Start the same command again: it continues from the newest checkpoint."
        ) from error


def of_a_collective(error: BaseException) -> bool:
    """Whether an error says that ranks could not talk to each other."""
    return isinstance(error, torch.distributed.DistError) or re.search(r"gloo|NCCL", str(error)) is not None


def leave_out_shared_memory(device: torch.device) -> None:
    """Keep DeepSpeed from compiling its all-reduce for CPUs at first use (a minute, and a C++ compiler): gloo serves as well.

    Not on a GPU, where it is never used, and where the table that holds it tries every compiler when it is first read.
    """
    if device.type == "cpu":
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class Engine:
    """A policy under ZeRO. Losses handed to `backward` must already be divided by global counts (asymgrpo.method.reduce)."""

    def __init__(self, model: Any, train: Train, micro_batches_per_update: int):
        import deepspeed

        self.rank, self.world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self.device = own_device()
        self._recompute_above, self._layers = train.recompute_above, list[Any]()
        leave_out_shared_memory(self.device)
        if train.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            self._layers = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
            for module in model.modules():
                # A layer recomputes in training mode only; what it contains stays in evaluation mode, without dropout.
                module.training = getattr(module, "gradient_checkpointing", False)
        self.hf_config = model.config
        self._policy = Policy(model, train.temperature, train.logits_chunk, train.head_dtype)
        self._learning_rate, self._warmup = train.learning_rate, train.warmup_updates
        self._optimizer = torch.optim.AdamW(
            self._policy.parameters(),
            lr=train.learning_rate,
            betas=(train.adam_beta1, train.adam_beta2),
            eps=train.adam_eps,
            weight_decay=train.weight_decay,
            fused=torch.cuda.is_available(),  # one kernel for all parameters: the same formula, read and written once
        )
        numbers = sum(parameter.numel() for parameter in self._policy.parameters())
        self._ds: Any = deepspeed.initialize(
            model=self._policy,
            optimizer=self._optimizer,
            config=deepspeed_config(train, micro_batches_per_update, self.world_size, numbers),
            dist_init_required=False,
        )[0]
        if self.world_size == 1 and train.zero_stage == 0 and train.dtype == "float32":
            self._ds.enable_backward_allreduce = False  # the sum over one rank, in the gradients' own dtype
        self.updates, self._grad_norm, self._abandoned = 0, float("nan"), False

    @torch.no_grad()
    def score(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(log-probability, entropy), [B, R] each, without gradient."""
        return self._forward(batch)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(log-probability, entropy), [B, R] each, with gradient."""
        for layer in self._layers:
            layer.gradient_checkpointing = batch.input_ids.numel() > self._recompute_above
        return self._forward(batch)

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._ds(batch)

    def probe(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same as `forward`, for torch.autograd.grad: DeepSpeed allows `backward` alone on what it has passed on itself."""
        return self._policy(batch)

    @contextmanager
    def whole_update(self) -> Iterator[None]:
        """Around the micro-batches of one update: it is made whole, or an error inside leaves this engine unable to make any.

        What the first micro-batches added up must not reach a later update, and each stage of ZeRO keeps it elsewhere.
        """
        try:
            yield
        except BaseException:
            self._abandoned = True
            self._ds.zero_grad()
            raise

    def backward(self, loss: Tensor, last: bool | None = None) -> None:
        """Add one micro-batch's share of the global loss; the update happens with the last micro-batch of it.

        `last`: whether this is that one; None counts `micro_batches_per_update`.

        DeepSpeed averages gradients over ranks; ours are shares of one global sum, hence the factor world_size.

        Raises:
            GradientError: the norm of the update's gradient is not finite; on all ranks, and nothing was updated.
            RuntimeError: an earlier update was abandoned.
        """
        if self._abandoned:
            raise RuntimeError("an update of this engine was abandoned halfway; make a new engine from a checkpoint.")
        self._set_learning_rate()
        if last is not None:
            self._ds.set_gradient_accumulation_boundary(last)
        self._ds.backward(loss * self.world_size, scale_wrt_gas=False)
        updates = self._ds.is_gradient_accumulation_boundary()
        if updates and self._ds.zero_optimization_stage() == 0:  # there DeepSpeed clips without keeping the norm
            grads = [p.grad for p in self._policy.parameters() if p.grad is not None]
            self._grad_norm = float(torch.nn.utils.get_total_norm(grads))
            if not math.isfinite(self._grad_norm):
                raise GradientError(f"gradient norm {self._grad_norm}")
        self._ds.step()
        if updates:  # ZeRO skips an update whose norm is not finite, without a word but for the norm
            if not math.isfinite(self.grad_norm):
                raise GradientError(f"gradient norm {self.grad_norm}")
            self.updates += 1

    @property
    def grad_norm(self) -> float:
        """Global L2 norm of the last update's gradient, before clipping."""
        norm = self._ds.get_global_grad_norm()
        return self._grad_norm if norm is None else float(norm)

    def update_norm(self) -> float:
        """Length by which the last update moved the weights (asymgrpo.method.diagnostics), weight decay left out. Collective."""
        group, total = self._optimizer.param_groups[0], 0.0
        for moments in self._optimizer.state.values():
            first, second = (1 - beta ** float(moments["step"]) for beta in group["betas"])
            parts = (moments[key].flatten().split(CHUNK) for key in ("exp_avg", "exp_avg_sq"))
            total += sum(
                adam_update_square(mean / first, square / second, group["eps"])
                for mean, square in zip(*parts, strict=True)
            )
        if self._ds.zero_optimization_stage() > 0:  # each rank has the moments of its own share
            total = float(self.sum_over_ranks(torch.tensor([total], dtype=torch.float64, device=self.device)))
        return float(self._ds.optimizer.param_groups[0]["lr"]) * math.sqrt(total)

    def adam_metric(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every trained parameter with sqrt(v) + eps, v Adam's mean of its squared gradients after bias correction.

        For ZeRO stage 0, in float32, after an update: each tensor has its own moments there.
        """
        group = self._optimizer.param_groups[0]
        for parameter in group["params"]:
            moments = self._optimizer.state[parameter]
            square = moments["exp_avg_sq"] / (1 - group["betas"][1] ** float(moments["step"]))
            yield parameter, square.sqrt_().add_(group["eps"])

    def _set_learning_rate(self) -> None:
        scale = min(1.0, (self.updates + 1) / (self._warmup + 1))
        for group in self._ds.optimizer.param_groups:
            group["lr"] = self._learning_rate * scale

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Full tensors by their Hugging Face names, on every rank; under ZeRO-3 each is gathered only while it is yielded."""
        import deepspeed

        tied = getattr(self.hf_config, "tie_word_embeddings", False)
        for name, parameter in self._policy.model.named_parameters():
            if tied and name == "lm_head.weight":
                continue
            with deepspeed.zero.GatheredParameters([parameter], enabled=hasattr(parameter, "ds_id")):
                yield name, parameter.detach()

    def save_pretrained(self, directory: Path) -> None:
        """The model alone, in safetensors, as `from_pretrained` reads it; call on all ranks."""
        state = {name: tensor.to("cpu", copy=True) for name, tensor in self.weights()}
        if self.rank == 0:
            self._policy.model.save_pretrained(directory, state_dict=state, safe_serialization=True)
        self.barrier()

    def save_state(self, directory: Path) -> None:
        """Everything that the next update depends on, per rank."""
        self._ds.save_checkpoint(
            str(directory), tag="engine", client_state={"updates": self.updates}, save_latest=False
        )
        self.barrier()

    def load_state(self, directory: Path) -> None:
        """What `save_state` wrote. Raises CheckpointError when it cannot be loaded; this engine's state is then undefined."""
        try:
            _, client = self._ds.load_checkpoint(str(directory), tag="engine")
            if client is None:
                raise FileNotFoundError("no state of this engine in it")
        # Unpickling may raise anything; a collective that fails is not the file's fault.
        except Exception as error:
            if of_a_collective(error):
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            raise CheckpointError(f"{directory.parent} cannot be loaded ({reason})") from error
        self.updates = client["updates"]

    def sum_over_ranks(self, values: Tensor) -> Tensor:
        """Element-wise sum; the identity on one rank."""
        if self.world_size > 1:
            torch.distributed.all_reduce(values)
        return values

    def gather_objects(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank."""
        if self.world_size == 1:
            return [value]
        out: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(out, value)
        return out

    def barrier(self) -> None:
        if self.world_size > 1:
            # Left to itself, NCCL takes the rank's number for that of its GPU.
            torch.distributed.barrier(device_ids=[self.device.index] if self.device.type == "cuda" else None)


def deepspeed_config(train: Train, micro_batches_per_update: int, world_size: int, numbers: int) -> dict[str, Any]:
    """What DeepSpeed is told: sizes, clipping, dtype with float32 master weights, ZeRO stage, offload; for a model of so many
    `numbers`, which its reduction buffer, allocated whole, need not exceed."""
    zero: dict[str, Any] = {"stage": train.zero_stage, "reduce_bucket_size": min(BUCKET, numbers)}
    micro_batch = train.micro_batch if train.micro_batch_tokens is None else 1  # DeepSpeed looks at their product alone
    if train.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": micro_batches_per_update,
        "train_batch_size": micro_batch * micro_batches_per_update * world_size,
        "gradient_clipping": train.max_grad_norm,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }
    if train.dtype == "bfloat16":
        config["bf16"] = {"enabled": True}
        config["data_types"] = {"grad_accum_dtype": "fp32"}  # a small gradient added to a large sum in bfloat16 is lost
    return config
