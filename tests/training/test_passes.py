"""Work that cannot change the result is left out and nothing else: rows without a gradient, scores that come with an update."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_metrics import assert_same
from test_trainer import Skewed

from asymgrpo.method.arms import ARMS, get_arm
from asymgrpo.method.objective import loss_terms, needs_every_row, needs_scores_first
from asymgrpo.method.reduce import counts, reduce
from asymgrpo.training import trainer as trainer_module
from asymgrpo.training.passes import Passes, plan
from asymgrpo.training.policy import Policy
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.training.trainer import MismatchError
from asymgrpo.verifier import Verdict
from tests.helpers.tiny_trainer import distance, even_wins, join, make_trainer, settings, steps, weights

AS_GRADIENTS = {"learning_rate": 1.0, "adam_eps": 1.0, "max_grad_norm": 1e3, "updates_per_rollout": 2}
"""With learning rate 1 and an epsilon of 1, Adam's first step is g / (|g| + 1): weights move as gradients do."""
EVERY_TERM = ARMS | {"kl": ARMS["grpo"].but(kl_coef=0.1)}


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


class Ranks:
    """Ranks as threads of this process, which meet to exchange values."""

    def __init__(self, n: int):
        self.n, self.barrier, self.values = n, threading.Barrier(n), [None] * n

    def gather(self, rank: int, value):
        self.values[rank] = value
        self.barrier.wait()
        everything = list(self.values)
        self.barrier.wait()
        return everything

    def plans(self, widths, learns, train, score_others: bool) -> list[Passes]:
        def of(rank: int) -> Passes:
            return plan(widths[rank], learns[rank], train, lambda value: self.gather(rank, value), score_others)

        with ThreadPoolExecutor(self.n) as pool:
            return list(pool.map(of, range(self.n)))


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.sampled_from([{"micro_batch": 2}, {"micro_batch": 5}, {"micro_batch_tokens": 40}]),
    st.booleans(),
    st.integers(0, 999),
)
def test_ranks_pass_every_row_that_they_must_and_as_often(n, updates, per_update, share, size, score_others, seed):
    g = torch.Generator().manual_seed(seed)
    sizes = {"updates_per_rollout": updates, "micro_batch_tokens": None, "micro_batch": 1} | size
    train = settings().model_copy(update=sizes)
    rows = updates * per_update
    widths = [torch.randint(1, 30, (rows,), generator=g) for _ in range(n)]
    learns = [torch.rand(rows, generator=g) < share for _ in range(n)]
    found = Ranks(n).plans(widths, learns, train, score_others)
    for kind in ("every", "first"):
        assert len({len(getattr(one, kind)) for one in found}) == 1
    assert len({tuple(map(len, one.updates)) for one in found}) == 1
    for one, mine, width in zip(found, learns, widths, strict=True):
        assert sorted(torch.cat(one.every).tolist()) == list(range(rows))
        for number, (parts, of_update) in enumerate(
            zip(one.updates, torch.arange(rows).split(per_update), strict=True)
        ):
            passed = torch.cat(parts).tolist()
            assert len(passed) == len(set(passed))
            assert set(of_update[mine[of_update]].tolist()) <= set(passed) <= set(of_update.tolist())
            if n == 1:
                assert len(passed) == max(1, int(mine[of_update].sum())), "no row that need not be there"
            if number == 0:
                scored = set(torch.cat(one.first).tolist()) if one.first else set()
                seen = set(parts[0].tolist() if score_others else passed)
                assert scored | seen == set(range(rows))
                assert n > 1 or not scored & seen
        for part in [*one.every, *one.first, *(p for parts in one.updates for p in parts)]:
            fits = (
                len(part) <= sizes["micro_batch"]
                if sizes["micro_batch_tokens"] is None
                else len(part) * width[part].max() <= 40
            )
            assert fits or len(part) == 1


