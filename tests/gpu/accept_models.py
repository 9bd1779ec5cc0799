"""Random models made on the device, and everything around them that the parts share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from accept_options import Options

from asymgrpo.rollout import Rollout
from asymgrpo.study.config import parse_section
from asymgrpo.study.sections.train import Train
from asymgrpo.training.batch import Batch, pack

ROOT = Path(__file__).parents[2]


def device_of(options: Options) -> torch.device:
    return torch.device("cuda", 0) if options.device == "cuda" else torch.device("cpu")


def synchronise(options: Options) -> None:
    if options.device == "cuda":
        torch.cuda.synchronize()


def config_of(shape: dict[str, int], **more: Any) -> Any:
    """A Qwen3 configuration; transformers' attention is the default one of the trainer.

    Initial weights are scaled so that logits have a standard deviation of about 0.6 at every width, as Qwen3-0.6B's would.
    """
    from transformers import Qwen3Config

    told = {"max_position_embeddings": 8192, "tie_word_embeddings": True, "architectures": ["Qwen3ForCausalLM"]}
    told["initializer_range"] = 0.64 / shape["hidden_size"] ** 0.5
    return Qwen3Config(**shape | told | more)


def random_model(config: Any, device: torch.device, dtype: torch.dtype, seed: int = 0, embedding: float = 1.0) -> Any:
    """Weights are made where they are used. `embedding` multiplies the embedding: with a tied head, the width of the logits.

    Norms are moved off 1, so that none may be forgotten.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval().to(device)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(embedding)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def settings(**changes: Any) -> Train:
    """The default study's `train` with changes. Layers are always recomputed: formulas are compared with what they say."""
    section = yaml.safe_load((ROOT / "config/default.yaml").read_text(encoding="utf-8"))["train"]
    few: dict[str, Any] = {"gradient_checkpointing": True, "updates_per_rollout": 1, "ranks_per_node": 1, "nodes": 1}
    if "recompute_above" in Train.model_fields:
        few["recompute_above"] = 0
    return parse_section("train", section | few | changes)


def random_batch(sequences: int, tokens: int, prompt: int, vocabulary: int, seed: int = 0) -> Batch:
    """Sequences of equal length; `tokens` counts prompt and response."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, vocabulary, (sequences, tokens), generator=g).tolist()
    silent = (0.0,) * (tokens - prompt)
    return pack([Rollout(tuple(r[:prompt]), tuple(r[prompt:]), silent, "stop", i) for i, r in enumerate(rows)])


def whole(batch: Batch, device: torch.device) -> Batch:
    """A batch as the engine gets it: trimmed, on the device."""
    return batch.rows(torch.arange(len(batch))).to(device)


def engine_of(options: Options, train: Train, config: Any, micro_batches: int, **more: Any) -> Any:
    """The project's engine around a fresh random model."""
    from asymgrpo.training.engine import Engine
    from tests.helpers.tiny_trainer import join

    join()
    model = random_model(config, device_of(options), getattr(torch, train.dtype), **more)
    return Engine(model, train, micro_batches)


def named(model: Any) -> list[tuple[str, torch.Tensor]]:
    """Weights by name, a tied head once."""
    return [(name, parameter.detach()) for name, parameter in model.named_parameters()]


def swap(holder: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a method of one object by `make(the method)`."""
    setattr(holder, name, make(getattr(holder, name)))
