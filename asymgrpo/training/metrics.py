"""The fixed schema of a training run's diagnostics, one row per step, and the functions that fill it.

Only deterministic quantities live here; seconds go to timings.parquet. Units: log-probabilities and entropies in nats at the
sampling temperature; shares are fractions; lengths are tokens. `python -m asymgrpo.training.metrics` writes docs/metrics.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from asymgrpo.method.diagnostics import hard_weight, mean_size, net_mass
from asymgrpo.training.stopwatch import PHASES

if TYPE_CHECKING:
    from torch import Tensor

    from asymgrpo.training.batch import Batch
    from asymgrpo.training.scoring import Scores

SCHEMA_VERSION = 1

DESCRIPTIONS: dict[str, tuple[pa.DataType, str]] = {
    "step": (pa.int32(), "rollout batch, counted from 1"),
    "updates": (pa.int32(), "optimizer updates so far"),
    "reward_mean": (pa.float64(), "mean verifier reward over rollouts (also under a control reward)"),
    "entropy": (pa.float64(), "mean over response tokens of the full-vocabulary entropy, before the updates"),
    "entropy_correct": (pa.float64(), "the same over tokens of correct rollouts; null if there are none"),
    "entropy_wrong": (pa.float64(), "the same over tokens of wrong rollouts; null if there are none"),
    "groups_by_correct": (pa.list_(pa.int32()), "number of prompts with 0, 1, ..., G correct rollouts"),
    "none_solved_share": (pa.float64(), "share of prompts with no correct rollout"),
    "all_solved_share": (pa.float64(), "share of prompts with only correct rollouts"),
    "zero_advantage_share": (pa.float64(), "share of prompts all of whose advantages are 0"),
    "advantage_size": (pa.float64(), "mean over rollouts of |A|"),
    "net_mass": (pa.float64(), "mean over rollouts of A: m_S - m_F, 0 where every group sums to 0"),
    "hard_weight": (
        pa.float64(),
        "share of sum |A| on prompts with less than half of the rollouts correct; null if all advantages are 0",
    ),
    "cov_by_correct": (
        pa.list_(pa.float64()),
        "Cov over a group's rollouts (population) of sequence log-probability and advantage, mean by number correct; "
        "null where no group has that number",
    ),
    "logp_change_correct": (
        pa.float64(),
        "change of log-probability per token of correct rollouts across the step's updates; "
        "null unless measured, or if there are none",
    ),
    "logp_change_wrong": (pa.float64(), "the same of wrong rollouts"),
    "clip_share_low": (pa.float64(), "share of tokens whose ratio was clipped below (A < 0)"),
    "clip_share_high": (pa.float64(), "share of tokens whose ratio was clipped above (A > 0)"),
    "loss": (pa.float64(), "mean over updates of the reduced loss"),
    "grad_norm": (pa.float64(), "mean over updates of the global L2 norm before clipping"),
    "update_norm": (
        pa.float64(),
        "L2 norm by which the step's last update moves the weights: learning rate x sqrt(sum (m / (sqrt(v) + eps))^2), m and v "
        "Adam's moments after bias correction, weight decay left out; null unless measured",
    ),
    "entropy_coef": (pa.float64(), "entropy coefficient in force (moves only in adaptive arms)"),
    "response_tokens_mean": (pa.float64(), "mean response length"),
    "response_tokens_max": (pa.int32(), "longest response"),
    "sampled_tokens": (
        pa.int64(),
        "response tokens sampled in the step, those of groups that were thrown away included",
    ),
    "sampled_tokens_total": (pa.int64(), "the same from the first step on: what train.token_budget bounds"),
    "discarded_share": (pa.float64(), "share of sampled groups that dynamic sampling threw away; 0 in other arms"),
    "truncated_share": (pa.float64(), "share of responses cut at max_tokens"),
    "unparsed_share": (pa.float64(), "share of responses in which the verifier found no answer"),
    "timeout_share": (pa.float64(), "share of responses on which the verifier gave up"),
    "gap_mean": (pa.float64(), "mean over tokens of |log pi_trainer - log pi_sampler|"),
    "gap_p999": (pa.float64(), "99.9 % quantile of the same"),
    "gap_max": (pa.float64(), "largest of the same"),
    "token_mult_prob_error": (
        pa.float64(),
        "mean over tokens of exp|log pi_trainer - log pi_sampler|; 1 is perfect",
    ),
    "kl_k1": (pa.float64(), "mean of log pi_sampler - log pi_trainer: k1 estimate of KL(sampler || trainer)"),
    "kl_k3": (pa.float64(), "k3 estimate of the same: mean of r - 1 - log r, r = pi_trainer / pi_sampler"),
}

SCHEMA = pa.schema([pa.field(name, kind) for name, (kind, _) in DESCRIPTIONS.items()])


@dataclass
class StepRecord:
    """What one rank saw in a step: rollout grids are [prompts, group]; token arrays are flat, in rollout order."""

    rewards: np.ndarray
    advantages: np.ndarray
    verdicts: np.ndarray
    n_tokens: np.ndarray
    token_entropy: np.ndarray
    token_logp: np.ndarray
    token_logp_sampler: np.ndarray
    logp_change: np.ndarray | None = None
    """[prompts, group] change of the sequence log-probability across the updates, when measured."""
    sampled: np.ndarray | None = None
    """[1, 2]: response tokens and groups that were sampled, thrown away ones included; None: those of the record."""


def record_of(
    batch: Batch,
    scores: Scores,
    rewards: Tensor,
    advantages: Tensor,
    verdicts: np.ndarray,
    change: np.ndarray | None,
) -> StepRecord:
    """The record of one rank's step: batch grids are [B, R], rollout grids [prompts, group]."""
    where = batch.mask.bool()
    return StepRecord(
        rewards=rewards.numpy(),
        advantages=advantages.numpy(),
        verdicts=verdicts,
        n_tokens=batch.mask.sum(dim=1).long().reshape(rewards.shape).numpy(),
        token_entropy=scores.entropy[where].double().numpy(),
        token_logp=scores.logp[where].double().numpy(),
        token_logp_sampler=batch.logp_sampler[where].double().numpy(),
        logp_change=change,
    )