@pytest.mark.parametrize("reduction", ["token", "sequence", "constant"])
@pytest.mark.parametrize("name", [name for name in ARMS if not needs_every_row(ARMS[name])])
def test_in_float64_rows_without_advantage_have_no_part_in_the_gradient(name, reduction):
    """Loss and gradient of all rows against those of the rest, at ratios that are clipped and some that are not."""
    g = torch.Generator().manual_seed(0)
    arm = ARMS[name].but(reduction=reduction)
    rewards = (torch.arange(8) < torch.tensor([[0], [1], [5], [8]])).double()
    advantages = arm.advantage_fn(rewards, [1, 2, 3, 4]).reshape(-1, 1)
    n = rewards.numel()
    mask = torch.arange(7) < torch.randint(1, 8, (n, 1), generator=g)
    logp_old = -torch.rand(n, 7, generator=g, dtype=torch.float64)
    start = logp_old + 0.4 * torch.randn(n, 7, generator=g, dtype=torch.float64)
    n_tokens, n_sequences = counts(mask)

    def gradient(rows: torch.Tensor) -> torch.Tensor:
        logp = start.clone().requires_grad_()
        cut = (grid[rows] for grid in (logp, logp_old, advantages.expand(n, 7), torch.zeros(n, 7)))
        per_token, _ = loss_terms(arm, *cut, entropy_coef=0.0, mask=mask[rows])
        loss = reduce(per_token, mask[rows], reduction, n_tokens=n_tokens, n_sequences=n_sequences, max_tokens=9)
        return torch.cat([torch.autograd.grad(loss, logp)[0].flatten(), loss.detach()[None]])

    some = (advantages.flatten() != 0).nonzero()[:, 0]
    assert gradient(some).norm() > 1e-3
    torch.testing.assert_close(gradient(some), gradient(torch.arange(n)), rtol=1e-12, atol=1e-12)


def some_groups_are_alike(rollouts, references) -> list[Verdict]:
    """Of four groups of four: one all wrong, one all correct, two mixed."""
    verdicts = even_wins(rollouts, references)
    for i in range(len(verdicts)):
        group = i // 4 % 4
        verdicts[i] = (Verdict.wrong, verdicts[i], Verdict.correct, verdicts[i])[group]
        if group in (1, 3) and i % 4 < 2:
            verdicts[i] = Verdict.correct if i % 2 else Verdict.wrong
    return verdicts


def a_step(arm, monkeypatch, every: bool | None, n_steps: int = 1, **changes) -> tuple[list[dict], dict, list[int]]:
    """Rows of metrics, weights after, and rows forwarded with gradient; `every`: in place of what the arm says it needs."""
    with monkeypatch.context() as patch:
        if every is not None:
            patch.setattr(trainer_module, "needs_every_row", lambda arm: every)
        reference = Policy(make_model(), 1.0, None).requires_grad_(False) if arm.kl_coef else None
        train = settings(**AS_GRADIENTS | changes)
        trainer = make_trainer(arm, train, grade=some_groups_are_alike, reference=reference)
        forwarded, forward = [], trainer.engine.forward
        trainer.engine.forward = lambda batch: forwarded.append(len(batch)) or forward(batch)
        rows = steps(trainer, 1, n_steps)
    return rows, weights(trainer.engine), forwarded


def make_model():
    from tests.helpers.tiny_trainer import tiny_model

    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight.mul_(0.5)
    return model


@pytest.mark.parametrize("micro_batch", [2, 8])
@pytest.mark.parametrize("name", EVERY_TERM)
def test_every_arm_learns_as_if_nothing_were_left_out(name, micro_batch, monkeypatch):
    """The same gradients, and the same metrics but for rounding."""
    arm = EVERY_TERM[name]
    (row,), found, _ = a_step(arm, monkeypatch, None, micro_batch=micro_batch)
    (whole_row,), whole, _ = a_step(arm, monkeypatch, True, micro_batch=8)
    assert distance(found, whole) < 1e-6
    assert_same(row, whole_row, tolerance=1e-4)


