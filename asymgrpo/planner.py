"""`python -m asymgrpo.planner --config FILE [--gpu KIND --gpus N]`: does a study fit the machine, and what will it cost?

Prints Markdown: peak memory per GPU by component and phase, seconds per step by phase, GPU-hours and disk of the whole study.
Exit code 2, with a sentence per reason, for a plan that cannot fit. The model behind it, every constant and how far it was
from measurements: docs/planner.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from asymgrpo.config import ConfigError, Study, Train, parse
from asymgrpo.console import print_any_letter
from asymgrpo.planner_memory import VLLM_OVERHEAD, WIDTH, Memory, kv_bytes_per_token, memory, refuse
from asymgrpo.planner_shapes import Shape, shape_of
from asymgrpo.planner_time import Lengths, Machine, StepSeconds, decoding_seconds, machine_of, step_seconds

ROOT = Path(__file__).parents[1]
MEAN_PROMPT = 120.0
"""Assumed mean tokens of a prompt: MATH problems have a median of 148 characters, the template adds some 40 tokens."""
RESPONSE_SHARE = 0.25
"""Assumed mean response length as a share of train.max_tokens."""
EVALUATION_FRACTION = 0.9
"""Of a GPU's memory when evaluation has it alone (vLLM's default)."""
MARGIN = 2.0
"""Time limit of a job over its expected time."""
PROCESS = 12_000_000_000
"""Host memory of one rank without weights: libraries, CUDA's host side, vLLM. Assumed, not measured."""


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
    """Disk for the resumable checkpoints of one run at work."""


def merged(configs: Sequence[Path]) -> dict[str, Any]:
    """default.yaml updated by each file in turn, as Snakemake merges them. Raises ConfigError when a file is missing."""
    import yaml
    from snakemake.utils import update_config

    mapping: dict[str, Any] = yaml.safe_load((ROOT / "config" / "default.yaml").read_text(encoding="utf-8"))
    for path in configs:
        if not path.is_file():
            raise ConfigError(f"planner: {path} is missing; give the configuration files that snakemake gets.")
        update_config(mapping, yaml.safe_load(path.read_text(encoding="utf-8")))
    return mapping


def load_study(configs: Sequence[Path]) -> Study:
    """The study of default.yaml and the files. Raises ConfigError."""
    return parse(merged(configs))


def problem_counts(study: Study) -> dict[str, int]:
    """Problems of the benchmarks and of the validation part, by name."""
    from asymgrpo.tasks.lock import read_lock

    known = read_lock(ROOT / "config" / "data.lock.yaml").datasets
    embedded = study.data.embedded.benchmark_size if study.data.source == "embedded" else None
    limit = study.evaluation.limit or sys.maxsize
    counts = {name: min(limit, embedded or known[name].rows) for name in study.evaluation.benchmarks}
    return counts | {"validation": study.data.validation_size}


