"""`python -m asymgrpo.planner --config FILE [--gpu KIND --gpus N --machine FILE]`: does a study fit, and what will it cost?

Prints Markdown: peak memory per GPU by component and phase, seconds per step by phase, GPU-hours and disk of the whole study.
Exit code 2, with a sentence per reason, for a plan that cannot fit. The model behind it, every constant and how far it was
from measurements: docs/planner.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.planner.cost import Cost, Runs, plan_cost
from asymgrpo.planner.measured import Measured, read_measured
from asymgrpo.planner.memory import Memory, memory, refuse
from asymgrpo.planner.shapes import Shape, shape_of
from asymgrpo.planner.state import WIDTH
from asymgrpo.planner.time import DEGENERATE, PUBLISHED_OVER_PLANNED, GpuKind, Lengths, gpu_kind_of
from asymgrpo.study.config import ConfigError, Study
from asymgrpo.study.limits import MAX_SEQUENCES
from asymgrpo.study.sections.train import Train
from asymgrpo.study.stored import load_study

MEAN_PROMPT = 120.0
"""Assumed mean tokens of a prompt: MATH problems have a median of 148 characters, the template adds some 40 tokens."""
RESPONSE_SHARE = 0.25
"""Assumed mean response length as a share of train.max_tokens."""
MARGIN = 2.0
"""Time limit of a job over its expected time."""
PROCESS = 12_000_000_000
"""Host memory of one rank without weights: libraries, CUDA's host side, vLLM. Assumed, not measured."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def memory_table(found: Memory) -> str:
    """Components against phases, GB."""
    phases = found.phases
    rows = [
        [name, *(f"{size / 1e9:.1f}" if phase in where.split() else "" for phase in phases)]
        for name, (size, where) in found.components.items()
        if size
    ]
    rows.append([f"**peak** of {found.capacity / 1e9:.0f}", *(f"**{needed / 1e9:.1f}**" for needed in phases.values())])
    return table(["GB per GPU", *phases], rows)


def cache_sentence(found: Memory) -> str:
    """How much of vLLM's cache can be in use."""
    if not found.vllm:
        return ""
    return f" vLLM's cache holds {found.cache_tokens:,} tokens, of {MAX_SEQUENCES} sequences at most."


def called(kind: Runs) -> str:
    """Runs of one cost, in words."""
    return f"dynamic sampling, {kind.attempts} attempts" if kind.attempts else "expected"


def again(cost: Cost) -> bool:
    """Whether some arm draws groups again."""
    return any(kind.attempts for kind in cost.kinds)


def report(name: str, study: Study, shape: Shape, gpu_kind: GpuKind, lengths: Lengths, measured: Measured) -> str:
    """Markdown for one model. Raises ConfigError when it cannot fit."""
    train = study.train_of(name)
    found = memory(shape, train, int(gpu_kind.memory_gb * 1e9), train.world_size)
    refuse(name, shape, train, found)
    cost = plan_cost(study, name, shape, gpu_kind, found, lengths, measured.rates)
    phases = [{**vars(kind.step), "total": kind.step.total} for kind in cost.kinds]
    total = cost.training_hours + cost.selection_hours + cost.evaluation_hours
    host = f" Host memory: {found.state.host / 1e9:.0f} GB per GPU." if found.state.host else ""
    cache, (least, most) = cache_sentence(found), PUBLISHED_OVER_PLANNED
    return "\n\n".join(
        [
            f"## {name}: {shape.parameters:,} parameters on {train.world_size} GPUs",
            memory_table(found),
            f"The longest micro-batch is {train.micro_batch} x ({train.max_prompt_tokens} + {train.max_tokens}) tokens."
            + cache
            + host,
            table(
                ["seconds per step", *phases[0], "response tokens"],
                [
                    [called(kind), *(f"{v:.1f}" for v in seconds.values()), f"{kind.tokens:,.0f}"]
                    for kind, seconds in zip(cost.kinds, phases, strict=True)
                ],
            ),
            f"Assumed mean lengths: prompt {lengths.prompt:.0f}, response {lengths.response:.0f} tokens. "
            + (f"Assumed share of groups without a signal: {lengths.degenerate:g}. " if again(cost) else "")
            + f"Others' whole steps took {least} to {most} times what this model says of them (docs/planner.md).",
            table(
                ["whole study", "GPU-hours"],
                [
                    *(
                        [
                            f"training, {kind.n} runs x {kind.steps} steps{f' ({called(kind)})' if kind.attempts else ''}",
                            f"{kind.n * train.world_size * kind.hours:,.0f}",
                        ]
                        for kind in cost.kinds
                    ),
                    [
                        f"candidates during training, {cost.candidate:.0f} s each",
                        f"{cost.selection_hours:,.0f}",
                    ],
                    ["sampling of the benchmarks, at most", f"{cost.evaluation_hours:,.0f}"],
                    ["**total**", f"**{total:,.0f}**"],
                ],
            ),
            f"One run takes {max(kind.hours for kind in cost.kinds):.1f} hours{' at most' if again(cost) else ''}. "
            f"Disk: {cost.candidates_gb:,.0f} GB for candidates, "
            f"{cost.checkpoints_gb:,.0f} GB of checkpoints per run at work (the one being written included).",
        ]
    )


