"""The vLLM sampler against the torch one: the same probabilities, also after training; what a seed promises."""

import math
import sys

import pytest
import torch
from vllm_models import model_of

from asymgrpo.method.arms import ARMS
from asymgrpo.rollout import Request, SamplerError, vllm_worker
from asymgrpo.rollout.base import EVALUATION_LIMITS
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.rollout.vllm_sampler import check_head_size, start
from asymgrpo.study.config import ConfigError
from asymgrpo.training.batch import pack
from asymgrpo.training.metrics import mismatch_metrics
from asymgrpo.training.policy import Policy
from asymgrpo.training.trainer import MismatchError
from tests.helpers.tiny_trainer import EOS, PROBLEMS, make_trainer, settings, steps, tiny_model

pytestmark = pytest.mark.slow
TOLERANCE = 1e-4
WRONG = 1e-2
"""Gap in nats above which probabilities are those of other weights, not rounding."""


def requests(prompts: int = 4, samples: int = 6, first_seed: int = 0) -> list[Request]:
    """Prompts of 3 to 90 tokens: the longest fill cache blocks, which their samples share."""
    g = torch.Generator().manual_seed(first_seed)
    lengths = torch.linspace(3, 90, prompts).long().tolist()
    ids = [tuple(torch.randint(3, 24, (n,), generator=g).tolist()) for n in lengths]
    return [Request(p, tuple(first_seed + 2**62 + 100 * i + j for j in range(samples))) for i, p in enumerate(ids)]


def flat(groups):
    return [r for group in groups for r in group]


def gap(model, rollouts, temperature: float = 1.0) -> float:
    """Largest difference, over tokens, between the sampler's log-probabilities and those of transformers."""
    batch = pack(rollouts)
    with torch.no_grad():
        logp, _ = Policy(model, temperature, None)(batch.rows(torch.arange(len(batch))))
    return float(((logp - batch.logp_sampler) * batch.mask).abs().max())


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_logprobs_are_those_of_the_torch_sampler_and_of_transformers(sampler, model, temperature):
    others = TorchSampler(model.config, model.named_parameters(), EOS)
    for one in (sampler, others):
        rollouts = flat(one.generate(requests(), temperature, 1.0, 20))
        assert {r.finish_reason for r in rollouts} == {"stop", "length"}
        assert gap(model, rollouts, temperature) < TOLERANCE


def test_greedy_is_that_of_the_torch_sampler(sampler, model):
    ours = sampler.generate(requests(samples=1), 0.0, 1.0, 20)
    theirs = TorchSampler(model.config, model.named_parameters(), EOS).generate(requests(samples=1), 0.0, 1.0, 20)
    assert [r.response_ids for r in flat(ours)] == [r.response_ids for r in flat(theirs)]
    assert gap(model, flat(ours)) < TOLERANCE


def test_sampling_follows_the_distribution(sampler, model):
    """Frequencies of the first token over 2,000 seeds: within 4.5 standard deviations of the probabilities."""
    prompt, n, temperature = (3, 4, 5), 2000, 0.7
    (group,) = sampler.generate([Request(prompt, tuple(range(n)))], temperature, 1.0, 1)
    counts = torch.bincount(torch.tensor([r.response_ids[0] for r in group]), minlength=24)
    with torch.no_grad():
        p = (model(torch.tensor([prompt])).logits[0, -1] / temperature).softmax(-1)
    assert ((counts / n - p).abs() <= 4.5 * (p * (1 - p) / n).sqrt() + 1e-9).all()


def test_a_response_ends_with_its_end_token_or_at_the_limit(sampler):
    for rollout in flat(sampler.generate(requests(samples=20), 1.0, 1.0, 10)):
        ended = rollout.response_ids[-1] in EOS
        assert ended == (rollout.finish_reason == "stop")
        assert not set(rollout.response_ids[:-1]) & set(EOS)
        assert len(rollout.response_ids) == len(rollout.logprobs) <= 10
        assert ended or len(rollout.response_ids) == 10


def test_no_request_no_rollout(sampler):
    assert sampler.generate([], 1.0, 1.0, 10) == []
    assert sampler.generate([Request((3, 4), ())], 1.0, 1.0, 10) == [[]]


# Seeds


@pytest.mark.parametrize("kind", ["untied"])
def test_every_sample_is_asked_for_with_a_seed_of_its_own(sampler, kind, monkeypatch):
    """Over the requests of three training steps: what reaches vLLM, not what we believe that we sent."""
    seen = []
    generate = sampler.llm.generate

    def spy(prompts, sampling, **options):
        seen.extend(s.seed for s in sampling)
        assert {(s.n, s.top_p, s.top_k, s.temperature) for s in sampling} == {(1, 1.0, 0, 0.8)}
        return generate(prompts, sampling, **options)

    monkeypatch.setattr(sampler.llm, "generate", spy)
    train = settings(temperature=0.8)
    steps(trainer_on(sampler, kind, train=train), 1, 3)
    assert len(seen) == len(set(seen)) == 3 * train.prompts_per_step * train.group_size


