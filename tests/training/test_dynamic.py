"""Dynamic sampling: what is replaced, by what, what it costs, and that neither ranks nor interruptions change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asymgrpo.method.arms import ARMS, GRPO
from asymgrpo.rollout import Rollout
from asymgrpo.training.dynamic import Drawn, Problem, extra_index, refill
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.training.trainer import Trainer
from asymgrpo.verifier import Verdict
from tests.helpers.tiny_trainer import (
    PROBLEMS,
    distance,
    even_wins_in_time,
    join,
    make_trainer,
    settings,
    steps,
    weights,
)

ARM = GRPO.but(dynamic_sampling=3)


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


def hopeless_or_not(rollouts, golds) -> list[Verdict]:
    """Prompts of one token are always wrong, those of two always right; the others have both."""
    fixed = {1: Verdict.wrong, 2: Verdict.correct}
    verdicts = even_wins_in_time(rollouts, golds)
    return [fixed.get(len(r.prompt_ids), v) for r, v in zip(rollouts, verdicts, strict=True)]


def group(tokens: int, size: int = 2) -> list[Rollout]:
    return [Rollout((1,), (3,) * tokens, (-1.0,) * tokens, "stop", i) for i in range(size)]


def test_only_groups_without_a_signal_are_replaced_and_everything_is_counted():
    rewards = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    problems = [Problem(f"p{i}", (1,), "") for i in range(3)]
    drawn = Drawn(list(problems), [group(1), group(1), group(1)], np.array([["a", "a"]] * 3), rewards.clone())
    drawn.count(drawn.groups)
    asked = []

    def sample(of):
        asked.append([p.extra for p in of])
        fresh = torch.tensor([[1.0, 0.0] if p.extra == (2, 0) else [0.0, 0.0] for p in of])
        return [group(5) for _ in of], np.array([["b", "b"] for _ in of]), fresh

    refill(drawn, 3, lambda attempt, place: Problem("new", (1,), "", extra=(attempt, place)), sample)
    assert asked == [[(1, 0), (1, 2)], [(2, 0), (2, 2)], [(3, 2)]]
    assert drawn.rewards.tolist() == [[1, 0], [1, 0], [0, 0]], "the last draw stays, whatever it is"
    assert [p.problem_id for p in drawn.problems] == ["new", "p1", "new"]
    assert drawn.verdicts.tolist() == [["b", "b"], ["a", "a"], ["b", "b"]]
    assert (drawn.sampled_groups, drawn.sampled_tokens) == (3 + 5, 3 * 2 + 5 * 10)


def test_a_step_has_more_signal_and_says_what_it_cost():
    rows = {}
    for arm in (GRPO, ARM):
        trainer = make_trainer(arm, settings(prompts_per_step=8, micro_batch=16), grade=hopeless_or_not)
        rows[arm], groups, rewards = trainer.step(1, Stopwatch())
        assert rewards.shape == (8, 4)
        assert rows[arm]["response_tokens_mean"] * 32 == sum(len(r.response_ids) for g in groups for r in g)
    plain, dynamic = rows[GRPO], rows[ARM]
    assert plain["sampled_tokens"] == round(plain["response_tokens_mean"] * 32)
    assert plain["discarded_share"] == 0
    assert dynamic["zero_advantage_share"] < plain["zero_advantage_share"]
    assert dynamic["discarded_share"] > 0
    assert dynamic["sampled_tokens"] > plain["sampled_tokens"]


def test_the_step_starts_from_the_draws_of_the_other_arms():
    """Groups that have a signal stay: arms of one seed differ in what they replace only."""
    first = {
        arm: make_trainer(arm, settings(prompts_per_step=8, micro_batch=16), grade=hopeless_or_not).step(1, Stopwatch())
        for arm in (GRPO, ARM)
    }
    (_, kept, rewards), (_, groups, _) = first[GRPO], first[ARM]
    for place, (before, after) in enumerate(zip(kept, groups, strict=True)):
        assert (before == after) == (0 < rewards[place].mean() < 1), place


class Share:
    """What `Trainer.extra` asks of a rank."""

    def __init__(self, rank: int, world: int):
        self.train, self.run_seed, self.problems = settings(prompts_per_step=8), 5, PROBLEMS
        self.engine = type("Engine", (), {"rank": rank, "world_size": world})


@pytest.mark.parametrize("world", [2, 4])
def test_an_extra_draw_depends_on_its_place_in_the_step_alone(world):
    alone = [Trainer.extra(Share(0, 1), 3, 2, place) for place in range(8)]
    places = np.arange(8).reshape(2, world, -1)
    for rank in range(world):
        mine = places[:, rank].ravel()
        assert [Trainer.extra(Share(rank, world), 3, 2, i) for i in range(len(mine))] == [alone[p] for p in mine]
    assert len({p.problem_id for p in alone}) > 2
    assert [p.extra for p in alone] == [(2, place) for place in range(8)]
    drawn = {
        tuple(extra_index(seed, step, attempt, place, 10**6) for place in range(8))
        for seed, step, attempt in ((5, 3, 2), (5, 3, 1), (5, 4, 2), (6, 3, 2))
    }
    assert len(drawn) == 4


def test_a_second_run_from_a_saved_state_continues_to_the_bit(tmp_path):
    train = settings(prompts_per_step=8, micro_batch=16)
    whole = make_trainer(ARM, train, grade=hopeless_or_not)
    rows = steps(whole, 1, 4)
    first = make_trainer(ARM, train, grade=hopeless_or_not)
    steps(first, 1, 2)
    first.engine.save_state(tmp_path)
    resumed = make_trainer(ARM, train, grade=hopeless_or_not)
    resumed.engine.load_state(tmp_path)
    resumed.sampled_tokens = rows[1]["sampled_tokens_total"]  # a run keeps it with its history
    resumed.sampler.update_weights(resumed.engine.weights())
    assert steps(resumed, 3, 4) == rows[2:]
    assert distance(weights(resumed.engine), weights(whole.engine)) == 0


def test_dapo_punishes_and_filters_long_responses():
    """A cut response does not train; among the others the punishment falls on those that end within the buffer."""
    trainer = make_trainer(ARMS["dapo"], settings(), grade=even_wins_in_time)
    limit = trainer.train.max_tokens
    lengths = [limit, limit - 1, 1, 2]
    rollouts = [Rollout((3,), (4,) * n, (-1.0,) * n, "length" if n == limit else "stop", 0) for n in lengths]
    shaped = trainer.shaped(torch.ones(1, 4, dtype=torch.float64), [rollouts])[0]
    buffer = 0.2 * limit
    assert shaped.tolist() == pytest.approx([0.0, 1 - max(0.0, (limit - 1 - (limit - buffer)) / buffer), 1.0, 1.0])
    verdicts = np.array([["truncated", "correct", "correct", "correct"]])
    from asymgrpo.training.batch import pack

    trains = trainer.trains(pack(rollouts), verdicts)
    assert trains.any(dim=1).tolist() == [False, True, True, True]
