"""vLLM engines on tiny random models, one of each kind for all tests of this folder: starting one takes tens of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_trainer import EOS, join
from vllm_models import KINDS, model_of


@pytest.fixture(scope="session")
def vllm_installed() -> None:
    pytest.importorskip("vllm.entrypoints.llm", reason="vLLM is not installed; `make vllm` installs it")


@pytest.fixture(scope="session")
def directories(tmp_path_factory) -> dict[str, Path]:
    """Kind -> directory of its model."""
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        model_of(kind).save_pretrained(folder / kind)
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture(scope="session")
def engines(vllm_installed, directories):
    """Kind -> engine. Tests leave the weights as they like: `engine` below begins with those of `model_of(kind)`."""
    from asymgrpo.rollout import Limits
    from asymgrpo.rollout.vllm_engine import VllmEngine

    join()
    limits = Limits(max_model_len=128, memory_fraction=0.3, verify_weights_every=1)
    return {
        kind: VllmEngine(directories[kind], model_of(kind).named_parameters(), EOS, "float32", limits) for kind in KINDS
    }


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def model(kind) -> torch.nn.Module:
    return model_of(kind)


@pytest.fixture
def engine(engines, kind, model):
    found = engines[kind]
    found.verify_every = 1
    found.update_weights(model.named_parameters())
    return found
