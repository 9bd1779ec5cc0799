"""The lean decoder against transformers, and what a seed promises."""

import torch

from asymgrpo.rollout import Request
from asymgrpo.rollout.torch_sampler import TorchSampler, sample
from asymgrpo.training.batch import pack
from asymgrpo.training.policy import Policy

PROMPTS = [(3, 4, 5), (6, 7, 8, 9, 10, 11), (12, 13), (14,)]


def sampler_on(model, eos=(1, 2)) -> TorchSampler:
    return TorchSampler(model.config, model.named_parameters(), eos)


def requests(samples: int = 5) -> list[Request]:
    return [Request(p, tuple(range(100 * i, 100 * i + samples))) for i, p in enumerate(PROMPTS)]


def flat(groups):
    return [r for group in groups for r in group]


def test_sampler_logprobs_are_those_of_transformers(any_model):
    for temperature in (1.0, 0.4):
        rollouts = flat(sampler_on(any_model).generate(requests(), temperature, 1.0, 30))
        assert {r.finish_reason for r in rollouts} == {"stop", "length"}
        batch = pack(rollouts)
        with torch.no_grad():
            logp, _ = Policy(any_model, temperature, None)(batch.rows(torch.arange(len(batch))))
        assert ((logp - batch.logp_sampler) * batch.mask).abs().max() < 1e-4


def test_greedy_is_that_of_transformers(any_model):
    ours = flat(sampler_on(any_model).generate([Request(p, (0,)) for p in PROMPTS], 0.0, 1.0, 12))
    for rollout in ours:
        ids = torch.tensor([rollout.prompt_ids])
        theirs = any_model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=[1, 2],
            pad_token_id=0,
        )
        assert tuple(theirs[0, ids.shape[1] :].tolist()) == rollout.response_ids


def test_a_sample_depends_on_its_seed_and_not_on_its_batch(model):
    together = sampler_on(model).generate(requests(), 1.0, 1.0, 20)
    for request, group in zip(requests(), together, strict=True):
        alone = sampler_on(model).generate([Request(request.prompt_ids, request.seeds[2:3])], 1.0, 1.0, 20)
        assert alone[0][0].response_ids == group[2].response_ids
    assert len({r.response_ids for r in together[1]}) > 1, "the rollouts of one prompt must differ"


def test_a_response_ends_with_its_end_token_or_at_the_limit(model):
    for rollout in flat(sampler_on(model).generate(requests(20), 1.0, 1.0, 10)):
        ended = rollout.response_ids[-1] in (1, 2)
        assert ended == (rollout.finish_reason == "stop")
        assert not set(rollout.response_ids[:-1]) & {1, 2}
        assert len(rollout.response_ids) == len(rollout.logprobs) <= 10
        assert ended or len(rollout.response_ids) == 10


def test_sampling_follows_the_distribution():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    n = 40_000
    uniform = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    for temperature in (0.5, 1.0):
        tokens, _ = sample(logits.expand(n, -1), uniform, temperature, 1.0)
        shares = torch.bincount(tokens, minlength=4) / n
        assert torch.allclose(shares, (logits[0] / temperature).softmax(-1), atol=1e-4)


def test_top_p_keeps_the_smallest_sufficient_set():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()[None]
    uniform = torch.linspace(0, 0.9999, 1000, dtype=torch.float64)
    tokens, logp = sample(logits.expand(1000, -1), uniform, 1.0, 0.7)
    assert set(tokens.tolist()) == {0, 1}
    assert torch.allclose(logp.exp().unique(), torch.tensor([0.3, 0.5])), (
        "log-probabilities are of the full distribution"
    )


def test_new_weights_reach_the_sampler(model):
    changed = {name: p + 0.1 for name, p in model.named_parameters()}
    sampler = sampler_on(model)
    before = sampler.generate(requests(), 1.0, 1.0, 10)
    sampler.update_weights(changed.items())
    assert sampler.generate(requests(), 1.0, 1.0, 10) != before
