"""Every column of the schema against a slow and obvious computation of what its description says."""

import math
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.training.batch import pack
from asymgrpo.training.metrics import DESCRIPTIONS, SCHEMA, StepRecord, UpdateTotals, concatenate, step_row
from asymgrpo.training.policy import Policy
from asymgrpo.training.stopwatch import Stopwatch
from tests.helpers.runs import ROOT
from tests.helpers.tiny_trainer import even_wins_in_time, join, make_trainer, settings, tiny_model

VERDICTS = ("correct", "wrong", "unparsed", "timeout", "truncated")
NULL_WITHOUT_CORRECT = {"entropy_correct", "logp_change_correct"}
NULL_WITHOUT_WRONG = {"entropy_wrong", "logp_change_wrong"}
OF_THE_UPDATES = ("loss", "grad_norm", "update_norm", "clip_share_low", "clip_share_high")
NULL_UNLESS_MEASURED = {"logp_change_correct", "logp_change_wrong"}


def random_record(prompts: int, group: int, seed: int, solved: float, measured: bool = True) -> StepRecord:
    """A record whose every number is arbitrary; `solved` is the chance of a correct rollout."""
    rng = np.random.default_rng(seed)
    grid = (prompts, group)
    correct = rng.random(grid) < solved
    n_tokens = rng.integers(1, 6, grid)
    n = int(n_tokens.sum())
    logp = -rng.exponential(1, n)
    return StepRecord(
        rewards=correct.astype(float),
        advantages=rng.normal(size=grid) * rng.integers(0, 2, (prompts, 1)),
        verdicts=np.where(correct, "correct", rng.choice(VERDICTS[1:], grid)),
        n_tokens=n_tokens,
        token_entropy=rng.random(n),
        token_logp=logp,
        token_logp_sampler=logp + rng.normal(size=n) * 0.1,
        logp_change=rng.normal(size=grid) if measured else None,
    )


records = st.builds(
    random_record,
    st.integers(1, 5),
    st.integers(2, 5),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.booleans(),
)


def totals() -> UpdateTotals:
    """Two updates, of 10 and of 30 tokens."""
    sums = UpdateTotals()
    sums.add(loss=1.0, clipped_low=1, clipped_high=2, tokens=10, grad_norm=4.0)
    sums.add(loss=3.0, clipped_low=3, clipped_high=6, tokens=30, grad_norm=5.0)
    sums.update_norm = 0.25
    return sums


def row_of(record: StepRecord) -> dict:
    return step_row(7, 14, record, totals(), 0.01, 1000)


def mean(values) -> float | None:
    values = list(values)
    return math.fsum(values) / len(values) if values else None


