"""Algorithm 1 of AsymGRPO (arXiv:2604.04894), and of every other arm: what differs between arms is in `arm` alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asymgrpo.errors import FailedError
from asymgrpo.method.arm import Arm
from asymgrpo.method.losses import active_entropy_coef, next_entropy_coef, tis_weights
from asymgrpo.method.objective import loss_terms, needs_every_row, needs_scores_first
from asymgrpo.method.reduce import counts, reduce
from asymgrpo.method.rewards import overlong_punishment
from asymgrpo.method.surrogates import masked_weights
from asymgrpo.rollout import Request, Rollout, Sampler
from asymgrpo.seeds import derive, occurrences, prompt_order
from asymgrpo.study.outcome import DivergedError
from asymgrpo.study.sections.train import Train
from asymgrpo.training import scoring
from asymgrpo.training.batch import Batch, pack
from asymgrpo.training.dynamic import Drawn, Problem, extra_index, refill
from asymgrpo.training.engine import Engine, GradientError
from asymgrpo.training.finite import need_finite, need_finite_row
from asymgrpo.training.metrics import UpdateTotals, concatenate, record_of, step_row
from asymgrpo.training.passes import Passes, plan
from asymgrpo.training.policy import Policy
from asymgrpo.training.scoring import Scores
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.verifier import Verdict, reward

Grader = Callable[[Sequence[Rollout], Sequence[str]], list[Verdict]]
"""Verdicts of rollouts against reference answers."""


class MismatchError(FailedError):
    """Sampler and trainer disagree about probabilities: every ratio would be wrong."""


@dataclass(frozen=True)
class Grids:
    """What the loss of a step reads beside the policy, for each token, [B, R]; None: the arm has no use for it."""

    scores: Scores
    advantages: Tensor
    trains: Tensor
    selected: Tensor | None
    logp_ref: Tensor | None


class Trainer:
    """One run: an arm, a seed, an engine that learns and a sampler that follows it."""

    def __init__(
        self,
        arm: Arm,
        train: Train,
        engine: Engine,
        sampler: Sampler,
        grade: Grader,
        problems: Sequence[Problem],
        run_seed: int,
        reference: Policy | None = None,
    ):
        if arm.kl_coef > 0 and reference is None:
            raise ValueError(f"arm {arm.name!r} has kl_coef > 0 and needs a reference policy.")
        self.reference = reference
        self.arm, self.train, self.engine, self.sampler = arm, train, engine, sampler
        self.grade, self.problems, self.run_seed = grade, problems, run_seed
        self.entropy_coef = arm.entropy_coef
        self.sampled_tokens = 0
        """Response tokens of all steps so far, those that were thrown away included."""

    def step(self, step: int, clock: Stopwatch) -> tuple[dict, list[list[Rollout]], np.ndarray]:
        """One step, counted from 1 -> (row of metrics over all ranks, this rank's rollouts, their rewards [prompts, G]).

        Raises:
            DivergedError: a number of the step is not finite; on all ranks, before the update that it would have spoilt.
            MismatchError: as in `check_mismatch`.
        """
        drawn = self.sample(self.draw(step), step, clock)
        groups, verdicts, rewards = drawn.groups, drawn.verdicts, drawn.rewards
        with clock("reward"):
            seeds = [control_seed(self.run_seed, step, p.problem_id, p.occurrence, p.extra) for p in drawn.problems]
            shaped = self.shaped(rewards, groups)
            advantages = self.arm.advantage_fn(shaped, seeds, self.of_all_ranks)
        with clock("score"):
            batch = pack([rollout for group in groups for rollout in group])
            self.need_finite(
                step,
                the_advantages_are=advantages.float(),
                the_log_probabilities_of_the_sampler_are=batch.logp_sampler[batch.mask.bool()],
            )
            trains = self.trains(batch, verdicts)
            passes = self.passes(batch, advantages, trains)
            scores = self.score(batch, passes.first)
        with clock("update"):
            ahead = self.forward(batch, passes.updates[0][0], scores)
            entropy_coef = self.entropy_coef_now(batch, scores, step)
            totals = self.update(batch, passes, scores, advantages, trains, entropy_coef, step, ahead)
        with clock("score"):
            measured = step % self.train.displacement_every == 0
            totals.update_norm = self.engine.update_norm() if measured else None
            change = self.logp_change(batch, passes.every, scores, rewards.shape) if measured else None
        with clock("sync"):
            self.sampler.update_weights(self.engine.weights())
        with clock("other"):
            mine = record_of(batch, scores, rewards, advantages, verdicts, change)
            mine.sampled = np.array([[drawn.sampled_tokens, drawn.sampled_groups]])
            record = concatenate(self.engine.gather_objects(mine))
            row = step_row(step, self.engine.updates, record, totals, entropy_coef, self.sampled_tokens)
            need_finite_row(row)
            self.sampled_tokens = row["sampled_tokens_total"]
            self.adapt_entropy_coef(row["entropy"])
        return row, groups, rewards.numpy()

    def draw(self, step: int) -> list[Problem]:
        """x ~ D: this rank's share of the step's prompts, in the order of the updates that will use them."""
        order = prompt_order(self.run_seed, step - 1, self.train.prompts_per_step, len(self.problems))
        earlier = occurrences([self.problems[i].problem_id for i in order])
        places = np.arange(len(order)).reshape(self.train.updates_per_rollout, self.engine.world_size, -1)
        mine = places[:, self.engine.rank].ravel()
        return [replace(self.problems[order[place]], occurrence=earlier[place]) for place in mine]

    def sample(self, problems: list[Problem], step: int, clock: Stopwatch) -> Drawn:
        """A group and its rewards for every problem; an arm with dynamic sampling draws those without a signal again."""

        def judged(of: Sequence[Problem]) -> tuple[list[list[Rollout]], np.ndarray, Tensor]:
            with clock("rollout"):
                groups = self.rollout(of, step)
            with clock("reward"):
                return groups, *self.verdicts_and_rewards(groups, of)

        drawn = Drawn(problems, *judged(problems))
        drawn.count(drawn.groups)
        if self.arm.dynamic_sampling is not None:
            refill(drawn, self.arm.dynamic_sampling, lambda attempt, i: self.extra(step, attempt, i), judged)
        return drawn

    def extra(self, step: int, attempt: int, mine: int) -> Problem:
        """The problem that an attempt draws for the place `mine` of this rank; a function of its place in the whole step."""
        per_update = self.train.prompts_per_step // self.train.updates_per_rollout // self.engine.world_size
        update, column = divmod(mine, per_update)
        place = (update * self.engine.world_size + self.engine.rank) * per_update + column
        problem = self.problems[extra_index(self.run_seed, step, attempt, place, len(self.problems))]
        return replace(problem, extra=(attempt, place))

    def rollout(self, problems: Sequence[Problem], step: int) -> list[list[Rollout]]:
        """y_1 ... y_G ~ pi_old(. | x) for each problem; a sample's seed depends on (run, step, prompt, sample) only.

        Samples are counted over the step: a prompt that it draws a second time has the samples G ... 2G - 1.
        """
        size = self.train.group_size
        samples = [range(p.occurrence * size, (p.occurrence + 1) * size) for p in problems]
        requests = [
            Request(p.prompt_ids, tuple(rollout_seed(self.run_seed, step, p.problem_id, i, p.extra) for i in numbers))
            for p, numbers in zip(problems, samples, strict=True)
        ]
        self.sampler.wake()
        groups = self.sampler.generate(requests, self.train.temperature, self.train.top_p, self.train.max_tokens)
        self.sampler.sleep()
        return groups

    def verdicts_and_rewards(
        self, groups: Sequence[Sequence[Rollout]], problems: Sequence[Problem]
    ) -> tuple[np.ndarray, Tensor]:
        """Verdicts and r(x, y) in {0, 1}, both [prompts, G]."""
        flat = [rollout for group in groups for rollout in group]
        reference_answers = [p.answer for p, group in zip(problems, groups, strict=True) for _ in group]
        verdicts = self.grade(flat, reference_answers)
        rewards = torch.tensor([reward(v) for v in verdicts], dtype=torch.float64)
        shape = (len(groups), self.train.group_size)
        return np.array([v.value for v in verdicts]).reshape(shape), rewards.reshape(shape)

    def shaped(self, rewards: Tensor, groups: Sequence[Sequence[Rollout]]) -> Tensor:
        """The rewards that the arm learns from: r(x, y), less what it takes for long responses."""
        if self.arm.overlong_buffer is None:
            return rewards
        lengths = torch.tensor([[len(r.response_ids) for r in group] for group in groups])
        return rewards + overlong_punishment(
            lengths, self.train.max_tokens, self.arm.overlong_buffer * self.train.max_tokens
        )

    def of_all_ranks(self, grid: Tensor) -> Tensor:
        """[prompts, G] of this rank -> [prompts of all ranks, G], in rank order; a collective."""
        return torch.cat(self.engine.gather_objects(grid))

    def passes(self, batch: Batch, advantages: Tensor, trains: Tensor) -> Passes:
        """Which rows go through the model together; responses without a gradient stay out of the updates. Collective."""
        learns = trains.any(dim=1)
        if not needs_every_row(self.arm):
            learns &= advantages.flatten().float() != 0
        return plan(batch.widths, learns, self.train, self.engine.gather_objects, needs_scores_first(self.arm))

    def score(self, batch: Batch, parts: Sequence[Tensor]) -> Scores:
        """log pi_old and entropy of these rows; `forward` adds those of the first update, and then they are frozen."""
        return scoring.score(self.engine.score, batch, parts, self.engine.device)

    def forward(self, batch: Batch, rows: Tensor, scores: Scores | None) -> tuple[Tensor, Tensor]:
        """One micro-batch with gradient: log-probabilities and entropies, which complete `scores` if the policy is pi_old."""
        found = self.engine.forward(batch.rows(rows).to(self.engine.device))
        if scores is not None:
            scores.fill(rows, *found)
        return found

    def need_finite(self, step: int, **values: Tensor) -> None:
        """Collective; raises DivergedError on all ranks alike, see `asymgrpo.training.finite.need_finite`."""
        need_finite(self.engine, f"in step {step}", step, **values)

    def check_scores(self, batch: Batch, scores: Scores, step: int) -> None:
        """Before any weight changes: scores of the sampled tokens are finite and what the sampler said. Collective.

        Raises:
            DivergedError, MismatchError: they are not.
        """
        tokens = batch.mask.bool()
        self.need_finite(
            step,
            the_log_probabilities_of_the_trainer_are=scores.logp[tokens],
            the_entropy_is=scores.entropy[tokens],
        )
        self.check_mismatch(batch, scores.logp, step)

    def check_mismatch(self, batch: Batch, logp_old: Tensor, step: int) -> None:
        """The sampler's probabilities must be the trainer's; decided on sums over ranks.

        Raises:
            MismatchError: they are not. DivergedError: they are so far apart that the mean is not finite, which no mistake of
            dtype or temperature does.
        """
        gap = (logp_old - batch.logp_sampler)[batch.mask.bool()].double().abs()
        local = torch.tensor([float(gap.exp().sum()), len(gap)], dtype=torch.float64, device=self.engine.device)
        total, tokens = self.engine.sum_over_ranks(local).tolist()
        error = total / tokens
        if not math.isfinite(error):
            raise DivergedError(step, f"token_mult_prob_error is not finite in step {step}")
        if self.train.mismatch_gate is not None and not error <= self.train.mismatch_gate:
            raise MismatchError(
                f"token_mult_prob_error is {error:.4f}, above train.mismatch_gate = {self.train.mismatch_gate}: the "
                "sampler's probabilities are not the trainer's (stale weights, another dtype or temperature?). Nothing was "
                "updated; compare dtype and rollout_engine, or raise the gate knowingly."
            )

    def trains(self, batch: Batch, verdicts: np.ndarray) -> Tensor:
        """[B, R] mask of the tokens that train: with truncated = mask, or the arm's filter, cut responses do not."""
        if self.train.truncated == "zero" and not self.arm.overlong_filter:
            return batch.mask
        return batch.mask * torch.from_numpy(verdicts.ravel() != Verdict.truncated.value)[:, None]

    def update(
        self,
        batch: Batch,
        passes: Passes,
        scores: Scores,
        advantages: Tensor,
        trains: Tensor,
        entropy_coef: float,
        step: int,
        ahead: tuple[Tensor, Tensor],
    ) -> UpdateTotals:
        """`updates_per_rollout` optimizer updates, each on its own share of the prompts.

        The first completes `scores`: its policy is the one that sampled, so that its own forward pass is pi_old. `ahead`: what
        `forward` found for its first micro-batch.
        """
        advantages = advantages.reshape(-1, 1).float().expand_as(batch.mask)
        selected = self.select_tokens(scores.logp, advantages, trains, step)
        logp_ref = self.score_reference(batch, list(chain(*passes.updates)))
        if logp_ref is not None:
            self.need_finite(step, the_log_probabilities_of_the_reference_are=logp_ref[batch.mask.bool()])
        grids = Grids(scores, advantages, trains, selected, logp_ref)
        totals, waiting = UpdateTotals(), [ahead]
        shares = trains.split(len(batch) // self.train.updates_per_rollout)
        for number, (micro, share) in enumerate(zip(passes.updates, shares, strict=True), start=1):
            n_tokens, n_sequences = self.global_counts(share)
            sums = torch.zeros(3, dtype=torch.float64)
            with self.engine.whole_update():
                for rows in micro:
                    found = waiting.pop() if waiting else self.forward(batch, rows, scores if number == 1 else None)
                    loss, parts = self.loss(batch, rows, found, grids, entropy_coef, n_tokens, n_sequences)
                    sums += parts
                    if last := rows is micro[-1]:
                        sums = self.checked_sums(batch, scores, sums, number, step)
                    self.backward(loss, last, number, step)
            loss_sum, low, high = sums.tolist()
            totals.add(loss_sum, low, high, n_tokens, self.engine.grad_norm)
        return totals

    def loss(
        self,
        batch: Batch,
        rows: Tensor,
        found: tuple[Tensor, Tensor],
        grids: Grids,
        entropy_coef: float,
        n_tokens: int,
        n_sequences: int,
    ) -> tuple[Tensor, Tensor]:
        """One micro-batch's share of the update's loss, and the sums that metrics need: [loss, clipped below, clipped above].

        `found`: log-probabilities and entropies of `rows`, with gradient.
        """
        cells, (logp, entropy) = self.cells(batch, rows), found
        logp_old, trains = cells(grids.scores.logp), cells(grids.trains)
        per_token, diagnostics = loss_terms(
            self.arm,
            logp,
            logp_old,
            cells(grids.advantages),
            entropy,
            entropy_coef=entropy_coef,
            logp_ref=cells(grids.logp_ref),
            importance_weights=self.importance_weights(logp_old, cells(batch.logp_sampler)),
            selected=cells(grids.selected),
            mask=trains,
        )
        loss = reduce(
            per_token,
            trains,
            self.arm.reduction,
            n_tokens=n_tokens,
            n_sequences=n_sequences,
            max_tokens=self.train.max_tokens,
        )
        clips = [float((diagnostics[name] * trains).sum()) for name in ("clipped_low", "clipped_high")]
        return loss, torch.tensor([float(loss.detach()), *clips], dtype=torch.float64)

    def checked_sums(self, batch: Batch, scores: Scores, sums: Tensor, number: int, step: int) -> Tensor:
        """The update's `sums` over all ranks; what is not finite or not as sampled ends the step. Collective.

        An update comes with the gradient of its last micro-batch: this is called between that one's loss and its gradient.
        """
        if number == 1:
            self.check_scores(batch, scores, step)
        summed = self.engine.sum_over_ranks(sums.to(self.engine.device)).cpu()
        if not math.isfinite(float(summed[0])):
            raise DivergedError(step, f"the loss is not finite in update {number} of step {step}")
        return summed

    def backward(self, loss: Tensor, last: bool, number: int, step: int) -> None:
        """Add one micro-batch's gradient, with the last one update; raises DivergedError instead of a spoilt update."""
        try:
            self.engine.backward(loss, last)
        except GradientError as error:
            raise DivergedError(step, f"the gradient norm is not finite in update {number} of step {step}") from error

    def cells(self, batch: Batch, rows: Tensor) -> Callable[[Any], Any]:
        """A function that cuts a [B, R] grid, or None, to one micro-batch on the engine's device."""
        width = int(batch.mask[rows].sum(dim=1).max())
        return lambda grid: None if grid is None else grid[rows, :width].to(self.engine.device)

    def global_counts(self, trains: Tensor) -> list[int]:
        """(tokens, sequences) that train in one update, over all its micro-batches and ranks."""
        return self.engine.sum_over_ranks(torch.tensor(counts(trains), device=self.engine.device)).tolist()

    def importance_weights(self, logp_old: Tensor, logp_sampler: Tensor) -> Tensor | None:
        if self.arm.sampler_mask is not None:
            return masked_weights(logp_old, logp_sampler, self.arm.sampler_mask.low, self.arm.sampler_mask.high)
        cap = self.train.importance_cap
        return None if cap is None else tis_weights(logp_old, logp_sampler, cap)

    def select_tokens(self, logp_old: Tensor, advantages: Tensor, trains: Tensor, step: int) -> Tensor | None:
        """[B, R] choice of a covariance method, made once per update over the prompts of all ranks."""
        seeds = [derive("select", self.run_seed, step, u) for u in range(self.train.updates_per_rollout)]
        return scoring.select_tokens(self.arm, self.engine, logp_old, advantages, trains, seeds)

    def score_reference(self, batch: Batch, parts: Sequence[Tensor]) -> Tensor | None:
        """[B, R] log-probabilities of these rows under the base model, for arms with a KL penalty."""
        if self.reference is None:
            return None
        return scoring.score(self.reference, batch, parts, self.engine.device).logp

    def entropy_coef_now(self, batch: Batch, scores: Scores, step: int) -> float:
        """The coefficient of this step: fixed, or the controller's when the entropy is at or below its target."""
        adaptive = self.arm.adaptive_entropy
        if adaptive is None:
            return self.entropy_coef
        self.need_finite(step, the_entropy_is=scores.entropy[batch.mask.bool()])
        local = torch.stack([(scores.entropy * batch.mask).sum(), batch.mask.sum()]).double().to(self.engine.device)
        total, tokens = self.engine.sum_over_ranks(local).tolist()
        return active_entropy_coef(self.entropy_coef, total / tokens, adaptive.target)

    def adapt_entropy_coef(self, entropy: float) -> None:
        if self.arm.adaptive_entropy is not None:
            self.entropy_coef = next_entropy_coef(self.entropy_coef, entropy, **self.arm.adaptive_entropy.model_dump())

    def logp_change(self, batch: Batch, parts: Sequence[Tensor], scores: Scores, shape: torch.Size) -> np.ndarray:
        """Change of each rollout's sequence log-probability across the step's updates, [prompts, G]."""
        change = scoring.sequence_change(self.engine.score, batch, parts, self.engine.device, scores.logp)
        return change.reshape(shape).double().numpy()


def rollout_seed(run_seed: int, step: int, problem_id: str, sample: int, extra: Sequence[int] = ()) -> int:
    """The seed of one training sample; arms of one run seed share it, so that they start from the same draws."""
    return derive("rollout", run_seed, step, problem_id, sample, *extra)


def control_seed(run_seed: int, step: int, problem_id: str, occurrence: int, extra: Sequence[int] = ()) -> int:
    """The seed of the random rewards of one group. A first occurrence is not counted, as in all results stored so far."""
    return derive("control", run_seed, step, problem_id, *([occurrence] if occurrence else []), *extra)
