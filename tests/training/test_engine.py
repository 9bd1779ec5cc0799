"""However a batch is cut and wherever its parts are held, the update is the same."""

import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from asymgrpo.method.arms import ARMS
from asymgrpo.method.reduce import counts, reduce
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.training import trainer as trainer_module
from asymgrpo.training.batch import pack
from asymgrpo.training.policy import Policy
from tests.helpers import update_cases
from tests.helpers.runs import ROOT
from tests.helpers.tiny_trainer import (
    EOS,
    distance,
    join,
    make_engine,
    make_trainer,
    settings,
    steps,
    tiny_model,
    weights,
)
from tests.helpers.update_cases import CASES, OF_BATCH, difference, one_update, sequences, short_run

pytestmark = pytest.mark.slow
REDUCTIONS = ("token", "sequence", "constant")


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


@pytest.fixture(scope="module")
def whole() -> dict[str, dict]:
    """Each case's update in one piece."""
    return {case: one_update(case, update_cases.SEQUENCES) for case in CASES}


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> dict:
    """What update_cases.py finds on two real processes."""
    results = tmp_path_factory.mktemp("ranks") / "results.pt"
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("LOCAL_RANK", None)
    done = subprocess.run([*launcher, update_cases.__file__, str(results)], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return torch.load(results, weights_only=False)


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 8])
@pytest.mark.parametrize("case", CASES)
def test_any_micro_batch_gives_the_same_update(whole, case, micro_batch):
    assert difference(one_update(case, micro_batch), whole[case]) < 1e-6


@pytest.mark.parametrize("micro_batch", [1, 2, 8])
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_give_the_same_update(whole, two_ranks, case, micro_batch):
    assert difference(two_ranks["updates"][case, micro_batch], whole[case]) < 1e-6


def test_the_cases_move_the_weights_and_differ(whole):
    """Without this, all of the above could hold for updates that do nothing."""
    start = {name: parameter.detach() for name, parameter in tiny_model().named_parameters()}
    for case in CASES:
        assert distance(whole[case]["weights"], start) > 0.01
        others = [whole[other] for other in CASES if other != case]
        assert min(distance(whole[case]["weights"], other["weights"]) for other in others) > 1e-4


@pytest.mark.parametrize("case", CASES)
def test_the_norm_of_an_update_is_the_distance_that_the_weights_moved(whole, case):
    assert whole[case]["update_norm"] == pytest.approx(float(moved(whole[case]).double().norm()), rel=1e-5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_mean_per_micro_batch_would_be_noticed(monkeypatch, whole, reduction):
    n_parts = update_cases.SEQUENCES // 2

    def mean_of_means(per_token, mask, mode, *, n_tokens, n_sequences, max_tokens):
        n_tokens, n_sequences = counts(mask)
        mine = reduce(per_token, mask, mode, n_tokens=n_tokens, n_sequences=n_sequences, max_tokens=max_tokens)
        return mine / n_parts

    monkeypatch.setattr(trainer_module, "reduce", mean_of_means)
    assert difference(one_update(reduction, 2), whole[reduction]) > 1e-3


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_any_zero_stage_gives_the_same_update(whole, two_ranks, zero_stage):
    assert difference(one_update("token", 4, zero_stage=zero_stage), whole["token"]) < 1e-6
    assert difference(two_ranks["zero_updates"][zero_stage], whole["token"]) < 1e-6


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_a_rank_without_a_gradient_keeps_step_with_the_other(whole, two_ranks, zero_stage):
    assert difference(two_ranks["sparse"][zero_stage], whole["sparse"]) < 1e-6


@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_ranks_cut_by_tokens_into_as_many_parts(whole, two_ranks, zero_stage):
    """Their sequences differ, and so would the number of their passes: ranks would wait for each other."""
    assert difference(two_ranks["by_tokens"][zero_stage], whole["token"]) < 1e-6


@pytest.mark.parametrize("arm", OF_BATCH)
def test_advantages_of_the_batch_are_those_of_all_ranks(two_ranks, arm):
    assert distance(two_ranks["of_batch"][arm]["weights"], short_run(2, arm=arm)["weights"]) < 1e-5
    losses = [[row["loss"] for row in run["rows"]] for run in (two_ranks["of_batch"][arm], short_run(2, arm=arm))]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "zero_stage": 3},
        {"gradient_checkpointing": True, "recompute_above": 40},
        {"micro_batch_tokens": 40},
        {"micro_batch_tokens": 1, "zero_stage": 2, "offload": True},
        {"logits_chunk": 3},
        {"zero_stage": 2, "offload": True},
        {"zero_stage": 3, "offload": True},
    ],
)
def test_saving_memory_changes_no_update(whole, changes):
    assert difference(one_update("token", 4, **changes), whole["token"]) < 1e-6


