"""Logits in float32 under bfloat16 weights: in trainer and sampler alike, and no other gradient than before."""

import pytest
import torch

from asymgrpo.method.head import Float32Head, with_float32_logits
from asymgrpo.rollout.torch_sampler import TorchSampler
from tests.helpers.tiny_trainer import EOS, join, make_trainer, settings, steps, tiny_model


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


def operands(rows=5, width=64, vocabulary=33):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(rows, width, generator=g).bfloat16().requires_grad_()
    head = torch.nn.Linear(width, vocabulary, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        head.weight.copy_(torch.randn(vocabulary, width, generator=g))
    return x, head


def test_logits_are_those_of_a_float32_head_and_finer_than_bfloat16s():
    x, head = operands()
    exact = x.double() @ head.weight.double().t()
    rounded = (head(x).double() - exact).abs().max()
    head.__class__ = Float32Head
    ours = (head(x).double() - exact).abs().max()
    assert head(x).dtype == torch.float32
    assert ours < 1e-4 < 1e-2 < rounded


def test_the_gradient_is_the_plain_layers():
    x, head = operands()
    weight = torch.linspace(-1, 1, 5 * 33).view(5, 33).bfloat16()
    (head(x) * weight).sum().backward()
    plain = x.grad.clone(), head.weight.grad.clone()
    x.grad = head.weight.grad = None
    head.__class__ = Float32Head
    (head(x) * weight.float()).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(plain, (x.grad, head.weight.grad), strict=True))


def test_a_float32_model_keeps_its_layer():
    model = tiny_model()
    assert type(with_float32_logits(model).lm_head) is torch.nn.Linear


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_sampler_and_trainer_agree_better(zero_stage, tied):
    """The same model in bfloat16 with either kind of logits: what sampler and trainer say of the sampled tokens, over four
    batches. Logits are large, so that their neighbours in bfloat16 are far apart and other roundings, which depend on the
    CPU, count less."""
    gap, scale = {}, 8 if tied else 32
    for head_dtype in ("model", "float32"):
        train = settings(
            dtype="bfloat16", zero_stage=zero_stage, head_dtype=head_dtype, mismatch_gate=None, learning_rate=1e-9
        )
        model = tiny_model(hidden_size=48, tie_word_embeddings=tied).bfloat16()
        with torch.no_grad():
            model.lm_head.weight.mul_(scale)
        sampler = TorchSampler(model.config, model.named_parameters(), EOS, head_dtype=head_dtype)
        rows = steps(make_trainer(train=train, model=model, sampler=sampler), 1, 4)
        gap[head_dtype] = sum(row["gap_mean"] for row in rows)
    assert gap["float32"] < gap["model"]
