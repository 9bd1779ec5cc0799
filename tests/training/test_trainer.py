"""What the trainer does with an arm: every branch runs, acts and is the only thing that differs."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.method.arms import ARMS, get_arm
from asymgrpo.method.losses import k3_kl, ratio
from asymgrpo.rollout import Rollout
from asymgrpo.rollout.base import Sampler
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.tasks.tokenizer import build_tokenizer
from asymgrpo.training.batch import pack
from asymgrpo.training.build import make_grader
from asymgrpo.training.policy import Policy
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.training.trainer import MismatchError, Problem, rollout_seed
from asymgrpo.verifier import Verdict
from tests.helpers.tiny_trainer import (
    PROBLEMS,
    distance,
    even_wins_in_time,
    join,
    make_trainer,
    settings,
    steps,
    tiny_model,
    weights,
)
from tests.helpers.update_cases import sequences

OVERRIDES = {"grpo_adaptive_entropy": {"adaptive_entropy": {"target": 9.0, "delta": 0.005, "low": 0.0, "high": 1.0}}}
"""Its coefficient stays 0, and the arm is grpo, while the entropy is above the target; a random model's is above 0.2."""
BOLD = {"learning_rate": 1e-2, "prompts_per_step": 8, "group_size": 8, "micro_batch": 32}
"""Large enough steps for the clip bounds to act in the second update."""


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


def none_is_correct(rollouts, reference_answers) -> list[Verdict]:
    return [Verdict.wrong] * len(rollouts)


def even_wins_on_some(rollouts, golds) -> list[Verdict]:
    """Even wins in time, but nobody solves prompts of four tokens and everybody those of two: there are degenerate groups."""
    fixed = {4: Verdict.wrong, 2: Verdict.correct}
    verdicts = even_wins_in_time(rollouts, golds)
    return [fixed.get(len(r.prompt_ids), v) for r, v in zip(rollouts, verdicts, strict=True)]


def train_two_steps(arm, **changes) -> tuple[list[dict], list[list[Rollout]], dict[str, torch.Tensor]]:
    """Rows of two steps, the rollouts of the first, the final weights."""
    trainer = make_trainer(arm, settings(**BOLD | changes), grade=even_wins_on_some)
    first, groups, _ = trainer.step(1, Stopwatch())
    second, *_ = trainer.step(2, Stopwatch())
    return [first, second], groups, weights(trainer.engine)


@pytest.fixture(scope="module")
def two_steps() -> dict[str, tuple]:
    return {name: train_two_steps(get_arm(name, OVERRIDES.get(name))) for name in ARMS}


def test_every_pair_of_arms_ends_with_different_weights(two_steps):
    start = {name: parameter.detach() for name, parameter in tiny_model().named_parameters()}
    for name in ARMS:
        assert distance(two_steps[name][2], start) > 1e-3, name
    for one, other in itertools.combinations(ARMS, 2):
        assert distance(two_steps[one][2], two_steps[other][2]) > 1e-4, (one, other)


def test_a_constant_factor_of_the_advantages_is_nothing_to_adamw():
    """RLOO is Dr.GRPO's first half times 8 / 7: two names for one method, until the gradient norm is clipped."""
    free = {"max_grad_norm": 1e9, "adam_eps": 1e-12}
    (one, _, ends), (other, _, ends_too) = (train_two_steps(ARMS[name], **free) for name in ("rloo", "dr_grpo_no_std"))
    assert one[0]["loss"] == pytest.approx(other[0]["loss"] * 8 / 7, rel=1e-3)
    assert distance(ends, ends_too) < 1e-5


def test_all_arms_start_from_the_same_draws(two_steps):
    """Same run seed: same prompts, same rollouts, same rewards, until the first update tells the arms apart."""
    before_updates = (
        "reward_mean",
        "groups_by_correct",
        "response_tokens_mean",
        "truncated_share",
    )
    rows, groups, _ = two_steps["grpo"]
    for name, (other_rows, other_groups, _) in two_steps.items():
        if ARMS[name].dynamic_sampling:  # it replaces some of them: test_dynamic.py
            continue
        assert other_groups == groups, name
        assert all(other_rows[0][column] == rows[0][column] for column in before_updates), name
        # Which rows go through the model together is the arm's; the sums of a matrix product are rounded accordingly.
        assert other_rows[0]["entropy"] == pytest.approx(rows[0]["entropy"], rel=1e-6, abs=0), name
        assert other_rows[0]["gap_mean"] == pytest.approx(rows[0]["gap_mean"], abs=1e-6), name
    assert two_steps["reinforce"][0][1]["entropy"] != rows[1]["entropy"]