def test_the_rollouts_of_a_prompt_differ(sampler):
    for group in sampler.generate(requests(samples=8), 1.0, 1.0, 20):
        assert len({r.response_ids for r in group}) > 4


def test_the_same_call_gives_the_same_bytes_whatever_came_before(sampler):
    """Equality of log-probabilities to the last bit; in between, other requests fill the cache with common prefixes."""
    first = sampler.generate(requests(), 1.0, 1.0, 20)
    sampler.generate([Request((*r.prompt_ids[:64], 5, 6), r.seeds) for r in requests()], 0.7, 1.0, 20)
    assert sampler.generate(requests(), 1.0, 1.0, 20) == first
    assert sampler.generate(requests(first_seed=1000), 1.0, 1.0, 20) != first


def test_in_another_batch_a_seed_gives_the_same_sample_to_rounding(sampler):
    """The promise of docs/rollout.md: random numbers belong to the seed, last bits of logits to the batch."""
    together = sampler.generate(requests(), 1.0, 1.0, 20)
    for request, group in zip(requests(), together, strict=True):
        ((alone,),) = sampler.generate([Request(request.prompt_ids, request.seeds[2:3])], 1.0, 1.0, 20)
        assert alone.response_ids == group[2].response_ids
        assert torch.allclose(torch.tensor(alone.logprobs), torch.tensor(group[2].logprobs), atol=TOLERANCE)


# New weights


def trainer_on(sampler, kind: str, **more):
    """A trainer whose sampler is `sampler`, on its own copy of the model, at a rate that moves weights visibly."""
    train = more.pop("train", None) or settings(learning_rate=1e-2)
    trainer = make_trainer(ARMS["grpo"], train, model=model_of(kind), sampler=sampler, **more)
    sampler.update_weights(trainer.engine.weights())
    return trainer


def test_no_stale_weights_and_no_stale_prefixes_after_training(sampler, kind, model):
    """Three steps: in each, and after them, the sampler's probabilities are the trainer's, no longer the first model's."""
    longer = [type(p)(p.problem_id, p.prompt_ids * 20, p.answer) for p in PROBLEMS]
    trainer = trainer_on(sampler, kind, problems=longer)
    assert all(row["gap_max"] < TOLERANCE for row in steps(trainer, 1, 3))
    for temperature in (1.0, 0.4):
        rollouts = flat(sampler.generate(requests(), temperature, 1.0, 20))
        assert gap(trainer.engine._policy.model, rollouts, temperature) < TOLERANCE
        assert gap(model, rollouts, temperature) > WRONG


def test_without_a_reset_the_cache_gives_wrong_numbers(sampler, kind, monkeypatch):
    """What `forget` is for: the same requests before and after an update, with vLLM's own reset made idle."""
    new = model_of(kind, seed=1)
    sampler.generate(requests(), 1.0, 1.0, 20)
    with monkeypatch.context() as patch:
        patch.setattr(sampler.llm, "reset_prefix_cache", lambda: True)
        sampler.update_weights(new.named_parameters())
        assert gap(new, flat(sampler.generate(requests(), 1.0, 1.0, 20))) > WRONG
    assert gap(new, flat(sampler.generate(requests(), 1.0, 1.0, 20))) < TOLERANCE


def test_a_refused_reset_is_an_error(sampler, monkeypatch):
    monkeypatch.setattr(sampler.llm, "reset_prefix_cache", lambda: False)
    with pytest.raises(SamplerError, match="prefix cache"):
        sampler.forget()