def assumed_lengths(
    train: Train, prompt: float = MEAN_PROMPT, response: float | None = None, degenerate: float = DEGENERATE
) -> Lengths:
    return Lengths(prompt, response if response is not None else RESPONSE_SHARE * train.max_tokens, degenerate)


ASSUMED = Measured()


def reports(
    study: Study,
    gpu: str,
    gpus: int | None,
    prompt: float,
    response: float | None,
    measured: Measured = ASSUMED,
    degenerate: float = DEGENERATE,
) -> list[str]:
    """Markdown per model of the study. Raises ConfigError with every reason for which the study cannot run there."""
    gpu_kind, done, problems = gpu_kind_of(gpu), [], []
    for name in study.study.models:
        train = study.train_of(name)
        if gpus not in (None, train.world_size):
            raise ConfigError(
                f"planner: --gpus {gpus} is not train.nodes x train.ranks_per_node = {train.world_size}; change one of them."
            )
        try:
            shape = shape_of(name, study.models[name], study.results / "models" / name / "base")
            lengths = assumed_lengths(train, prompt, response, degenerate)
            done.append(report(name, study, shape, gpu_kind, lengths, measured))
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
    gpu_kind, train = gpu_kind_of(study.machine.kind), study.train_of(name)
    shape = shape_of(name, study.models[name])
    found = memory(shape, train, int(gpu_kind.memory_gb * 1e9), train.world_size)
    cost = plan_cost(study, name, shape, gpu_kind, found, assumed_lengths(train))
    per_rank = found.state.host + 2 * WIDTH[train.dtype] * shape.parameters + PROCESS
    return Needs(train.ranks_per_node * per_rank / 1e9, MARGIN * cost.longest)


def check_fits(study: Study, gpu: str) -> list[str]:
    """Sentences for every model that cannot train on this GPU kind: for the checks before the graph of jobs is built."""
    gpu_kind, problems = gpu_kind_of(gpu), []
    for name in study.study.models:
        train = study.train_of(name)
        try:
            shape = shape_of(name, study.models[name])
            refuse(name, shape, train, memory(shape, train, int(gpu_kind.memory_gb * 1e9), train.world_size))
        except ConfigError as error:
            problems += str(error).splitlines()
    return problems


def main(
    config: Annotated[list[Path], typer.Option(help="Configuration files; later ones win.")],
    gpu: Annotated[
        str | None, typer.Option(help="GPU kind (asymgrpo/planner/gpu_kinds.yaml); else the study's.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="GPUs of one training run, to be checked against the study's.")
    ] = None,
    prompt_tokens: Annotated[float, typer.Option(help="Mean tokens of a prompt.")] = MEAN_PROMPT,
    response_tokens: Annotated[
        float | None, typer.Option(help="Mean tokens of a response; else a quarter of train.max_tokens.")
    ] = None,
    degenerate_share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of groups without a signal, which dynamic sampling draws again."),
    ] = DEGENERATE,
    machine: Annotated[
        Path | None, typer.Option(help="machine.json of `asymgrpo accept`: measured rates in place of assumed ones.")
    ] = None,
) -> None:
    study = load_study(config, "--config")
    kind = gpu or study.machine.kind
    measured = read_measured(machine) if machine else ASSUMED
    done = reports(study, kind, gpus, prompt_tokens, response_tokens, measured, degenerate_share)
    warning = measured.warning(kind, gpu_kind_of(kind))
    rates = f"## Rates\n\n{table(['rate', 'value', 'from'], measured.rows())}"
    print("\n\n".join([f"# Plan of study {study.name} on {kind}", *([warning] if warning else []), *done, rates]))
