"""Hand-written gradients against numerical ones, and each function against the layer of transformers that it stands for."""

import pytest
import torch
import torch.nn.functional as F
from transformers import GemmaConfig, GemmaForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm, apply_rotary_pos_emb

from asymgrpo.models.layers import attention, gated, is_whole_on_cpu, knows, normed, rms_norm, rotated
from tests.helpers.tiny_trainer import tiny_model

ROWS, QUERIES, WIDTH, HEADS, KEY_HEADS, SIZE = 3, 4, 6, 4, 2, 8


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def angles(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    turns = numbers(tokens, 1, SIZE // 2, seed=8).detach()
    return tuple(torch.cat([part, part], dim=-1) for part in (turns.cos(), turns.sin()))


def operands() -> tuple[torch.Tensor, ...]:
    q = numbers(ROWS, QUERIES, HEADS, SIZE)
    k, v = (numbers(ROWS, WIDTH, KEY_HEADS, SIZE, seed=seed) for seed in (1, 2))
    hidden = torch.rand(ROWS, QUERIES, WIDTH, generator=torch.Generator().manual_seed(3)) < 0.5
    hidden[:, :, 0] = False
    return q, k, v, torch.zeros(ROWS, QUERIES, WIDTH, dtype=torch.float64).masked_fill(hidden, -torch.inf)


def test_gradients_are_the_numerical_ones():
    assert torch.autograd.gradcheck(lambda x, weight: rms_norm(x, weight, 1e-3), (numbers(5, 3, SIZE), numbers(SIZE)))
    assert torch.autograd.gradcheck(lambda x: rotated(x, *angles(5)), numbers(5, 3, SIZE))
    assert torch.autograd.gradcheck(gated, (numbers(5, 7), numbers(5, 7, seed=1)))
    assert torch.autograd.gradcheck(attention, operands())


def test_values_are_those_of_transformers_and_torch():
    x = numbers(5, 3, SIZE).detach().float()
    layer = Qwen3RMSNorm(SIZE, eps=1e-3)
    layer.weight.data = numbers(SIZE, seed=1).detach().float()
    torch.testing.assert_close(normed(layer, x), layer(x), atol=1e-6, rtol=1e-6)

    cos, sin = angles(5)
    by_head = x.double().transpose(0, 1)[None]
    theirs = apply_rotary_pos_emb(by_head, by_head, cos[None, :, 0], sin[None, :, 0])[0]
    torch.testing.assert_close(rotated(x.double(), cos, sin), theirs[0].transpose(0, 1))

    gate, up = numbers(5, 7), numbers(5, 7, seed=1)
    torch.testing.assert_close(gated(gate, up), F.silu(gate) * up)

    q, k, v, bias = operands()
    theirs = F.scaled_dot_product_attention(
        *(part.transpose(1, 2) for part in (q, k, v)), attn_mask=bias[:, None], enable_gqa=True
    )
    torch.testing.assert_close(attention(q, k, v, bias), theirs.transpose(1, 2))


def test_what_is_computed_here_and_what_is_left_to_transformers():
    assert knows(tiny_model())
    assert is_whole_on_cpu(tiny_model())
    assert not knows(tiny_model().bfloat16())
    assert not knows(tiny_model(attention_dropout=0.1))
    recomputing = tiny_model()
    recomputing.gradient_checkpointing_enable()
    assert not knows(recomputing)
    in_parts = tiny_model()
    next(in_parts.parameters()).ds_id = 0  # as ZeRO-3 marks what it has cut
    assert not is_whole_on_cpu(in_parts)
    assert not is_whole_on_cpu(tiny_model().to("meta"))


def test_another_architecture_is_left_to_transformers():
    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "head_dim": 8}
    assert not knows(GemmaForCausalLM(GemmaConfig(**sizes, num_attention_heads=1, num_key_value_heads=1)))


@pytest.mark.parametrize("queries", [QUERIES, 1])
def test_what_a_query_does_not_see_has_no_gradient(queries):
    q, k, v, bias = operands()
    q, bias = q[:, :queries], bias[:, :queries]
    _, of_keys, of_values = torch.autograd.grad(attention(q, k, v, bias).square().sum(), (q, k, v), retain_graph=True)
    unseen = (bias == -torch.inf).all(dim=1)
    assert unseen.any()
    assert not of_keys[unseen].any()
    assert not of_values[unseen].any()