def plan_cost(study: Study, name: str, shape: Shape, machine: Machine, fitted: Memory, lengths: Lengths) -> Cost:
    """Time and disk of everything that the study does with one model."""
    train, evaluation, counts = study.train_of(name), study.evaluation_of(name), problem_counts(study)
    width, gpus = WIDTH[train.dtype], train.world_size
    rules = evaluation.selection
    sets = ["validation", *(r.split(":", 1)[1] for r in rules if r.startswith("best_on:"))]
    step = step_seconds(shape, train, gpus, machine, lengths, fitted.cache_tokens)
    problems = sum(counts[name] for name in sets) / gpus
    candidate = decoding_seconds(
        shape,
        width,
        machine,
        problems,
        problems * train.evaluate_samples,
        lengths,
        train.evaluate_max_tokens,
        fitted.cache_tokens,
    )
    alone = EVALUATION_FRACTION * machine.memory_gb * 1e9 - width * shape.parameters - VLLM_OVERHEAD
    cache = int(alone / kv_bytes_per_token(shape, width))
    checkpoint = 0.0
    for name in evaluation.benchmarks:
        n = evaluation.n_samples(name)
        checkpoint += decoding_seconds(
            shape, width, machine, counts[name], counts[name] * n, lengths, evaluation.max_tokens, cache
        )
    plan = study.study
    runs = len(plan.arms) * len(plan.seeds) + len(plan.analyses) * len(plan.analysis_seeds)
    candidates = -(-train.steps // train.evaluate_every)
    kept = min(candidates, len(sets) + 1) if train.candidates == "selectable" else candidates
    weights_gb = width * shape.parameters / 1e9
    return Cost(
        step=step,
        candidate=candidate,
        runs=runs,
        training_hours=runs * gpus * train.steps * step.total / 3600,
        selection_hours=runs * gpus * candidates * candidate / 3600,
        evaluation_hours=(1 + runs * len(rules)) * checkpoint / 3600,
        candidates_gb=runs * kept * weights_gb,
        checkpoints_gb=train.keep_checkpoints * (weights_gb + 12 * shape.parameters / 1e9),
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def memory_table(found: Memory) -> str:
    """Components against phases, GB."""
    s, a = found.state, found.activations
    components = {
        "parameters": (s.parameters, "rollout logits layers update"),
        "optimizer (moments, float32 weights)": (s.optimizer, "rollout logits layers update"),
        "gradients": (s.gradients, "logits layers"),
        "DeepSpeed's reduction buffer": (s.buffers, "logits layers"),
        "activations kept": (a.kept, "logits layers"),
        "final norm": (a.final_norm, "logits"),
        "logits (one chunk)": (a.logits, "logits"),
        "one layer's backward pass": (a.layer, "layers"),
        "gradients and temporaries of the update": (s.update, "update"),
        "vLLM weights": (found.vllm_weights, "rollout"),
        "vLLM keys and values": (found.vllm_cache, "rollout"),
    }
    phases = found.phases
    rows = [
        [name, *(f"{size / 1e9:.1f}" if phase in where.split() else "" for phase in phases)]
        for name, (size, where) in components.items()
    ]
    accounted = {p: sum(size for size, where in components.values() if p in where.split()) for p in phases}
    rows.append(["runtime, vLLM's own", *(f"{(phases[p] - accounted[p]) / 1e9:.1f}" for p in phases)])
    rows.append([f"**peak** of {found.capacity / 1e9:.0f}", *(f"**{phases[p] / 1e9:.1f}**" for p in phases)])
    return table(["GB per GPU", *phases], rows)


def report(name: str, study: Study, shape: Shape, machine: Machine, lengths: Lengths) -> str:
    """Markdown for one model. Raises ConfigError when it cannot fit."""
    train = study.train_of(name)
    found = memory(shape, train, int(machine.memory_gb * 1e9), train.world_size)
    refuse(name, shape, train, found)
    cost = plan_cost(study, name, shape, machine, found, lengths)
    seconds = {**vars(cost.step), "total": cost.step.total}
    total = cost.training_hours + cost.selection_hours + cost.evaluation_hours
    host = f" Host memory: {found.state.host / 1e9:.0f} GB per GPU." if found.state.host else ""
    cache = f" vLLM's cache holds {found.cache_tokens:,} tokens." if found.vllm else ""
    return "\n\n".join(
        [
            f"## {name}: {shape.parameters:,} parameters on {train.world_size} GPUs",
            memory_table(found),
            f"The longest micro-batch is {train.micro_batch} x ({train.max_prompt_tokens} + {train.max_tokens}) tokens."
            + cache
            + host,
            table(["seconds per step", *seconds], [["expected", *(f"{v:.1f}" for v in seconds.values())]]),
            f"Assumed mean lengths: prompt {lengths.prompt:.0f}, response {lengths.response:.0f} tokens. Expect a factor of 2 "
            "either way (docs/planner.md).",
            table(
                ["whole study", "GPU-hours"],
                [
                    [f"training, {cost.runs} runs x {train.steps} steps", f"{cost.training_hours:,.0f}"],
                    [
                        f"candidates during training, {cost.candidate:.0f} s each",
                        f"{cost.selection_hours:,.0f}",
                    ],
                    ["sampling of the benchmarks, at most", f"{cost.evaluation_hours:,.0f}"],
                    ["**total**", f"**{total:,.0f}**"],
                ],
            ),
            f"One run takes {cost.step.total * train.steps / 3600:.1f} hours. Disk: {cost.candidates_gb:,.0f} GB for candidates, "
            f"{cost.checkpoints_gb:,.0f} GB of checkpoints per run at work.",
        ]
    )


def assumed_lengths(train: Train, prompt: float = MEAN_PROMPT, response: float | None = None) -> Lengths:
    return Lengths(prompt, response if response is not None else RESPONSE_SHARE * train.max_tokens)


def reports(study: Study, gpu: str, gpus: int | None, prompt: float, response: float | None) -> list[str]:
    """Markdown per model of the study. Raises ConfigError with every reason for which the study cannot run there."""
    machine, done, problems = machine_of(gpu), [], []
    for name in study.study.models:
        train = study.train_of(name)
        if gpus not in (None, train.world_size):
            raise ConfigError(
                f"planner: --gpus {gpus} is not train.nodes x train.ranks_per_node = {train.world_size}; change one of them."
            )
        try:
            shape = shape_of(name, study.models[name], study.results / "models" / name / "base")
            done.append(report(name, study, shape, machine, assumed_lengths(train, prompt, response)))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return done


@dataclass(frozen=True)
class Needs:
    """What a training job should ask of a cluster."""

    memory_gb: float
    """Of host memory per node."""
    hours: float


def job_needs(study: Study, name: str) -> Needs:
    """For a model of a study whose `machine` is a GPU kind. Raises ConfigError when it is unknown or does not fit.

    Host memory per rank: offloaded state, the weights twice (loading, and gathering them for a candidate), the process itself.
    Hours: MARGIN times the expectation, because that may be off by a factor of 2.
    """
    machine, train = machine_of(study.machine.kind), study.train_of(name)
    shape = shape_of(name, study.models[name])
    found = memory(shape, train, int(machine.memory_gb * 1e9), train.world_size)
    cost = plan_cost(study, name, shape, machine, found, assumed_lengths(train))
    per_rank = found.state.host + 2 * WIDTH[train.dtype] * shape.parameters + PROCESS
    gpu_hours = (cost.training_hours + cost.selection_hours) / cost.runs
    return Needs(train.ranks_per_node * per_rank / 1e9, MARGIN * gpu_hours / train.world_size)


def check_fits(study: Study, gpu: str) -> list[str]:
    """Sentences for every model that cannot train on this GPU kind: for the checks before the graph of jobs is built."""
    machine, problems = machine_of(gpu), []
    for name in study.study.models:
        train = study.train_of(name)
        try:
            shape = shape_of(name, study.models[name])
            refuse(name, shape, train, memory(shape, train, int(machine.memory_gb * 1e9), train.world_size))
        except ConfigError as error:
            problems += str(error).splitlines()
    return problems


app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def main(
    config: Annotated[list[Path], typer.Option(help="Configuration; may be repeated, later files win.")],
    gpu: Annotated[str | None, typer.Option(help="GPU kind (asymgrpo/machines.yaml); else the study's.")] = None,
    gpus: Annotated[
        int | None, typer.Option(help="GPUs of one training run, to be checked against the study's.")
    ] = None,
    prompt_tokens: Annotated[float, typer.Option(help="Mean tokens of a prompt.")] = MEAN_PROMPT,
    response_tokens: Annotated[
        float | None, typer.Option(help="Mean tokens of a response; else a quarter of train.max_tokens.")
    ] = None,
) -> None:
    print_any_letter()
    try:
        study = load_study(config)
        kind = gpu or study.machine.kind
        done = reports(study, kind, gpus, prompt_tokens, response_tokens)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n\n".join([f"# Plan of study {study.name} on {kind}", *done]))


if __name__ == "__main__":
    app()