@pytest.mark.parametrize("zero_stage", [0, 3])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_checkpointing_recomputes_each_layer_once(zero_stage, checkpointing):
    model, passes = tiny_model(), []
    model.model.layers[0].mlp.down_proj.register_forward_pre_hook(lambda *_: passes.append(1))
    engine = make_engine(settings(zero_stage=zero_stage, gradient_checkpointing=checkpointing), model)
    logp, _ = engine.forward(pack(sequences()).rows(torch.arange(4)))
    assert len(passes) == 1
    engine.backward(logp.sum())
    assert len(passes) == 1 + checkpointing


def test_short_passes_keep_their_activations():
    model, passes = tiny_model(), []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    batch = pack(sequences()).rows(torch.arange(4))
    limit = batch.input_ids.numel()
    engine = make_engine(settings(gradient_checkpointing=True, recompute_above=limit), model)
    engine.backward(engine.forward(batch)[0].sum())
    assert len(passes) == 1
    longer = pack(sequences()).rows(torch.arange(len(sequences())))
    assert longer.input_ids.numel() > limit
    engine.backward(engine.forward(longer)[0].sum())
    assert len(passes) == 1 + 2


def moved(update: dict) -> torch.Tensor:
    """All movements of the weights, flat."""
    start = dict(tiny_model().named_parameters())
    return torch.cat([(update["weights"][name] - start[name].detach()).flatten() for name in start])


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_the_gradient_is_clipped_by_its_global_norm_and_reported_before(whole, zero_stage):
    """A first step of Adam with epsilon 1 is d = -g / (|g| + 1), so that the gradient can be read off the weights."""

    def norm_of_gradient(update) -> float:
        d = moved(update).double()
        return float((d / (1 - d.abs())).norm())

    clipped = one_update("token", 4, zero_stage=zero_stage, max_grad_norm=0.5)
    assert clipped["grad_norm"] == pytest.approx(whole["token"]["grad_norm"], rel=1e-6)
    assert norm_of_gradient(whole["token"]) == pytest.approx(clipped["grad_norm"], rel=1e-4)
    assert norm_of_gradient(clipped) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("zero_stage", [0, 2])
def test_the_learning_rate_warms_up_linearly(whole, zero_stage):
    """The first of n + 1 equal stairs: with n = 3 warm-up updates, a quarter."""
    first = moved(one_update("token", 4, zero_stage=zero_stage, warmup_updates=3))
    torch.testing.assert_close(first, moved(whole["token"]) / 4, rtol=1e-4, atol=1e-6)


def same_run(one: dict, other: dict) -> bool:
    numbers = ("loss", "grad_norm", "entropy", "reward_mean", "logp_change_correct", "clip_share_low", "gap_mean")
    columns = [[[row[name] for row in run["rows"]] for name in numbers] for run in (one, other)]
    return distance(one["weights"], other["weights"]) < 1e-5 and torch.allclose(
        *(torch.tensor(c, dtype=torch.float64) for c in columns), rtol=1e-4, atol=1e-5
    )


def test_five_steps_are_the_same_under_every_zero_stage_and_on_two_ranks(two_ranks):
    """With and without accumulation: 8 micro-batches per update or one on one rank, 4 or one on each of two."""
    plain = short_run(0, 8)
    assert sum(row["clip_share_low"] + row["clip_share_high"] for row in plain["rows"]) > 0
    for stage in (0, 1, 2, 3):
        assert same_run(short_run(stage, 1), plain), stage
        assert same_run(short_run(stage, 8), plain), stage
        assert same_run(two_ranks["runs"][stage, 1], plain), stage
        assert same_run(two_ranks["runs"][stage, 4], plain), stage
    assert not same_run(short_run(0, 8, "grpo"), plain)


SHARDED_BFLOAT16 = [(1, False), (1, True), (2, False), (2, True), (3, False)]