def test_another_seed_draws_other_prompts_and_rollouts():
    def first(run_seed):
        trainer = make_trainer(run_seed=run_seed)
        return trainer.draw(1), trainer.step(1, Stopwatch())[1]

    problems, groups = first(0)
    assert first(0) == (problems, groups)
    other_problems, other_groups = first(1)
    assert [p.problem_id for p in other_problems] != [p.problem_id for p in problems]
    assert other_groups != groups


def test_the_rollouts_of_a_group_differ_and_share_their_prompt(two_steps):
    for group in two_steps["grpo"][1]:
        assert len({r.prompt_ids for r in group}) == 1
        assert len({r.seed for r in group}) == len(group) == BOLD["group_size"]
        assert len({r.response_ids for r in group}) > 1


@pytest.mark.parametrize(
    ("name", "overrides", "same_as"),
    [
        ("asymgrpo", {"beta_pos": 0.5, "beta_neg": 0.5}, "grpo"),
        ("asymgrpo", {"beta_pos": 0, "beta_neg": 0}, "reinforce"),
        ("w_reinforce", {"positive_weight": 1}, "reinforce"),
        ("asymgrpo", {"clip_high": 0.28}, "asymgrpo_clip_higher"),
        ("random_reward", {"reward": "verifier"}, "grpo"),
        ("grpo_adaptive_entropy", {}, "grpo"),
    ],
)
def test_documented_identities_hold_after_training(two_steps, name, overrides, same_as):
    """The last one because a random model's entropy is above the target of 0.2: no bonus is in force."""
    assert distance(train_two_steps(get_arm(name, overrides))[2], two_steps[same_as][2]) < 1e-5


def test_clipping_acts_on_its_side_only(two_steps):
    low, high = (two_steps["grpo"][0][0][f"clip_share_{side}"] for side in ("low", "high"))
    assert low > 0
    assert high > 0
    assert two_steps["grpo_clip_higher"][0][0]["clip_share_low"] == low
    assert two_steps["grpo_clip_higher"][0][0]["clip_share_high"] < high
    once = train_two_steps(ARMS["grpo"], updates_per_rollout=1)[0]
    assert {row[f"clip_share_{side}"] for row in once for side in ("low", "high")} == {0.0}, "every ratio is 1"


def test_the_random_control_ignores_verdicts_but_reports_them():
    """Same weights whoever grades; the reward in the metrics stays the verifier's."""

    def with_grader(arm, grade):
        trainer = make_trainer(arm, settings(**BOLD), grade=grade)
        row, *_ = trainer.step(1, Stopwatch())
        return row["reward_mean"], weights(trainer.engine)

    some, with_some = with_grader(ARMS["random_reward"], even_wins_in_time)
    none, with_none = with_grader(ARMS["random_reward"], none_is_correct)
    assert none == 0 < some
    assert distance(with_some, with_none) == 0
    start = {name: parameter.detach() for name, parameter in tiny_model().named_parameters()}
    assert distance(with_none, start) > 1e-3
    assert distance(with_grader(ARMS["grpo"], none_is_correct)[1], start) == 0, "no group of GRPO has a signal"


@pytest.mark.parametrize("truncated", ["zero", "mask"])
def test_truncated_rollouts_train_or_do_not(truncated):
    """`mask` spares a cut response its own loss; it stays in its group, with reward 0."""
    trainer = make_trainer(train=settings(**BOLD, truncated=truncated), grade=even_wins_in_time)
    seen = []
    original = trainer.update
    trainer.update = lambda *arguments: seen.append(arguments) or original(*arguments)
    row, groups, rewards = trainer.step(1, Stopwatch())
    batch, _, _, advantages, trains, *_ = seen[0]
    cut = np.array([[r.finish_reason == "length" for r in group] for group in groups])
    assert 0 < cut.mean() == row["truncated_share"] < 1
    assert (rewards[cut] == 0).all()
    assert (advantages.numpy()[cut] < 0).any()
    kept = trains.any(dim=1).numpy().reshape(cut.shape)
    assert (kept == (~cut if truncated == "mask" else np.ones_like(cut))).all()
    assert torch.equal(trains[kept.ravel()], batch.mask[kept.ravel()])


def test_truncated_zero_and_mask_differ(two_steps):
    assert distance(train_two_steps(ARMS["grpo"], truncated="mask")[2], two_steps["grpo"][2]) > 1e-4