@pytest.mark.parametrize("kind", ["tied"])
def test_a_tied_head_that_is_not_packed_again_is_found(sampler, kind, monkeypatch):
    """vLLM's silent bug on CPUs: without our repacking logits come from the old head, and the checksum says so."""
    new = model_of(kind, seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(vllm_worker, "repack_tied_head", lambda model: None)
        with pytest.raises(SamplerError, match=r"first lm_head\.weight"):
            sampler.update_weights(new.named_parameters())
        assert gap(new, flat(sampler.generate(requests(), 1.0, 1.0, 20))) > WRONG
    sampler.update_weights(new.named_parameters())
    assert gap(new, flat(sampler.generate(requests(), 1.0, 1.0, 20))) < TOLERANCE


def tamper_norm(worker) -> None:
    weight = worker.model_runner.model.model.norm.weight
    weight.data[3] = weight[3].nextafter(torch.tensor(9.0))  # the last bit of one number


def tamper_packed(worker) -> None:
    layer = worker.model_runner.model.model.layers[1].mlp.gate_up_proj
    honest = layer.cpu_linear

    def dishonest(x, weight, bias):
        out = honest(x, weight, bias)
        out[:, -1] *= 1 + 1e-6
        return out

    layer.cpu_linear = dishonest


@pytest.mark.parametrize(
    ("tamper", "name"), [(tamper_norm, "model.norm.weight"), (tamper_packed, "model.layers.1.mlp.up_proj.weight")]
)
def test_the_checksum_finds_a_tampered_weight(sampler, model, tamper, name):
    checksums: dict[str, int] = {}
    for _ in sampler.handed_over(model.named_parameters(), checksums):
        pass
    sampler.verify(checksums)
    sampler.llm.collective_rpc(tamper)
    with pytest.raises(SamplerError, match=f"1 of .* differ, first {name}"):
        sampler.verify(checksums)
    sampler.update_weights(model.named_parameters())  # repairs it, and checks


def test_a_missing_weight_is_found_when_it_is_due(sampler, kind):
    weights = dict(model_of(kind, seed=3).named_parameters())
    left_out = "model.layers.0.mlp.down_proj.weight"
    some = [(name, w) for name, w in weights.items() if name != left_out]
    sampler.updates, sampler.verify_every = 1, 2
    sampler.update_weights(some)  # update 1 of every second: not looked at
    with pytest.raises(SamplerError, match=left_out):
        sampler.update_weights(some)
    sampler.update_weights(weights.items())


# Mismatch between sampler and trainer


def test_mismatch_metrics_are_those_of_the_rollouts(sampler, kind):
    """Against the definition, from the rollouts themselves, in float64."""
    trainer = trainer_on(sampler, kind)
    model = trainer.engine._policy.model
    groups = trainer.rollout(trainer.draw(1), 1)
    logp, logp_sampler = [], []
    for r in flat(groups):
        with torch.no_grad():
            logits = model(torch.tensor([r.prompt_ids + r.response_ids])).logits[0, len(r.prompt_ids) - 1 : -1].double()
        logp += (
            (logits / trainer.train.temperature).log_softmax(-1)[range(len(r.response_ids)), r.response_ids].tolist()
        )
        logp_sampler += r.logprobs
    gaps = sorted(abs(a - b) for a, b in zip(logp, logp_sampler, strict=True))
    found = mismatch_metrics(*(torch.tensor(x, dtype=torch.float64).numpy() for x in (logp, logp_sampler)))
    row = steps(trainer, 1, 1)[0]
    for numbers in (found, row):
        assert numbers["gap_max"] == pytest.approx(gaps[-1], abs=1e-5)
        assert numbers["gap_p999"] == pytest.approx(gaps[math.ceil(0.999 * (len(gaps) - 1))], abs=1e-5)
        assert numbers["gap_mean"] == pytest.approx(sum(gaps) / len(gaps), abs=1e-6)
        assert numbers["token_mult_prob_error"] == pytest.approx(sum(map(math.exp, gaps)) / len(gaps), abs=1e-6)
    assert 1 < row["token_mult_prob_error"] < 1 + TOLERANCE


def test_the_gate_stops_a_run_whose_sampler_stayed_behind(sampler, kind, monkeypatch):
    trainer = trainer_on(sampler, kind, train=settings(learning_rate=1e-2, mismatch_gate=1.01))
    monkeypatch.setattr(sampler, "update_weights", lambda weights: None)
    steps(trainer, 1, 1)
    before = {name: w.clone() for name, w in trainer.engine.weights()}
    with pytest.raises(
        MismatchError, match=r"token_mult_prob_error is .*above train\.mismatch_gate = 1\.01.*Nothing was updated"
    ):
        steps(trainer, 2, 2)
    assert all(torch.equal(before[name], w) for name, w in trainer.engine.weights())


def test_truncated_importance_weights_under_vllm(sampler, kind):
    """Of a faithful sampler they are 1; of one that stayed behind pi_trainer / pi_sampler, never above the cap."""
    trainer = trainer_on(sampler, kind, train=settings(importance_cap=1.5))
    other = model_of(kind, seed=4)
    for weights, faithful in ((trainer.engine.weights(), True), (other.named_parameters(), False)):
        sampler.update_weights(weights)
        batch = pack(flat(trainer.rollout(trainer.draw(1), 1)))
        logp = trainer.score(batch, [torch.arange(len(batch))]).logp
        w = trainer.importance_weights(logp, batch.logp_sampler)[batch.mask.bool()]
        expected = (logp - batch.logp_sampler)[batch.mask.bool()].exp().clamp(max=1.5)
        assert torch.allclose(w, expected)
        assert bool((w - 1).abs().max() < TOLERANCE) == faithful
        assert bool((w == 1.5).any()) != faithful


# What is refused


@pytest.mark.parametrize("kind", ["untied"])
def test_what_vllm_would_cut_or_change_is_refused(sampler, kind):
    assert sampler.max_model_len == 128
    with pytest.raises(ConfigError, match=r"prompt of 90 tokens and max_tokens = 39 exceed the 128 tokens"):
        sampler.generate([Request((3,) * 90, (0,))], 1.0, 1.0, 39)
    assert len(sampler.generate([Request((3,) * 90, (0,))], 1.0, 1.0, 38)[0]) == 1
    with pytest.raises(ConfigError, match=r"temperature 0\.005 is below"):
        sampler.generate([Request((3,), (0,))], 0.005, 1.0, 5)


def test_without_vllm_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match="make vllm"):
        start(tmp_path, "float32", EVALUATION_LIMITS)


def test_heads_that_vllm_does_not_know_are_named_before_it_starts(vllm_installed, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="attention heads of 12 numbers"):
        check_head_size(tmp_path)