ADDED_TERMS = {
    "an entropy bonus": get_arm("grpo", {"entropy_coef": 0.01}),
    "a steered entropy bonus": get_arm(
        "grpo_adaptive_entropy",
        {"entropy_coef": 0.01, "adaptive_entropy": {"target": 9.0, "delta": 0.005, "low": 0.0, "high": 1.0}},
    ),
    "a KL penalty": EVERY_TERM["kl"],
    "the penalty of KL-Cov": get_arm("kl_cov", {"covariance": {"kind": "kl_cov", "fraction": 0.9, "coef": 1.0}}),
}


@pytest.mark.parametrize("term", ADDED_TERMS)
def test_an_arm_with_a_term_that_needs_no_advantage_leaves_nothing_out(term, monkeypatch):
    arm = ADDED_TERMS[term]
    assert needs_every_row(arm)
    _, found, forwarded = a_step(arm, monkeypatch, None)
    assert sum(forwarded) == 16
    assert distance(found, a_step(arm, monkeypatch, False)[1]) > 1e-5, "leaving rows out would be noticed"


def test_rows_without_a_gradient_are_not_forwarded_for_one(monkeypatch):
    assert sum(a_step(ARMS["grpo"], monkeypatch, None)[2]) == 8
    assert sum(a_step(ARMS["reinforce"], monkeypatch, None)[2]) == 16
    assert sum(a_step(ARMS["grpo"], monkeypatch, True)[2]) == 16


@pytest.mark.parametrize("changes", [{}, {"zero_stage": 2}, {"micro_batch": 1}])
def test_an_update_without_any_gradient_is_one_of_zeros(monkeypatch, changes):
    """Adam's momentum moves the weights all the same, and the update counts."""

    def none_correct_in_the_second(rollouts, references):
        calls.append(1)
        return some_groups_are_alike(rollouts, references) if len(calls) == 1 else [Verdict.wrong] * len(rollouts)

    def two_steps(every: bool):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(trainer_module, "needs_every_row", lambda arm: every)
            trainer = make_trainer(train=settings(**changes), grade=none_correct_in_the_second)
            steps(trainer, 1, 1)
            between = weights(trainer.engine)
            (row,) = steps(trainer, 2, 2)
        assert trainer.engine.updates == 4
        assert row["grad_norm"] == row["loss"] == 0
        assert row["zero_advantage_share"] == 1
        return between, weights(trainer.engine)

    calls = []
    (between, found), (_, whole) = two_steps(False), two_steps(True)
    assert distance(found, between) > 1e-4
    assert distance(found, whole) < 1e-5


@pytest.mark.parametrize(
    ("name", "updates", "scored"), [("reinforce", 1, 0), ("reinforce", 4, 12), ("clip_cov", 1, 12), ("clip_cov", 4, 12)]
)
def test_what_the_first_update_forwards_is_not_scored_before(name, updates, scored):
    """Where one loss needs the scores of all, that holds for its first micro-batch: one of four, or the whole update."""
    trainer = make_trainer(ARMS[name], settings(updates_per_rollout=updates, displacement_every=2))
    seen, score = [], trainer.engine.score
    trainer.engine.score = lambda batch: seen.append(len(batch)) or score(batch)
    assert needs_scores_first(ARMS[name]) == (name == "clip_cov")
    steps(trainer, 1, 1)
    assert sum(seen) == scored


@pytest.mark.parametrize("zero_stage", [0, 2])
def test_what_an_abandoned_update_added_up_reaches_no_other(zero_stage):
    """The gate decides when the micro-batches but the last have left their gradients in the engine."""
    train = settings(mismatch_gate=1.05, micro_batch=2, zero_stage=zero_stage)
    trainer = make_trainer(ARMS["reinforce"], train, sampler=Skewed(0.5))
    before, backward, added = weights(trainer.engine), trainer.engine.backward, []
    trainer.engine.backward = lambda *given: added.append(given) or backward(*given)
    with pytest.raises(MismatchError):
        trainer.step(1, Stopwatch())
    assert len(added) == 3, "of four micro-batches"
    assert all(parameter.grad is None for parameter in trainer.engine._policy.parameters())
    with pytest.raises(RuntimeError, match="abandoned halfway"):
        trainer.step(2, Stopwatch())
    assert distance(weights(trainer.engine), before) == 0
    assert trainer.engine.updates == 0