class Skewed:
    """A sampler whose reported log-probabilities are off by `shift` nats: stale weights, another temperature."""

    def __init__(self, shift: float):
        model = tiny_model()
        self.inner = TorchSampler(model.config, model.named_parameters(), (1, 2))
        self.shift = shift
        self.update_weights, self.sleep, self.wake = self.inner.update_weights, self.inner.sleep, self.inner.wake

    def generate(self, *arguments) -> list[list[Rollout]]:
        return [[self.skew(r) for r in group] for group in self.inner.generate(*arguments)]

    def skew(self, r: Rollout) -> Rollout:
        logprobs = tuple(x + self.shift * (i % 2) for i, x in enumerate(r.logprobs))
        return Rollout(r.prompt_ids, r.response_ids, logprobs, r.finish_reason, r.seed)


def final_weights(sampler: Sampler, **changes) -> dict[str, torch.Tensor]:
    trainer = make_trainer(train=settings(**{"mismatch_gate": None} | changes), sampler=sampler)
    steps(trainer, 1, 2)
    return weights(trainer.engine)


def test_the_importance_cap_acts():
    """Weights min(pi / pi_sampler, cap) change the update when the sampler is off, and only then."""
    plain = final_weights(Skewed(0.0))
    assert distance(final_weights(Skewed(-2.0)), plain) == 0, "without a cap the sampler's numbers do not count"
    assert distance(final_weights(Skewed(0.0), importance_cap=2.0), plain) < 1e-4
    loose, tight = (final_weights(Skewed(-2.0), importance_cap=cap) for cap in (100.0, 2.0))
    assert distance(loose, plain) > 1e-3
    assert distance(tight, plain) > 1e-3
    assert distance(tight, loose) > 1e-3


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(1.1, 8))
def test_importance_weights_are_truncated_ratios(trained, logp_old, logp_sampler, cap):
    old, sampler = torch.tensor([[logp_old]]), torch.tensor([[logp_sampler]])
    capped, off = (trained(c).importance_weights(old, sampler) for c in (cap, None))
    torch.testing.assert_close(capped, ratio(old, sampler).clamp(max=cap))
    assert off is None


@pytest.fixture(scope="module")
def trained():
    """cap -> one and the same trainer, with this importance cap."""
    trainer = make_trainer()

    def with_cap(cap):
        trainer.train = settings(importance_cap=cap)
        return trainer

    return with_cap


def test_the_mismatch_gate_stops_before_anything_is_updated():
    trainer = make_trainer(train=settings(mismatch_gate=1.05), sampler=Skewed(0.5))
    before = weights(trainer.engine)
    with pytest.raises(MismatchError, match=r"token_mult_prob_error is 1\.\d+, above train\.mismatch_gate = 1\.05"):
        trainer.step(1, Stopwatch())
    assert distance(weights(trainer.engine), before) == 0
    assert trainer.engine.updates == 0
    steps(make_trainer(train=settings(mismatch_gate=1.05), sampler=Skewed(0.02)), 1, 1)


def test_a_kl_penalty_needs_its_reference_and_pulls_towards_it():
    def moved(kl_coef):
        arm = get_arm("grpo", {"kl_coef": kl_coef}) if kl_coef else ARMS["grpo"]
        reference = Policy(tiny_model(), 1.0, None).requires_grad_(False) if kl_coef else None
        trainer = make_trainer(arm, settings(**BOLD), reference=reference)
        start, rows = weights(trainer.engine), steps(trainer, 1, 3)
        end = weights(trainer.engine)
        return rows, sum(float(((end[name] - start[name]) ** 2).sum()) for name in start)

    with pytest.raises(ValueError, match="kl_coef > 0 and needs a reference policy"):
        make_trainer(get_arm("grpo", {"kl_coef": 0.1}))
    free, held = moved(0.0), moved(10.0)
    assert held[0][0]["entropy"] == free[0][0]["entropy"]
    assert held[1] < 0.9 * free[1], "a strong penalty towards the base model keeps the weights near it"


def test_the_penalty_alone_leads_to_the_reference():
    """No advantage anywhere: whatever moves is the k3 term, and it must know the base model, not the old policy."""
    reference = Policy(tiny_model(), 1.0, None).requires_grad_(False)
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight.mul_(0.5)
    arm = get_arm("grpo", {"kl_coef": 1.0})
    trainer = make_trainer(arm, settings(), model, grade=none_is_correct, reference=reference)
    batch = pack(sequences())
    rows = batch.rows(torch.arange(len(batch)))
    expected, _ = reference(rows)
    torch.testing.assert_close(
        trainer.score_reference(batch, list(torch.arange(len(batch)).split(4))), expected, rtol=0, atol=1e-5
    )

    def penalty() -> float:
        return float(k3_kl(trainer.engine.score(rows)[0], expected).mean())

    before = penalty()
    start = weights(trainer.engine)
    steps(trainer, 1, 16)
    assert distance(weights(trainer.engine), start) > 1e-3
    assert penalty() < 0.7 * before


