"""Packed tokens against the padded batch, and a packed forward pass against that of transformers."""

import copy
import random

import pytest
import torch

from asymgrpo.rollout.base import Rollout
from asymgrpo.training import packed as packing
from asymgrpo.training.batch import Batch, pack
from asymgrpo.training.packed import packed
from asymgrpo.training.policy import Policy

CASES = {
    "groups": [((3, 4, 5), 7), ((3, 4, 5), 2), ((6, 7, 8, 9), 5), ((3, 4, 5), 1), ((6, 7, 8, 9), 12)],
    "prompts that begin alike": [((3, 4, 5), 3), ((3, 4, 6), 3), ((3, 4), 4)],
    "prompts of one token": [((3,), 3), ((4,), 6)],
    "one row": [((3, 4), 9)],
}
"""(prompt, tokens of the response) of each row."""


def batch_of(rows: list[tuple[tuple[int, ...], int]]) -> Batch:
    draw = random.Random(0)
    rollouts = [
        Rollout(prompt, tuple(draw.randrange(3, 24) for _ in range(n)), (0.0,) * n, "stop", 0) for prompt, n in rows
    ]
    return pack(rollouts).rows(torch.arange(len(rows)))


@pytest.mark.parametrize("case", CASES)
def test_every_token_is_there_and_each_shared_prompt_once(case):
    batch, rows = batch_of(CASES[case]), CASES[case]
    tokens = packed(batch)
    for i, (prompt, n) in enumerate(rows):
        slots = tokens.slots[i, : len(prompt) + n - 1]
        assert tokens.ids[slots].tolist() == batch.input_ids[i, : len(slots)].tolist()
        assert tokens.positions[slots].tolist() == list(range(len(slots)))
    shared = {prompt[:-1] for prompt, _ in rows}
    assert len(tokens.ids) == sum(map(len, shared)) + sum(n for _, n in rows)
    assert len(tokens.predicting.homes) == sum(n for _, n in rows)


@pytest.mark.parametrize("case", CASES)
def test_padding_is_not_read(case):
    batch, rows = batch_of(CASES[case]), CASES[case]
    before = packed(batch)
    for i, (prompt, n) in enumerate(rows):
        batch.input_ids[i, len(prompt) + n - 1 :] = 23
    after = packed(batch)
    assert torch.equal(before.ids, after.ids)
    assert torch.equal(before.slots, after.slots)


def states_and_gradients(policy: Policy, batch: Batch, packs: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    policy.packs = packs
    where = batch.mask.bool()
    logits = policy.model.lm_head(policy.predicting_states(batch, where))
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    policy.zero_grad()
    (torch.log_softmax(logits, dim=-1) * weights.to(logits.dtype)).sum().backward()
    return logits.detach(), [parameter.grad.clone() for parameter in policy.parameters()]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scores", [packing.SCORES, 0], ids=["all scores at once", "few"])
def test_it_computes_what_transformers_computes(any_model, scores, case, monkeypatch):
    monkeypatch.setattr(packing, "SCORES", scores)
    policy, batch = Policy(any_model, 1.0, None), batch_of(CASES[case])
    assert policy.packs
    theirs, their_gradients = states_and_gradients(policy, batch, False)
    ours, our_gradients = states_and_gradients(policy, batch, True)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
    off = [one - other for one, other in zip(our_gradients, their_gradients, strict=True)]
    assert torch.nn.utils.get_total_norm(off) < 2e-6 * torch.nn.utils.get_total_norm(their_gradients)


def test_in_float64_nothing_but_rounding_differs(any_model, monkeypatch):
    """transformers' norm works in float32 whatever the model's dtype; here it may not."""
    monkeypatch.setattr(type(any_model.model.norm), "forward", exact_norm)
    policy, batch = Policy(copy.deepcopy(any_model).double(), 1.0, None), batch_of(CASES["groups"])
    theirs, their_gradients = states_and_gradients(policy, batch, False)
    ours, our_gradients = states_and_gradients(policy, batch, True)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    for one, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-11)


def exact_norm(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return layer.weight * (x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + layer.variance_epsilon))


def test_nothing_but_keys_and_values_is_computed_of_tokens_that_predict_nothing(model):
    """In the last layer, whose other results nobody reads."""
    policy, batch = Policy(model, 1.0, None), batch_of(CASES["groups"])
    fed: dict[str, int] = {}
    hooks = [
        module.register_forward_hook(lambda _, inputs, __, name=name: fed.update({name: len(inputs[0])}))
        for name, module in policy.model.named_modules()
        if name.endswith("_proj")
    ]
    policy(batch)
    for hook in hooks:
        hook.remove()
    every, predicting = len(packed(batch).ids), int(batch.mask.sum())
    assert every > predicting
    wide = {name for name, n in fed.items() if n == every}
    assert set(fed.values()) == {every, predicting}
    assert {name.split("layers.")[1] for name in fed.keys() - wide} == {
        f"1.{part}_proj" for part in ("self_attn.q", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
    }