@pytest.mark.parametrize(("zero_stage", "offload"), SHARDED_BFLOAT16)
def test_bfloat16_gradients_are_added_up_in_float32(zero_stage, offload):
    """One gradient g, then 63 times 2^-9 g: in bfloat16 each of these is below half a unit in the last place of g and is lost."""
    small, parts = 2.0**-9, 64
    train = settings(
        dtype="bfloat16", zero_stage=zero_stage, offload=offload, prompts_per_step=16, group_size=8, micro_batch=1
    )
    engine = make_engine(train, tiny_model().bfloat16())
    rows = pack(sequences()).rows(torch.arange(1))

    def norm(scales: list[float]) -> float:
        for scale in scales:
            engine.backward(scale * engine.forward(rows)[0].sum())
        return engine.grad_norm

    assert engine._learning_rate == train.learning_rate
    engine._learning_rate = 0.0  # the weights stay, so that the two norms are of one gradient
    alone = norm([1.0] + [0.0] * (parts - 1))
    assert norm([1.0] + [small] * (parts - 1)) == pytest.approx(alone * (1 + small * (parts - 1)), rel=1e-3)


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_bfloat16_keeps_float32_masters(zero_stage):
    """A hundred updates too small for a bfloat16 weight to notice move it all the same."""
    train = settings(
        dtype="bfloat16", zero_stage=zero_stage, micro_batch=8, learning_rate=2e-5, adam_eps=1e-12, weight_decay=0.0
    )
    engine = make_engine(train, tiny_model().bfloat16())
    rows, start = pack(sequences()).rows(torch.arange(8)), weights(engine)
    for _ in range(100):
        engine.backward(-engine.forward(rows)[0].sum())
    end = weights(engine)
    large = {
        name: w.abs() > 0.1 for name, w in start.items()
    }  # one unit in the last place is 2^-11 or more: 25 updates
    moved = [(end[name] - w)[large[name]].abs().float() for name, w in start.items()]
    assert end["lm_head.weight"].dtype == torch.bfloat16
    assert torch.cat(moved).median() > 1e-3


@pytest.mark.parametrize("updates_per_rollout", [1, 2])
@pytest.mark.parametrize("name", ["reinforce", "grpo", "grpo_adaptive_entropy", "clip_cov"])
def test_the_first_ratio_is_exactly_one(monkeypatch, updates_per_rollout, name):
    """log pi_old is the first update's own, whether or not the arm scores before it: pi / pi_old = 1 until that update."""
    seen = []

    def spy(arm, logp, logp_old, *rest, **more):
        seen.append((trainer.engine.updates, torch.equal(logp, logp_old)))
        return original(arm, logp, logp_old, *rest, **more)

    original = trainer_module.loss_terms
    monkeypatch.setattr(trainer_module, "loss_terms", spy)
    trainer = make_trainer(ARMS[name], settings(updates_per_rollout=updates_per_rollout))
    steps(trainer, 1, 2)
    assert {done for done, _ in seen} == set(range(2 * updates_per_rollout))
    assert all(is_one == (done % updates_per_rollout == 0) for done, is_one in seen)


@pytest.mark.parametrize("zero_stage", [0, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_weights_go_out_and_come_back(tmp_path, zero_stage, tied):
    """engine.weights() and save_pretrained hold the whole policy, under the names of Hugging Face."""
    model = tiny_model(tie_word_embeddings=tied)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    engine = make_engine(settings(zero_stage=zero_stage), model)
    assert distance(weights(engine), start) == 0
    trainer = make_trainer(train=settings(zero_stage=zero_stage), model=tiny_model(tie_word_embeddings=tied))
    steps(trainer, 1, 2)
    trained = weights(trainer.engine)
    assert distance(trained, start) > 1e-3
    trainer.engine.save_pretrained(tmp_path)
    batch = pack(sequences())
    rows = batch.rows(torch.arange(len(batch)))
    ours = trainer.engine.score(rows)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    filled = tiny_model(seed=1, tie_word_embeddings=tied)
    missing, unexpected = filled.load_state_dict(trained, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"] if tied else [], [])
    for copy in (loaded, filled):
        policy = Policy(copy, 1.0, None)
        policy.packs = zero_stage < 3  # as the engine, whose weights are not whole at stage 3
        assert all(torch.equal(a, b) for a, b in zip(ours, policy(rows), strict=True))


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_saved_state_continues_to_the_bit(tmp_path, zero_stage):
    train = settings(zero_stage=zero_stage, warmup_updates=6)
    undisturbed = make_trainer(train=train)
    steps(undisturbed, 1, 2)
    undisturbed.engine.save_state(tmp_path)
    spent = undisturbed.sampled_tokens
    expected = steps(undisturbed, 3, 4)
    model = tiny_model(seed=1)
    sampler = TorchSampler(model.config, model.named_parameters(), EOS)
    resumed = make_trainer(train=train, model=model, sampler=sampler)
    resumed.engine.load_state(tmp_path)
    resumed.sampled_tokens = spent  # a run keeps it with its history
    sampler.update_weights(resumed.engine.weights())
    assert steps(resumed, 3, 4) == expected
    assert distance(weights(resumed.engine), weights(undisturbed.engine)) == 0
