"""What a well-formed configuration must also mean: each check returns one sentence naming the key and the remedy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

from asymgrpo.study.config import ConfigError, Study, parse
from asymgrpo.study.sections.train import Train, indivisible
from containers.host import in_checkout
from workflow.checks_data import bundle_there, data_there
from workflow.checks_places import places
from workflow.checks_sampling import pass_at_k, sampling, used_models


def load(mapping: dict[str, Any]) -> Study:
    """A study that has both the right shape and a meaning. Raises ConfigError, one sentence per problem."""
    study = parse(mapping)
    problems = check_meaning(study)
    if problems:
        raise ConfigError("\n".join(problems))
    return study


def check_meaning(study: Study) -> list[str]:
    """Every problem found, as sentences; an empty list means that the study makes sense."""
    checks = (
        _names,
        _models,
        _arms,
        _probe,
        _batch,
        _machine,
        _containers,
        _top_p,
        sampling,
        _evaluation,
        _templates,
        _selection,
        data_there,
        bundle_there,
        places,
    )
    return [sentence for check in checks for sentence in check(study)]


def _names(study: Study) -> Iterator[str]:
    """Names become parts of paths, of keys (models.NAME.train) and of arms (base@TEMPLATE)."""
    for name in study.models:
        if not re.fullmatch(r"\w[\w-]*", name):
            yield f"config: models has the name {name!r}; use letters, digits, _ and - only."
    if not re.fullmatch(r"[^\s.\-/\\{}\"$`]([^\n\r\t/\\{}\"$`]*[^\s/\\{}\"$`])?", study.name):
        yield (
            f"config: name = {study.name!r} names a file; leave out slashes, braces, double quotes, $, backquotes and line "
            "breaks, and begin with a letter."
        )


def _models(study: Study) -> Iterator[str]:
    from evals.tables.paper_values import MODEL

    for name in study.study.models:
        if name not in study.models:
            known = ", ".join(sorted(study.models))
            yield f"config: study.models names {name!r}, which models does not define; define it or use {known}."
    for name, model in study.models.items():
        if model.paper not in (None, MODEL):
            yield f"config: models.{name}.paper = {model.paper!r} is no model of the paper's table; use {MODEL!r} or null."
        if model.kind == "hub" and not model.hub_id:
            yield f"config: models.{name}.hub_id is missing; name the repository on the hub."
        elif model.hub_id and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model.hub_id):
            yield f"config: models.{name}.hub_id = {model.hub_id!r} is no repository of the hub; write OWNER/NAME."


def _arms(study: Study) -> Iterator[str]:
    from asymgrpo.errors import ArmError
    from asymgrpo.method.arm import UserFunction
    from asymgrpo.method.arms import ALL, check_arm, get_arm
    from asymgrpo.method.user_function import check_function

    plan = study.study
    for name in sorted(set(plan.arms) & set(plan.analyses)):
        yield f"config: {name!r} is among both study.arms and study.analyses; leave it in one."
    if plan.analyses and not plan.analysis_seeds:
        yield "config: study.analyses needs study.analysis_seeds; list at least one seed."
    for name in dict.fromkeys([*plan.arms, *plan.analyses, *(set(study.arms) - {ALL})]):
        for updates, group, truncated in sorted(
            {(train.updates_per_rollout, train.group_size, train.truncated) for _, train in _trains(study)}
        ):
            try:
                arm = get_arm(name, study.changes_of(name))
                check_arm(arm, updates, group, truncated)
                if isinstance(arm.advantage, UserFunction) and study.artifacts is None:  # a bundle's code is not run
                    check_function(arm.advantage, name, group)
            except ArmError as error:
                key = (
                    "study.analyses" if name in plan.analyses else "study.arms" if name in plan.arms else f"arms.{name}"
                )
                yield f"config: {key}: {error}"


def _probe(study: Study) -> Iterator[str]:
    from asymgrpo.errors import ArmError
    from asymgrpo.method.arms import get_arm

    for name in study.probe.arms:
        try:
            arm = get_arm(name, study.changes_of(name))
        except ArmError as error:
            yield f"config: probe.arms: {error}"
            continue
        if arm.dynamic_sampling is not None:
            yield f"config: probe.arms: {name} draws prompts of its own, so that no batch is the same for all; leave it out."


def _trains(study: Study) -> Iterator[tuple[str, Train]]:
    """The key and the value of every training section that is used: the study's, or a model's own."""
    for name in used_models(study):
        yield f"models.{name}.train" if study.models[name].train else "train", study.train_of(name)


def _batch(study: Study) -> Iterator[str]:
    for where, train in dict(_trains(study)).items():
        yield from indivisible(train, where)
        if train.offload and train.zero_stage == 0:
            yield f"config: {where}.offload needs {where}.zero_stage 1, 2 or 3; set one or turn offload off."
        if train.dtype == "bfloat16" and train.zero_stage == 0:
            yield (
                f"config: {where}.zero_stage = 0 would add bfloat16 gradients up in bfloat16; set it to 1, 2 or 3 (on one rank "
                "they cost the same memory)."
            )


def _machine(study: Study) -> Iterator[str]:
    """A GPU kind must be known and the plan must fit it; on a CPU nothing is known, so that limits must be given."""
    from asymgrpo.planner.plan import check_fits
    from asymgrpo.planner.time import gpu_kind_of

    machine = study.machine
    if not machine.has_gpus:
        for key in ("memory_gb", "hours"):
            if getattr(machine, key) is None:
                yield f"config: machine.{key} must be given when machine.kind is cpu; the planner knows GPU kinds only."
        return
    try:
        gpu_kind_of(machine.kind)
    except ConfigError as error:
        yield f"config: machine.kind = {machine.kind!r} is neither cpu nor a GPU kind: {error}"
        return
    if not any(_models(study)):
        yield from (f"config: {sentence}" for sentence in check_fits(study, machine.kind))


def _containers(study: Study) -> Iterator[str]:
    containers = study.containers
    if containers.mode == "none":
        return
    if not in_checkout():
        yield "config: containers take their definitions from the checkout; call snakemake there, or set containers to none."
    if not shutil.which("apptainer"):
        yield (
            "config: containers is apptainer, but no apptainer is on PATH; load or install Apptainer 1.2 or newer "
            "(`module load apptainer` on many clusters), or set containers to none."
        )
    for image, path in containers.images.items():
        if not path.is_file():
            yield f"config: containers.images.{image}: the file {str(path)!r} is missing; correct it, or leave it out."
    if len(containers.images) < 3:
        if not containers.lock.is_file():
            yield f"config: containers.lock: the file {str(containers.lock)!r} is missing; take one of requirements/."
        if containers.wheels is not None and not containers.wheels.is_dir():
            yield f"config: containers.wheels: the directory {str(containers.wheels)!r} is missing; correct it, or set null."


def _top_p(study: Study) -> Iterator[str]:
    for where, train in dict(_trains(study)).items():
        if train.top_p != 1:
            yield (
                f"config: {where}.top_p = {train.top_p} would bias every ratio by the probability mass that it drops; "
                "set it to 1 (evaluation.top_p is free)."
            )


def _evaluation(study: Study) -> Iterator[str]:
    from asymgrpo.tasks.benchmarks import BENCHMARKS

    evaluation = study.evaluation
    if "default" not in evaluation.samples:
        yield "config: evaluation.samples needs a key 'default'; add the number of samples per problem."
        return
    unknown = [name for name in evaluation.benchmarks if name not in BENCHMARKS]
    if unknown:
        yield f"config: evaluation.benchmarks names {', '.join(map(repr, unknown))}; known are {', '.join(BENCHMARKS)}."
    yield from _descriptions(name for name in evaluation.benchmarks if name in BENCHMARKS)
    for name in evaluation.samples:
        if name not in ("default", *BENCHMARKS):
            yield f"config: evaluation.samples.{name}: there is no such benchmark; known are default, {', '.join(BENCHMARKS)}."
    yield from pass_at_k(evaluation)


def _descriptions(names: Iterable[str]) -> Iterator[str]:
    """A benchmark whose file lacks something, its licence for one, is refused before anything is measured on it."""
    from asymgrpo.errors import DataError
    from asymgrpo.tasks.benchmarks import load as load_benchmark

    for name in names:
        try:
            load_benchmark(name)
        except DataError as error:
            yield f"config: evaluation.benchmarks: {error}"


def _templates(study: Study) -> Iterator[str]:
    from asymgrpo.tasks.prompts import TEMPLATES

    used = [(f"models.{name}.template", model.template) for name, model in study.models.items()]
    used += [("evaluation.control_templates", name) for name in study.evaluation.control_templates]
    for key, template in used:
        if template not in TEMPLATES:
            yield f"config: {key} names {template!r}; known templates are {', '.join(TEMPLATES)}."


def _selection(study: Study) -> Iterator[str]:
    for rule in study.evaluation.selection:
        match = re.fullmatch(r"last|validation|best_on:(\w+)", rule)
        if not match:
            yield f"config: evaluation.selection has {rule!r}; use last, validation or best_on:<benchmark>."
        elif match[1] and match[1] not in study.evaluation.benchmarks:
            yield f"config: evaluation.selection has {rule!r}, but {match[1]!r} is not among evaluation.benchmarks; add it there."