def test_the_adaptive_coefficient_moves_towards_its_target():
    """Below the target it grows by delta a step, above it shrinks to its lower bound and is not in force."""

    def coefficients(target, **more):
        adaptive = {"target": target, "delta": 0.005, "low": 0.0, "high": 0.012}
        trainer = make_trainer(get_arm("grpo_adaptive_entropy", {"adaptive_entropy": adaptive} | more))
        return [row["entropy_coef"] for row in steps(trainer, 1, 4)], trainer.entropy_coef

    in_force, last = coefficients(9.0)
    assert in_force == pytest.approx([0, 0.005, 0.01, 0.012])
    assert last == pytest.approx(0.012)
    in_force, last = coefficients(0.1, entropy_coef=0.011)
    assert in_force == [0, 0, 0, 0]
    assert last == 0


def test_each_step_uses_each_of_its_prompts_once():
    trainer = make_trainer()
    epoch = [p.problem_id for step in (1, 2, 3) for p in trainer.draw(step)]
    assert sorted(epoch) == sorted(p.problem_id for p in PROBLEMS)
    trainer.step(1, clock := Stopwatch())
    assert all(clock.seconds[phase] > 0 for phase in ("rollout", "reward", "score", "update", "sync", "other"))


@pytest.mark.parametrize("problems", [PROBLEMS[:1], PROBLEMS[:3]])
def test_a_problem_drawn_twice_in_a_step_is_sampled_anew(problems):
    """Identical groups would count one group's gradient twice, as if it were more evidence."""
    trainer = make_trainer(problems=problems)
    drawn = trainer.draw(1)
    assert len(drawn) == 4 > len(problems)
    groups = trainer.step(1, Stopwatch())[1]
    seeds = [[r.seed for r in group] for group in groups]
    assert len({seed for group in seeds for seed in group}) == 16
    for p, group in zip(drawn, seeds, strict=True):
        first = 4 * p.occurrence
        assert group == [rollout_seed(0, 1, p.problem_id, i) for i in range(first, first + 4)]
    responses = {tuple(r.response_ids for r in group) for group in groups}
    assert len(responses) == 4


class Scripted:
    """Says the right and a wrong answer, no answer and one cut short, G = 4, whatever the weights are."""

    def __init__(self, answers: dict[tuple[int, ...], str]):
        self.tokenizer, self.answers = build_tokenizer(), answers

    def generate(self, requests, temperature, top_p, max_tokens) -> list[list[Rollout]]:
        return [self.group(request) for request in requests]

    def group(self, request) -> list[Rollout]:
        right, wrong = (rf"=\boxed{{{number}}}" for number in (self.answers[request.prompt_ids], "99"))
        texts = [(right, "stop"), (wrong, "stop"), ("=3", "stop"), (right, "length")]
        return [self.rollout(request, i, *text) for i, text in enumerate(texts)]

    def rollout(self, request, i, text, finish_reason) -> Rollout:
        ids = tuple(self.tokenizer(text)["input_ids"])
        ids += (self.tokenizer.eos_token_id,) if finish_reason == "stop" else ()
        return Rollout(request.prompt_ids, ids, (-3.0,) * len(ids), finish_reason, request.seeds[i])

    def update_weights(self, weights) -> None:
        list(weights)

    def sleep(self) -> None: ...

    wake = sleep


def test_with_the_real_verifier_the_right_answer_becomes_more_likely():
    tokenizer = build_tokenizer()
    sums = {"3+4": "7", "9-5": "4", "6-8": "-2", "5+6": "11"}
    problems = [Problem(q, tuple(tokenizer(q)["input_ids"]), a) for q, a in sums.items()]
    sampler = Scripted({p.prompt_ids: p.answer for p in problems})
    train = settings(mismatch_gate=None, learning_rate=3e-3)
    model = tiny_model(vocab_size=len(tokenizer))
    trainer = make_trainer(
        ARMS["asymgrpo"], train, model, sampler, make_grader(tokenizer, workers=1), problems=problems, run_seed=0
    )
    row, _, rewards = trainer.step(1, Stopwatch())
    assert rewards.tolist() == [[1, 0, 0, 0]] * 4
    assert row["groups_by_correct"] == [0, 4, 0, 0, 0]
    assert (row["truncated_share"], row["unparsed_share"]) == (0.25, 0.25)
    assert row["logp_change_correct"] > row["logp_change_wrong"]
    assert row["logp_change_correct"] > 0
