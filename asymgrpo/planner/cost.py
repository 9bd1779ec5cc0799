"""Time and disk of everything that a study does with one model."""

from __future__ import annotations

import sys
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
from asymgrpo.study.config import Study
from asymgrpo.study.stored import ROOT

EVALUATION_FRACTION = 0.9
"""Of a GPU's memory when evaluation has it alone (vLLM's default)."""


@dataclass(frozen=True)
class Cost:
    """One model of a study: hours are GPU-hours over all its arms and seeds."""

    step: StepSeconds
    candidate: float
    """Seconds to measure one candidate on the sets that checkpoint selection may look at."""
    runs: int
    training_hours: float
    selection_hours: float
    evaluation_hours: float
    """Sampling of the benchmarks, an upper bound: every selection rule picks another step."""
    candidates_gb: float
    """Disk for the candidates that all runs leave."""
    checkpoints_gb: float
    """Disk for the resumable checkpoints of one run at work: those that are kept, and the next one while it is written."""


def problem_counts(study: Study) -> dict[str, int]:
    """Problems of the benchmarks and of the validation part, by name."""
    from asymgrpo.tasks.lock import read_lock

    known = read_lock(ROOT / "config" / "data.lock.yaml").datasets
    embedded = study.data.embedded.benchmark_size if study.data.source == "embedded" else None
    limit = study.evaluation.limit or sys.maxsize
    counts = {name: min(limit, embedded or known[name].rows) for name in study.evaluation.benchmarks}
    return counts | {"validation": study.data.validation_size}


def habits_of(study: Study) -> Habits:
    """A training job grades with as many processes per rank as it has cores there."""
    return Habits(graders=study.machine.cpus_per_rank)


def plan_cost(
    study: Study, name: str, shape: Shape, gpu_kind: GpuKind, fitted: Memory, lengths: Lengths, rates: Rates = RATES
) -> Cost:
    """What one model costs. Evaluation samples one benchmark after the other on one GPU."""
    train, evaluation, counts = study.train_of(name), study.evaluation_of(name), problem_counts(study)
    width, gpus = WIDTH[train.dtype], train.world_size
    rules = evaluation.selection
    sets = ["validation", *(r.split(":", 1)[1] for r in rules if r.startswith("best_on:"))]
    step = step_seconds(shape, train, gpus, gpu_kind, lengths, fitted.cache_tokens, rates, habits_of(study))
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
    plan = study.study
    runs = len(plan.arms) * len(plan.seeds) + len(plan.analyses) * len(plan.analysis_seeds)
    candidates = -(-train.steps // train.evaluate_every)
    kept = min(candidates, len(sets) + 1) if train.candidates == "selectable" else candidates
    return Cost(
        step=step,
        candidate=candidate,
        runs=runs,
        training_hours=runs * gpus * train.steps * step.total / 3600,
        selection_hours=runs * gpus * candidates * candidate / 3600,
        evaluation_hours=(1 + runs * len(rules)) * checkpoint / 3600,
        candidates_gb=runs * kept * width * shape.parameters / 1e9,
        checkpoints_gb=(train.keep_checkpoints + 1) * checkpoint_bytes(shape, train) / 1e9,
    )
