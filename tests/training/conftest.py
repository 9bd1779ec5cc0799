"""A random tiny model, three architectures: enough to compare two implementations of the same arithmetic."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

torch.set_num_threads(1)
SHAPE = {
    "vocab_size": 24,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}
CONFIGS = {
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=16, tie_word_embeddings=False),
    "qwen2": lambda: Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "llama": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=True),
}


def random_model(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[kind]()).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:  # untouched initial values would hide a forgotten term
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture(scope="session", params=list(CONFIGS))
def any_model(request) -> torch.nn.Module:
    return random_model(request.param)


@pytest.fixture(scope="session")
def model() -> torch.nn.Module:
    return random_model("qwen3")


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory) -> Path:
    """A random model that speaks the tiny task's alphabet, as the workflow hands base models over."""
    from asymgrpo.tasks.tokenizer import build_tokenizer
    from tests.helpers.tiny_trainer import tiny_model

    directory, tokenizer = tmp_path_factory.mktemp("model") / "base", build_tokenizer()
    tiny_model(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
