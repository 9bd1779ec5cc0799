"""Time and disk of everything that a study does with one model."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass

from asymgrpo.planner.memory import Memory, kv_bytes_per_token, vllm_overhead
from asymgrpo.planner.shapes import Shape
from asymgrpo.planner.state import WIDTH
from asymgrpo.planner.time import (
    RATES,
    GpuKind,
    Habits,
    Lengths,
    Rates,
    StepSeconds,
    checkpoint_bytes,
    decoding_seconds,
    step_seconds,
)
from asymgrpo.study.config import Study, Train
from asymgrpo.study.stored import ROOT

EVALUATION_FRACTION = 0.9
"""Of a GPU's memory when evaluation has it alone (vLLM's default)."""


@dataclass(frozen=True)
class Runs:
    """Runs of a model that cost the same."""

    n: int
    attempts: int
    """How often dynamic sampling draws a group without a signal again; 0: the arms have none."""
    steps: int
    """Until `steps` or `token_budget` ends the run."""
    step: StepSeconds
    tokens: float
    """Response tokens that a step samples."""

    @property
    def hours(self) -> float:
        """Of one run, without its candidates."""
        return self.steps * self.step.total / 3600


@dataclass(frozen=True)
class Cost:
    """One model of a study: hours are GPU-hours over all its arms and seeds."""

    kinds: list[Runs]
    """At least one; by rising attempts."""
    candidate: float
    """Seconds to measure one candidate on the sets that checkpoint selection may look at."""
    runs: int
    longest: float
    """Hours of the longest run, its candidates included."""
    training_hours: float
    selection_hours: float
    evaluation_hours: float
    """Sampling of the benchmarks, an upper bound: every selection rule picks another step."""
    candidates_gb: float
    """Disk for the candidates that all runs leave."""
    checkpoints_gb: float
    """Disk for the resumable checkpoints of one run at work: those that are kept, and the next one while it is written."""


def problem_counts(study: Study) -> dict[str, int]:
    """Problems of the benchmarks and of the validation part, by name; one whose problems nobody has counted yet has as many as
    `evaluation.limit` allows, or none."""
    from asymgrpo.tasks.lock import read_lock

    known = read_lock(ROOT / "config" / "data.lock.yaml").datasets
    embedded = study.data.embedded.benchmark_size if study.data.source == "embedded" else None
    limit = study.evaluation.limit
    rows = {name: embedded or known[name].rows or limit or 0 for name in study.evaluation.benchmarks}
    counts = {name: min(limit or sys.maxsize, n) for name, n in rows.items()}
    return counts | {"validation": study.data.validation_size}


def habits_of(study: Study) -> Habits:
    """A training job grades with as many processes per rank as it has cores there."""
    return Habits(graders=study.machine.cpus_per_rank)


def steps_of(train: Train, tokens: float) -> int:
    """Steps of a run whose steps sample so many tokens."""
    return train.steps if train.token_budget is None else min(train.steps, math.ceil(train.token_budget / tokens))


def attempts_of(study: Study) -> Counter[int]:
    """Number of runs of a model by the attempts of their arm's dynamic sampling (0: none)."""
    from asymgrpo.method.arms import get_arm

    plan, found = study.study, Counter[int]()
    for arms, seeds in ((plan.arms, plan.seeds), (plan.analyses, plan.analysis_seeds)):
        for name in arms:
            found[get_arm(name, study.changes_of(name)).dynamic_sampling or 0] += len(seeds)
    return found


def plan_cost(
    study: Study, name: str, shape: Shape, gpu_kind: GpuKind, fitted: Memory, lengths: Lengths, rates: Rates = RATES
) -> Cost:
    """What one model costs. Evaluation samples one benchmark after the other on one GPU."""
    train, evaluation, counts = study.train_of(name), study.evaluation_of(name), problem_counts(study)
    width, gpus = WIDTH[train.dtype], train.world_size
    rules = evaluation.selection
    sets = ["validation", *(r.split(":", 1)[1] for r in rules if r.startswith("best_on:"))]
    kinds = []
    for attempts, n in sorted(attempts_of(study).items()):
        step = step_seconds(
            shape, train, gpus, gpu_kind, lengths, fitted.cache_tokens, rates, habits_of(study), attempts
        )
        tokens = lengths.tokens(train, attempts)
        kinds.append(Runs(n, attempts, steps_of(train, tokens), step, tokens))
    problems = sum(counts[name] for name in sets) / gpus
    candidate = decoding_seconds(
        shape,
        width,
        gpu_kind,
        problems,
        problems * train.evaluate_samples,
        lengths,
        train.evaluate_max_tokens,
        fitted.cache_tokens,
        rates,
    )
    alone = EVALUATION_FRACTION * gpu_kind.memory_gb * 1e9 - width * shape.parameters - vllm_overhead(shape, width)
    cache = int(alone / kv_bytes_per_token(shape, width))
    checkpoint = 0.0
    for name in evaluation.benchmarks:
        n = evaluation.n_samples(name)
        checkpoint += decoding_seconds(
            shape, width, gpu_kind, counts[name], counts[name] * n, lengths, evaluation.max_tokens, cache, rates
        )
    runs = sum(kind.n for kind in kinds)
    candidates = [-(-kind.steps // train.evaluate_every) for kind in kinds]
    most = len(sets) + 1 if train.candidates == "selectable" else train.steps
    kept = sum(kind.n * min(n, most) for kind, n in zip(kinds, candidates, strict=True))
    return Cost(
        kinds=kinds,
        candidate=candidate,
        runs=runs,
        longest=max(kind.hours + n * candidate / 3600 for kind, n in zip(kinds, candidates, strict=True)),
        training_hours=gpus * sum(kind.n * kind.hours for kind in kinds),
        selection_hours=gpus * sum(kind.n * n for kind, n in zip(kinds, candidates, strict=True)) * candidate / 3600,
        evaluation_hours=(1 + runs * len(rules)) * checkpoint / 3600,
        candidates_gb=kept * width * shape.parameters / 1e9,
        checkpoints_gb=(train.keep_checkpoints + 1) * checkpoint_bytes(shape, train) / 1e9,
    )