@dataclass
class UpdateTotals:
    """Sums over the updates of one step, already over all ranks."""

    loss: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    clipped_low: float = 0.0
    clipped_high: float = 0.0
    tokens: float = 0.0
    update_norm: float | None = None
    """Of the last update, when measured."""

    def add(self, loss: float, clipped_low: float, clipped_high: float, tokens: float, grad_norm: float) -> None:
        """Add one update."""
        self.loss.append(loss)
        self.grad_norm.append(grad_norm)
        self.clipped_low += clipped_low
        self.clipped_high += clipped_high
        self.tokens += tokens


def concatenate(records: list[StepRecord]) -> StepRecord:
    """One record of all ranks' prompts, in rank order."""
    names = [name for name in StepRecord.__dataclass_fields__ if getattr(records[0], name) is not None]
    return StepRecord(**{name: np.concatenate([getattr(r, name) for r in records]) for name in names})


def step_row(
    step: int, updates: int, record: StepRecord, totals: UpdateTotals, entropy_coef: float, sampled_before: int
) -> dict:
    """One row of SCHEMA; `sampled_before`: tokens that the steps before it sampled."""
    return {
        "step": step,
        "updates": updates,
        "entropy_coef": entropy_coef,
        "loss": float(np.mean(totals.loss)),
        "grad_norm": float(np.mean(totals.grad_norm)),
        "update_norm": totals.update_norm,
        "clip_share_low": totals.clipped_low / max(totals.tokens, 1),
        "clip_share_high": totals.clipped_high / max(totals.tokens, 1),
        **group_metrics(record),
        **entropy_metrics(record),
        **response_metrics(record),
        **mismatch_metrics(record.token_logp, record.token_logp_sampler),
        **displacement_metrics(record),
        **sampling_metrics(record, sampled_before),
    }


def group_metrics(record: StepRecord) -> dict:
    group = record.rewards.shape[1]
    correct = (record.rewards > 0).sum(axis=1)
    sequence_logp = np.add.reduceat(record.token_logp, _starts(record.n_tokens)).reshape(record.rewards.shape)
    centred = record.advantages - record.advantages.mean(axis=1, keepdims=True)
    covariance = (centred * sequence_logp).mean(axis=1)
    return {
        "reward_mean": float(record.rewards.mean()),
        "groups_by_correct": np.bincount(correct, minlength=group + 1).tolist(),
        "none_solved_share": float((correct == 0).mean()),
        "all_solved_share": float((correct == group).mean()),
        "zero_advantage_share": float((record.advantages == 0).all(axis=1).mean()),
        "advantage_size": mean_size(record.advantages),
        "net_mass": net_mass(record.advantages),
        "hard_weight": hard_weight(record.rewards, record.advantages),
        "cov_by_correct": [_mean(covariance[correct == c]) for c in range(group + 1)],
    }


