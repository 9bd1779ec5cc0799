"""vLLM samplers on tiny random models, one of each kind for all tests of this folder: starting one takes tens of seconds.

A GPU has room for one of them in a process (vLLM's sleep serves one). There, run the kinds apart:
`pytest tests/vllm -k untied`, then `pytest tests/vllm -k "not untied"`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vllm_models import KINDS, model_of

from tests.helpers.tiny_trainer import EOS, join


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


class Samplers(dict):
    """Kind -> sampler, started when it is first asked for."""

    def __init__(self, directories: dict[str, Path]):
        self.directories = directories

    def __missing__(self, kind: str):
        from asymgrpo.rollout import Limits
        from asymgrpo.rollout.vllm_sampler import VllmSampler

        join()
        limits = Limits(max_model_len=128, memory_fraction=0.3, verify_weights_every=1, sleeps=True)
        self[kind] = VllmSampler(self.directories[kind], model_of(kind).named_parameters(), EOS, "float32", limits)
        return self[kind]


@pytest.fixture(scope="session")
def samplers(vllm_installed, directories) -> Samplers:
    """Tests leave the weights as they like: `sampler` below begins with those of `model_of(kind)`."""
    return Samplers(directories)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def model(kind) -> torch.nn.Module:
    return model_of(kind)


@pytest.fixture
def sampler(samplers, kind, model):
    found = samplers[kind]
    found.verify_every = 1
    found.update_weights(model.named_parameters())
    return found