def slow_row(record: StepRecord) -> dict:
    """The same row, one rollout and one token at a time."""
    prompts, group = record.rewards.shape
    position, rollouts = 0, []
    for p in range(prompts):
        for g in range(group):
            tokens = range(position, position := position + int(record.n_tokens[p, g]))
            rollouts.append(
                {
                    "prompt": p,
                    "correct": record.rewards[p, g] > 0,
                    "advantage": record.advantages[p, g],
                    "verdict": record.verdicts[p, g],
                    "entropy": [record.token_entropy[t] for t in tokens],
                    "logp": math.fsum(record.token_logp[t] for t in tokens),
                    "log_ratio": [record.token_logp[t] - record.token_logp_sampler[t] for t in tokens],
                    "change": None if record.logp_change is None else record.logp_change[p, g],
                }
            )
    groups = [[r for r in rollouts if r["prompt"] == p] for p in range(prompts)]
    solved = [sum(r["correct"] for r in members) for members in groups]

    def covariance(members) -> float:
        logp, advantage = (mean(r[key] for r in members) for key in ("logp", "advantage"))
        return mean((r["logp"] - logp) * (r["advantage"] - advantage) for r in members)

    def entropy(kinds) -> float | None:
        return mean(h for r in rollouts if r["correct"] in kinds for h in r["entropy"])

    def change(kind) -> float | None:
        picked = [r for r in rollouts if r["correct"] == kind]
        if record.logp_change is None or not picked:
            return None
        return math.fsum(r["change"] for r in picked) / sum(len(r["entropy"]) for r in picked)

    sizes = [abs(r["advantage"]) for r in rollouts]
    on_hard = [size for r, size in zip(rollouts, sizes, strict=True) if 2 * solved[r["prompt"]] < group]
    gaps = sorted(abs(x) for r in rollouts for x in r["log_ratio"])
    below = 0.999 * (len(gaps) - 1)
    above = gaps[min(int(below) + 1, len(gaps) - 1)]
    return {
        "step": 7,
        "updates": 14,
        "entropy_coef": 0.01,
        "loss": 2.0,
        "grad_norm": 4.5,
        "update_norm": 0.25,
        "clip_share_low": 0.1,
        "clip_share_high": 0.2,
        "reward_mean": mean(float(r["correct"]) for r in rollouts),
        "groups_by_correct": [solved.count(c) for c in range(group + 1)],
        "none_solved_share": solved.count(0) / prompts,
        "all_solved_share": solved.count(group) / prompts,
        "zero_advantage_share": mean(float(all(r["advantage"] == 0 for r in members)) for members in groups),
        "advantage_size": mean(sizes),
        "net_mass": mean(r["advantage"] for r in rollouts),
        "hard_weight": math.fsum(on_hard) / math.fsum(sizes) if any(sizes) else None,
        "cov_by_correct": [
            mean(covariance(members) for members, n in zip(groups, solved, strict=True) if n == c)
            for c in range(group + 1)
        ],
        "entropy": entropy((True, False)),
        "entropy_correct": entropy((True,)),
        "entropy_wrong": entropy((False,)),
        "response_tokens_mean": mean(len(r["entropy"]) for r in rollouts),
        "sampled_tokens": sum(len(r["entropy"]) for r in rollouts),
        "sampled_tokens_total": 1000 + sum(len(r["entropy"]) for r in rollouts),
        "discarded_share": 0.0,
        "response_tokens_max": max(len(r["entropy"]) for r in rollouts),
        **{f"{v}_share": mean(float(r["verdict"] == v) for r in rollouts) for v in VERDICTS[2:]},
        "gap_mean": mean(gaps),
        "gap_p999": gaps[int(below)] + (below - int(below)) * (above - gaps[int(below)]),
        "gap_max": gaps[-1],
        "token_mult_prob_error": mean(math.exp(gap) for gap in gaps),
        "kl_k1": mean(-x for r in rollouts for x in r["log_ratio"]),
        "kl_k3": mean(math.exp(x) - 1 - x for r in rollouts for x in r["log_ratio"]),
        "logp_change_correct": change(True),
        "logp_change_wrong": change(False),
    }


def assert_same(row: dict, expected: dict, tolerance: float = 1e-9) -> None:
    assert row.keys() == expected.keys()
    for name in row:
        pairs = (
            zip(row[name], expected[name], strict=True)
            if isinstance(row[name], list)
            else [(row[name], expected[name])]
        )
        for ours, theirs in pairs:
            assert (ours is None) == (theirs is None), name
            assert ours is None or ours == pytest.approx(theirs, rel=tolerance, abs=tolerance), name


@given(records)
def test_every_column_is_what_its_description_says(record):
    assert_same(row_of(record), slow_row(record))


@given(records)
def test_rows_fill_the_schema_and_are_null_only_where_documented(record):
    row = row_of(record)
    assert set(row) == set(SCHEMA.names) == set(DESCRIPTIONS)
    assert pa.Table.from_pylist([row], SCHEMA).to_pylist() == [row]
    expected = set(NULL_UNLESS_MEASURED) if record.logp_change is None else set()
    expected |= {"hard_weight"} if not record.advantages.any() else set()
    expected |= NULL_WITHOUT_CORRECT if record.rewards.sum() == 0 else set()
    expected |= NULL_WITHOUT_WRONG if (record.rewards > 0).all() else set()
    assert {name for name, value in row.items() if value is None} == expected
    covariances = zip(row["groups_by_correct"], row["cov_by_correct"], strict=True)
    assert all((count == 0) == (covariance is None) for count, covariance in covariances)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4), st.integers(0, 2**32), st.booleans())
def test_two_ranks_give_the_row_of_one(first, second, group, seed, measured):
    """Ranks hold different numbers of tokens: a mean of their means would be another number."""
    parts = [random_record(n, group, seed + i, 0.5, measured) for i, n in enumerate((first, second))]
    joined = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(StepRecord)
        if f.name != "sampled" and (measured or f.name != "logp_change")
    }
    assert row_of(concatenate(parts)) == row_of(StepRecord(**joined))
    assert row_of(concatenate(parts[:1])) == row_of(parts[0])


def test_the_wrong_order_of_tokens_would_be_noticed():
    """Entropy by correctness and the covariance depend on which token belongs to which rollout."""
    record = random_record(3, 4, 0, 0.5)
    shuffled = replace(record, token_entropy=record.token_entropy[::-1], token_logp=record.token_logp[::-1])
    names = ("entropy_correct", "entropy_wrong", "cov_by_correct")
    assert all(row_of(record)[name] != row_of(shuffled)[name] for name in names)


