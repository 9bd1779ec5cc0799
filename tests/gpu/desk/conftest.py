"""Model directories: shapes that decide what vLLM chooses, no weights that matter."""

from pathlib import Path

import pytest
from transformers import Qwen3Config


@pytest.fixture(scope="session")
def shape(tmp_path_factory) -> Path:
    """Qwen3-4B's heads, two layers, no weights."""
    folder = tmp_path_factory.mktemp("shape")
    sizes = {"vocab_size": 1024, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128, "max_position_embeddings": 8192}
    Qwen3Config(**sizes, **heads, architectures=["Qwen3ForCausalLM"]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory) -> Path:
    """A tiny model with weights and a tokenizer."""
    from asymgrpo.tasks.tokenizer import build_tokenizer
    from tests.helpers.tiny_trainer import tiny_model

    folder, tokenizer = tmp_path_factory.mktemp("model"), build_tokenizer()
    tiny_model(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, head_dim=64).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
