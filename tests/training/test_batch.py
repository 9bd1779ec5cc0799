"""Packing, trimming and splitting change nothing that the loss sees."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.rollout import Rollout
from asymgrpo.training.batch import by_rows, by_tokens, pack
from asymgrpo.training.policy import Policy

TOKENS = st.lists(st.integers(0, 23), min_size=1, max_size=9)


def rollout(prompt, response) -> Rollout:
    return Rollout(tuple(prompt), tuple(response), tuple(-0.1 * i for i in range(len(response))), "stop", 0)


@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=6), st.integers(0, 99))
def test_rows_keep_every_token(pairs, shuffle):
    batch = pack([rollout(*pair) for pair in pairs])
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(shuffle))
    part = batch.rows(order)
    for row, i in enumerate(order.tolist()):
        prompt, response = pairs[i]
        n = len(response)
        assert part.response_ids[row, :n].tolist() == response
        assert part.mask[row].tolist() == [1.0] * n + [0.0] * (part.mask.shape[1] - n)
        everything = prompt + response
        fed = part.input_ids[row, : len(everything) - 1].tolist()
        assert fed == everything[:-1]
        assert [everything[c + 1] for c in part.predictors[row, :n].tolist()] == response


@given(st.lists(st.integers(1, 50), min_size=1, max_size=24), st.integers(1, 8), st.integers(1, 30))
def test_micro_batches_partition_the_rows(widths, size, parts):
    found = by_rows(torch.tensor(widths), torch.arange(len(widths)), size, parts)
    assert sorted(torch.cat(found).tolist()) == list(range(len(widths)))
    assert all(len(p) <= size for p in found)
    assert len(found) >= min(parts, len(widths))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=24), st.integers(1, 200), st.integers(1, 30))
def test_parts_of_a_token_budget_partition_the_rows(widths, budget, parts):
    found = by_tokens(torch.tensor(widths), torch.arange(len(widths)), budget, parts)
    assert sorted(torch.cat(found).tolist()) == list(range(len(widths)))
    assert all(len(p) == 1 or len(p) * max(widths[i] for i in p.tolist()) <= budget for p in found)
    assert len(found) >= min(parts, len(widths))


def test_padding_does_not_reach_the_policy(model):
    short, long = rollout([3, 4], [5, 6]), rollout([7] * 8, [9] * 12)
    policy = Policy(model, 1.0, None)
    with torch.no_grad():
        alone, entropy_alone = policy(pack([short]).rows(torch.tensor([0])))
        padded, entropy_padded = policy(pack([short, long]).rows(torch.tensor([0, 1])))
    assert torch.allclose(alone[0, :2], padded[0, :2], atol=1e-6)
    assert torch.allclose(entropy_alone[0, :2], entropy_padded[0, :2], atol=1e-6)


def test_chunked_logits_are_the_same(model):
    batch = pack([rollout([3, 4], [5, 6, 7]), rollout([7] * 4, [9] * 6)]).rows(torch.tensor([0, 1]))
    whole, chunked = Policy(model, 0.7, None)(batch), Policy(model, 0.7, 2)(batch)
    for a, b in zip(whole, chunked, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