def entropy_metrics(record: StepRecord) -> dict:
    """Entropy over all tokens, over those of correct and over those of wrong rollouts.

    >>> grid, tokens = np.array([[1.0, 0.0]]), np.array([0.1, 0.3, 0.8])
    >>> record = StepRecord(grid, grid, grid, np.array([[2, 1]]), tokens, tokens, tokens)
    >>> [round(value, 6) for value in entropy_metrics(record).values()]
    [0.4, 0.2, 0.8]
    """
    correct = np.repeat(record.rewards.ravel() > 0, record.n_tokens.ravel())
    return {
        "entropy": float(record.token_entropy.mean()),
        "entropy_correct": _mean(record.token_entropy[correct]),
        "entropy_wrong": _mean(record.token_entropy[~correct]),
    }


def response_metrics(record: StepRecord) -> dict:
    return {
        "response_tokens_mean": float(record.n_tokens.mean()),
        "response_tokens_max": int(record.n_tokens.max()),
        **{f"{name}_share": float((record.verdicts == name).mean()) for name in ("truncated", "unparsed", "timeout")},
    }


def mismatch_metrics(logp: np.ndarray, logp_sampler: np.ndarray) -> dict:
    """How far the sampler's probabilities are from the trainer's, per token.

    >>> round(mismatch_metrics(np.array([-1.0, -2.0]), np.array([-1.0, -2.1]))["gap_mean"], 6)
    0.05
    """
    difference = logp.astype(np.float64) - logp_sampler.astype(np.float64)
    gap = np.abs(difference)
    return {
        "gap_mean": float(gap.mean()),
        "gap_p999": float(np.quantile(gap, 0.999)),
        "gap_max": float(gap.max()),
        "token_mult_prob_error": float(np.exp(gap).mean()),
        "kl_k1": float(-difference.mean()),
        "kl_k3": float((np.expm1(difference) - difference).mean()),
    }


def displacement_metrics(record: StepRecord) -> dict:
    """Likelihood displacement: token-weighted mean change of log-probability of correct and of wrong rollouts."""
    if record.logp_change is None:
        return {"logp_change_correct": None, "logp_change_wrong": None}
    correct = record.rewards > 0
    return {
        "logp_change_correct": _ratio(record.logp_change[correct].sum(), record.n_tokens[correct].sum()),
        "logp_change_wrong": _ratio(record.logp_change[~correct].sum(), record.n_tokens[~correct].sum()),
    }


def sampling_metrics(record: StepRecord, sampled_before: int) -> dict:
    """What the step cost: all tokens that were sampled for it, also those that dynamic sampling threw away."""
    tokens, groups = int(record.n_tokens.sum()), len(record.rewards)
    if record.sampled is not None:
        tokens, groups = record.sampled.sum(axis=0).tolist()
    return {
        "sampled_tokens": tokens,
        "sampled_tokens_total": sampled_before + tokens,
        "discarded_share": 1 - len(record.rewards) / groups,
    }


def _starts(n_tokens: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(n_tokens.ravel())[:-1]])


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _ratio(total: float, count: float) -> float | None:
    return float(total / count) if count else None


def _type_name(kind: pa.DataType) -> str:
    """The name that numpy and pandas use.

    >>> _type_name(pa.list_(pa.float64()))
    'list of float64'
    """
    return f"list of {_type_name(kind.value_type)}" if pa.types.is_list(kind) else str(np.dtype(kind.to_pandas_dtype()))


def document() -> str:
    """docs/metrics.md: every column, its type and its meaning."""
    escaped = {name: meaning.replace("|", r"\|") for name, (_, meaning) in DESCRIPTIONS.items()}
    rows = [f"| `{name}` | {_type_name(kind)} | {escaped[name]} |" for name, (kind, _) in DESCRIPTIONS.items()]
    return "\n".join(
        [
            "# Training metrics",
            "",
            "Written by `python -m asymgrpo.training.metrics > docs/metrics.md`; change `asymgrpo/training/metrics.py` instead.",
            "",
            f"`metrics.parquet`, schema version {SCHEMA_VERSION}: one row per training step, over the rollouts of all ranks.",
            "Log-probabilities and entropies are in nats at the sampling temperature; shares are fractions; lengths are tokens.",
            "Correct means that the verifier's reward is positive, wrong that it is not. Unless a line says otherwise, a",
            "quantity is measured on the step's rollouts under the policy that sampled them, before the step's updates.",
            "",
            "| Column | Type | Meaning |",
            "|---|---|---|",
            *rows,
            "",
            "All values in this file follow from configuration and seed: on a CPU, repeating a run gives the same bytes.",
            "Seconds are in another file for this reason, `timings.parquet`: one row per step with the columns `step`,",
            ", ".join(f"`{phase}`" for phase in PHASES),
            "(seconds) and `response_tokens`.",
            "",
        ]
    )


if __name__ == "__main__":
    from asymgrpo.console import print_any_letter

    print_any_letter()
    print(document(), end="")
