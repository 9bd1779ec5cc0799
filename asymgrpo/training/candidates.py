"""Candidates: models kept for checkpoint selection. How good one is, and which no rule can select any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from asymgrpo.rollout import Request
from asymgrpo.seeds import derive
from asymgrpo.training.finite import need_finite
from asymgrpo.training.trainer import Problem, Trainer
from asymgrpo.verifier import Verdict


def accuracy(trainer: Trainer, problems: Sequence[Problem], name: str, step: int) -> float:
    """avg@n of the current weights on the set `name` at the evaluation temperature; ranks share the problems.

    Raises:
        DivergedError: the weights give no finite log-probabilities.
    """
    train, engine = trainer.train, trainer.engine
    mine = problems[engine.rank :: engine.world_size]
    n, seed = train.evaluate_samples, trainer.run_seed
    requests = [
        Request(p.prompt_ids, tuple(derive("candidate", seed, step, name, p.problem_id, i) for i in range(n)))
        for p in mine
    ]
    correct, logprobs = 0, torch.zeros(0)
    if requests:
        groups = trainer.sampler.generate(requests, train.evaluate_temperature, 1.0, train.evaluate_max_tokens)
        flat = [r for group in groups for r in group]
        logprobs = torch.tensor([x for r in flat for x in r.logprobs])
        verdicts = trainer.grade(flat, [p.answer for p in mine for _ in range(n)])
        correct = sum(v is Verdict.correct for v in verdicts)
    where = f"on {name} after step {step}"
    need_finite(engine, where, step, the_log_probabilities_of_the_sampler_are=logprobs)
    return sum(engine.gather_objects(correct)) / (len(problems) * n)


def selectable(evaluations: Sequence[Mapping[str, Any]], until: int) -> set[int]:
    """Steps up to `until` that a selection rule can still choose: best so far on a set (the earliest of equals, as evals.select
    has it), and the newest.

    >>> rows = [{"step": s, "set": "validation", "accuracy": a} for s, a in ((5, 0.2), (10, 0.6), (15, 0.6), (20, 0.1))]
    >>> sorted(selectable(rows, 20)), sorted(selectable(rows, 5))
    ([10, 20], [5])
    """
    seen = [row for row in evaluations if row["step"] <= until]
    best: dict[str, Mapping[str, Any]] = {}
    for row in sorted(seen, key=lambda row: row["step"]):
        if row["set"] not in best or row["accuracy"] > best[row["set"]]["accuracy"]:
            best[row["set"]] = row
    return {row["step"] for row in best.values()} | {max((row["step"] for row in seen), default=0)}
