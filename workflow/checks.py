"""What a well-formed configuration must also mean: each check returns one sentence naming the key and the remedy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from asymgrpo.study.config import ConfigError, Study, Train, indivisible, parse
from containers.host import ROOT, in_checkout
from workflow.checks_places import places
from workflow.checks_sampling import pass_at_k, sampling, used_models
from workflow.common import LOCK


def load(mapping: dict[str, Any]) -> Study:
    """A study that has both the right shape and a meaning. Raises ConfigError, one sentence per problem."""
    study = parse(mapping)
    problems = check_meaning(study)
    if problems:
        raise ConfigError("\n".join(problems))
    return study


def read_once(files: Iterable[Path]) -> None:
    """Raises ConfigError when a key is twice in one of the files that --configfile names."""
    if problems := [sentence for path in files for sentence in repeated_keys(Path(path))]:
        raise ConfigError("\n".join(problems))


def repeated_keys(path: Path) -> Iterator[str]:
    """A sentence for every key that a file of YAML or JSON has twice: its first value would be lost without a word."""
    import yaml

    try:
        top = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # said by Snakemake, which reads it as well
        return
    nodes, seen = [top], set[int]()
    while nodes:
        node = nodes.pop(0)
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in lines and isinstance(key, yaml.ScalarNode):
                    yield (
                        f"config: {path}: key {key.value!r} is there twice (lines {lines[key.value]} and {line}); join them."
                    )
                lines.setdefault(key.value if isinstance(key, yaml.ScalarNode) else str(key), line)
                nodes.append(value)


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
        _data,
        _artifacts,
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
        for updates, group in sorted({(train.updates_per_rollout, train.group_size) for _, train in _trains(study)}):
            try:
                arm = get_arm(name, study.changes_of(name))
                check_arm(arm, updates, group)
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


def _data(study: Study) -> Iterator[str]:
    from asymgrpo.tasks.spec import dataset_spec, known_names

    if study.artifacts is not None:  # the problems are in the bundle
        return
    if study.data.source == "directory" and study.data.dir is None:
        yield "config: data.source is 'directory' but data.dir is not set; give the folder with the data files."
        return
    if study.data.train not in known_names():
        yield f"config: data.train names {study.data.train!r}; known are {', '.join(known_names())}."
        return
    names = [name for name in [study.data.train, *study.evaluation.benchmarks] if name in known_names()]
    expected = "generated" if study.data.source == "embedded" else "files"
    foreign = [name for name in names if dataset_spec(name).source != expected]
    if foreign:
        yield f"config: data.source {study.data.source!r} does not have {', '.join(foreign)}; use others or another source."
    elif study.data.source != "embedded":
        yield from _elsewhere(study.data.source, names)
    if study.data.source == "directory" and not foreign:
        yield from _files(study, names)
    yield from _enough(study)


def _elsewhere(source: str, names: list[str]) -> Iterator[str]:
    """Some sets are known as a file only, others on the hub only."""
    from asymgrpo.tasks.spec import dataset_spec

    specs = [dataset_spec(name) for name in names]
    other = {"directory": "hub", "hub": "directory"}[source]
    lacking = [spec.name for spec in specs if (spec.file if source == "directory" else spec.hub) is None]
    if lacking:
        yield (
            f"config: data.source {source!r} does not have {', '.join(lacking)}; evaluate on others, or on these in a study with "
            f"data.source {other!r}."
        )


def _enough(study: Study) -> Iterator[str]:
    """Some problems must be left to train on."""
    from asymgrpo.tasks.lock import read_lock

    data, rows, key = study.data, study.data.embedded.train_size, "data.embedded.train_size"
    if data.source != "embedded":
        locked = read_lock(ROOT / LOCK).datasets.get(data.train)
        if locked is None:
            return
        rows, key = locked.rows, data.train
    if data.validation_size >= rows:
        yield (
            f"config: data.validation_size = {data.validation_size} leaves none of the {rows} problems of {key} to train on; "
            "lower it."
        )


def _artifacts(study: Study) -> Iterator[str]:
    if study.artifacts is None:
        return
    from asymgrpo.study.layout import leaves
    from evals.artifacts.bundle_files import open_bundle

    files = open_bundle(study.artifacts).files
    if lacking := [name for name in leaves(study) if name not in files]:
        yield f"config: artifacts: the bundle lacks {lacking[0]} (and {len(lacking) - 1} more); make it again with this version."


def _files(study: Study, names: list[str]) -> Iterator[str]:
    from asymgrpo.tasks.spec import dataset_spec

    for name in names:
        if (file := dataset_spec(name).file) is None:
            continue  # refused by its source
        path = Path(study.data.dir or "") / file
        if not path.is_file():
            yield f"config: data.dir: the file {str(path)!r} of data set {name!r} is missing; put it there or correct data.dir."
