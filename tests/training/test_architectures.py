"""The tiny model in every architecture that a spec may name: made, checked, sampled, trained, planned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asymgrpo.models.checks import check_model
from asymgrpo.models.tiny import build_model
from asymgrpo.planner.shapes import shape_from_config, shape_of
from asymgrpo.rollout import Request
from asymgrpo.rollout.samplers import sampler_from_directory
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.study.stored import load_study
from asymgrpo.study.tiny_spec import TinySpec, parse_spec
from asymgrpo.tasks.tokenizer import build_tokenizer
from asymgrpo.training.batch import pack
from asymgrpo.training.policy import Policy
from asymgrpo.training.trainer import Problem
from tests.helpers.tiny_trainer import distance, join, make_trainer, settings, steps, weights

SPEC = load_study([]).models["tiny"].spec
SMALL = {"hidden_size": 32, "intermediate_size": 48, "layers": 3, "heads": 4, "kv_heads": 2, "head_dim": 8}
ARCHITECTURES = ("qwen3", "llama", "olmo3")
TOKENIZER = build_tokenizer()
PROMPTS = [(3, 4, 5), (6, 7, 8, 9, 10, 11, 3, 4, 5, 6, 7, 8, 9), (12, 13), (14,)]
PROBLEMS = [Problem(f"p{i}", prompt, "0") for i, prompt in enumerate(PROMPTS)]
WINDOW = 4
"""Of Olmo3 with 64 positions: shorter than prompts and responses here."""


def spec(architecture: str) -> TinySpec:
    return parse_spec(SPEC | SMALL | {"architecture": architecture, "max_positions": 64})


def model_of(architecture: str) -> torch.nn.Module:
    """As the workflow makes it; norms and matrices are moved off their initial values, so that no term may be forgotten."""
    model = build_model(spec(architecture), TOKENIZER).eval()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return model


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request) -> torch.nn.Module:
    return model_of(request.param)


@pytest.fixture(scope="module")
def directory(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def test_it_is_the_architecture_that_was_asked_for(model):
    assert model.config.model_type in ARCHITECTURES
    sizes = (model.config.hidden_size, model.config.num_hidden_layers, model.config.num_key_value_heads)
    assert sizes == (32, 3, 2)
    assert model.model.layers[0].self_attn.head_dim == 8
    if model.config.model_type == "olmo3":
        assert model.config.sliding_window == WINDOW
        assert model.config.layer_types == ["sliding_attention"] * 2 + ["full_attention"]


def test_the_workflow_takes_its_directory(model, directory):
    """The sampler of a directory, which reads config.json itself, says what transformers says of whole texts."""
    check_model(directory, "plain", "torch")
    sampler = sampler_from_directory("torch", directory, TOKENIZER, "float32")
    for temperature in (1.0, 0.4):
        requests = [Request(p, tuple(range(9 * i, 9 * i + 5))) for i, p in enumerate(PROMPTS)]
        rollouts = [r for group in sampler.generate(requests, temperature, 1.0, 20) for r in group]
        assert "length" in {r.finish_reason for r in rollouts}
        for rollout in rollouts:
            ids = torch.tensor([rollout.prompt_ids + rollout.response_ids])
            with torch.no_grad():
                logits = model(ids).logits[0, len(rollout.prompt_ids) - 1 : -1] / temperature
            said = logits.log_softmax(-1).gather(1, ids[0, len(rollout.prompt_ids) :, None])[:, 0]
            torch.testing.assert_close(torch.tensor(rollout.logprobs), said, atol=1e-4, rtol=0)


def test_a_trainers_log_probabilities_have_the_gradient_of_transformers(model):
    sampler = TorchSampler(model.config, model.named_parameters(), (1,))
    drawn = [r for group in sampler.generate([Request(p, (0, 1, 2)) for p in PROMPTS], 1.0, 1.0, 12) for r in group]
    rollouts = [r for r in drawn if TOKENIZER.pad_token_id not in r.response_ids]  # its embedding has no gradient there
    assert len(rollouts) > 3
    batch, parameters = pack(rollouts), list(model.parameters())
    ours = torch.autograd.grad((Policy(model, 1.0, None)(batch)[0] * batch.mask).sum(), parameters)
    total = torch.zeros(())
    for r in rollouts:
        ids = torch.tensor([r.prompt_ids + r.response_ids])
        logp = model(ids).logits[0, len(r.prompt_ids) - 1 : -1].log_softmax(-1)
        total = total + logp.gather(1, ids[0, len(r.prompt_ids) :, None]).sum()
    theirs = torch.autograd.grad(total, parameters)
    off = torch.nn.utils.get_total_norm([one - other for one, other in zip(ours, theirs, strict=True)])
    assert off < 1e-5 * torch.nn.utils.get_total_norm(theirs)


def test_it_trains(model):
    """Two steps; the mismatch gate compares sampler and trainer before each update, also with the new weights."""
    join()
    architecture = model.config.model_type
    train = settings(mismatch_gate=1.001)
    trainer = make_trainer(train=train, model=model_of(architecture), problems=PROBLEMS)
    rows = steps(trainer, 1, 2)
    assert all(row["grad_norm"] > 0 for row in rows)
    assert distance(weights(trainer.engine), weights_of(model)) > 1e-4


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_making_a_sampler_moves_no_random_state(model):
    before = torch.get_rng_state()
    TorchSampler(model.config, model.named_parameters(), (1,))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_planner_counts_it_exactly(model, directory):
    study = load_study([])
    told = study.models["tiny"].model_copy(update={"spec": spec(model.config.model_type).model_dump()})
    assert shape_of("tiny", told).parameters == sum(p.numel() for p in model.parameters())
    assert shape_of("tiny", told, directory) == shape_of("tiny", told)
    assert shape_from_config(model.config.to_dict()).wide_qk_norm == (model.config.model_type == "olmo3")


def test_the_first_architecture_leaves_no_trace_in_settings():
    """Models that were made before there were others stay good."""
    assert "architecture" not in spec("qwen3").model_dump(mode="json")
    assert spec("llama").model_dump(mode="json")["architecture"] == "llama"
    assert parse_spec(spec("olmo3").model_dump(mode="json")) == spec("olmo3")