@pytest.mark.parametrize("micro_batch", [1, 4, 8])
def test_a_step_reports_its_rollouts_in_their_order(micro_batch):
    """The trainer sorts sequences by length into micro-batches; its metrics know each token's rollout all the same."""
    join()
    train = settings(micro_batch=micro_batch, temperature=0.8)
    trainer = make_trainer(train=train, grade=even_wins_in_time)
    row, groups, rewards = trainer.step(1, Stopwatch())
    flat = [r for group in groups for r in group]
    assert len({len(r.response_ids) for r in flat}) > 3
    verdicts = [v.value for v in even_wins_in_time(flat, ["0"] * len(flat))]
    before, after = Policy(tiny_model(), 0.8, None), trainer.engine.score
    logp, entropy, change = [], [], []
    with torch.no_grad():
        for r in flat:
            alone = pack([r]).rows(torch.tensor([0]))
            (one_logp,), (one_entropy,) = before(alone)
            logp.append(one_logp.double().numpy())
            entropy.append(one_entropy.double().numpy())
            change.append(float((after(alone)[0][0] - one_logp).double().sum()))
    record = StepRecord(
        rewards=rewards,
        advantages=trainer.arm.estimate(torch.from_numpy(rewards)).numpy(),
        verdicts=np.array(verdicts).reshape(rewards.shape),
        n_tokens=np.array([len(r.response_ids) for r in flat]).reshape(rewards.shape),
        token_entropy=np.concatenate(entropy),
        token_logp=np.concatenate(logp),
        token_logp_sampler=np.concatenate([r.logprobs for r in flat]),
        logp_change=np.array(change).reshape(rewards.shape),
    )
    of_the_updates = {name: row[name] for name in OF_THE_UPDATES}
    expected = slow_row(record) | of_the_updates | {"step": 1, "updates": 2, "entropy_coef": 0.0}
    expected["sampled_tokens_total"] = row["sampled_tokens"]  # nothing was sampled before
    assert_same({name: row[name] for name in expected}, expected, tolerance=2e-5)


@pytest.mark.parametrize(("every", "expected"), [(1, [True, True, True]), (2, [False, True, False])])
def test_displacement_is_measured_as_often_as_asked(every, expected):
    join()
    trainer = make_trainer(train=settings(displacement_every=every))
    rows = [trainer.step(step, Stopwatch())[0] for step in (1, 2, 3)]
    assert [row["logp_change_wrong"] is not None for row in rows] == expected


def test_clip_shares_count_training_tokens_beyond_the_bounds(monkeypatch):
    """Against the ratios themselves, in the update where they are not 1; masked rollouts are not counted."""
    from asymgrpo.training import trainer as module

    join()
    counted = np.zeros(3)

    def spy(per_token, mask, mode, **more):
        old, new, advantages = seen.pop()
        r, trains = (new - old).exp(), mask.bool()
        counted[:] += [
            int((trains & (advantages < 0) & (r < 0.8)).sum()),
            int((trains & (advantages > 0) & (r > 1.2)).sum()),
            int(trains.sum()),
        ]
        return reduce(per_token, mask, mode, **more)

    def note(arm, logp, logp_old, advantages, *rest, **more):
        seen.append((logp_old, logp.detach(), advantages))
        return terms(arm, logp, logp_old, advantages, *rest, **more)

    seen, reduce, terms = [], module.reduce, module.loss_terms
    monkeypatch.setattr(module, "reduce", spy)
    monkeypatch.setattr(module, "loss_terms", note)
    train = settings(learning_rate=2e-2, group_size=8, truncated="mask")
    row, *_ = make_trainer(train=train, grade=even_wins_in_time).step(1, Stopwatch())
    assert min(counted) > 0
    assert row["truncated_share"] > 0
    assert [row["clip_share_low"], row["clip_share_high"]] == pytest.approx(list(counted[:2] / counted[2]))


def test_the_document_is_current():
    printed = subprocess.run(
        [sys.executable, "-m", "asymgrpo.training.metrics"], cwd=ROOT, capture_output=True, text=True
    )
    assert printed.returncode == 0, printed.stderr
    document = (ROOT / "docs/metrics.md").read_text()
    assert document == printed.stdout, "run: python -m asymgrpo.training.metrics > docs/metrics.md"
    assert all(f"| `{name}` |" in document for name in SCHEMA.names)
