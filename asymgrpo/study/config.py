"""The study's configuration: its sections (asymgrpo.study.sections), checked before anything runs.

`parse` turns a plain mapping into a `Study` or raises `ConfigError`, a sentence per problem. What a well-formed study must
also mean (names that exist, sizes that divide) is checked in workflow/checks.py, before the DAG is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from asymgrpo.errors import InputError
from asymgrpo.section import Section
from asymgrpo.study.config_errors import NAME, known_keys, sentence
from asymgrpo.study.sections.data import Data
from asymgrpo.study.sections.evaluation import PER_MODEL, Evaluation
from asymgrpo.study.sections.machine import Containers, Machine
from asymgrpo.study.sections.model import Model
from asymgrpo.study.sections.plan import Plan
from asymgrpo.study.sections.probe import Probe
from asymgrpo.study.sections.theory import Theory
from asymgrpo.study.sections.train import Train


class ConfigError(InputError):
    """The configuration is wrong; the message names the key and the remedy."""


class Study(Section):
    """A whole study: the top level of a configuration file."""

    name: str
    """Of the study, in its reports and in the file name of its bundle."""
    results: Path
    """Folder of everything that the workflow makes, but for resumable checkpoints."""
    checkpoints: Path
    """Folder of resumable checkpoints: outside the declared outputs, so that a failed job does not lose them."""
    study: Plan
    """What is run: every model x arm x seed."""
    data: Data
    """Where problems come from."""
    models: dict[str, Model]
    """Base models by name; `study.models` says which of them are run."""
    arms: dict[str, dict[str, Any]] = Field(default={})
    """Changed fields of arms by the name of the arm, for example {grpo_entropy: {entropy_coef: 0.01}}; new arms, which have the
    key `base`: {mine: {base: asymgrpo, clip_high: 0.3}}. `all` changes all arms that it can act on: {all: {dual_clip: 3.0}}."""
    train: Train
    """Everything about training that all arms share."""
    evaluation: Evaluation
    """How trained models and base models are measured."""
    theory: Theory
    """The tabular study, which needs no model."""
    probe: Probe
    """The one-update probes, which `snakemake probe` makes."""
    machine: Machine
    """What one training job asks of the machine or cluster that it runs on."""
    containers: Annotated[Containers, Field(exclude=True)]
    """The images that jobs run in; a plain word is the mode, with the other keys at their defaults. Not written into results:
    proofs/ says where a job ran, what it computed is the same."""
    protocol: str | None = None
    """Protocol that `asymgrpo prereg` wrote before the runs: each run states its sha256, and nothing starts when the study has
    changed since. A path; null: the study is exploratory."""
    artifacts: Annotated[str | None, Field(exclude=True)] = None
    """Bundle (zip file, folder or URL) whose results take the place of data, training and grading; null makes them.
    Not written into results: they are the same either way."""
    on_top_of: Annotated[Path | None, Field(exclude=True)] = None
    """File of this project that the file with this key belongs on top of, for example config/paper.yaml: unless it is given
    before, nothing starts. Only for files, `--config` cannot set it. Not written into results."""

    def changes_of(self, arm: str) -> dict[str, Any]:
        """What `arms` changes of one arm: its own changes, and those of all arms that act on it."""
        from asymgrpo.method.arms import ALL, acting, get_arm

        own, every = self.arms.get(arm, {}), self.arms.get(ALL, {})
        return (acting(get_arm(arm, own), every) | own) if every else own

    def train_of(self, model: str) -> Train:
        """`train` with the changes of one of the models."""
        return Train.model_validate(self.train.model_dump() | self.models[model].train)

    def evaluation_of(self, model: str) -> Evaluation:
        """`evaluation` with the changes of one of the models."""
        return Evaluation.model_validate(self.evaluation.model_dump() | self.models[model].evaluation)


def parse(mapping: dict[str, Any]) -> Study:
    """The study of a plain mapping (Snakemake's merged `config`). Raises ConfigError naming every wrong key.

    What sections cannot check alone (a model's changes, a tiny model's spec, changed fields of arms) is checked here, and
    replaced by its values: text that means a number is that number in the files that jobs read.
    """
    try:
        study = Study.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError("\n".join(sentence(e, KEYS) for e in error.errors())) from None
    problems: list[str] = []
    models = {name: _model(study, name, problems) for name in study.models}
    arms = {name: _arm_changes(name, changes, problems) for name, changes in study.arms.items()}
    if problems:
        raise ConfigError("\n".join(problems))
    return study.model_copy(update={"models": models, "arms": arms})


def _model(study: Study, name: str, problems: list[str]) -> Model:
    """A model with the values of what it changes and of its spec; sentences about wrong ones are added to `problems`."""
    model = study.models[name]
    changed: dict[str, Any] = {"spec": _spec(name, model, problems)}
    for section, merged in (("train", study.train_of), ("evaluation", study.evaluation_of)):
        given = getattr(model, section)
        try:
            values = merged(name).model_dump(mode="json")
            changed[section] = {key: values[key] for key in given}
        except ValidationError as error:
            problems += [sentence(e, KEYS, ("models", name, section)) for e in error.errors()]
    for key in model.evaluation:
        if key in Evaluation.model_fields and key not in PER_MODEL:
            problems.append(
                f"config: models.{name}.evaluation.{key} would give this model other questions than the rest; only "
                f"{', '.join(PER_MODEL)} may differ."
            )
    return model.model_copy(update=changed)


def _spec(name: str, model: Model, problems: list[str]) -> dict[str, Any]:
    from asymgrpo.study.tiny_spec import TinySpec

    if model.kind != "tiny":
        if model.spec:
            problems.append(f"config: models.{name}.spec describes tiny models, this one is {model.kind!r}; remove it.")
        return {}
    try:
        return TinySpec.model_validate(model.spec).model_dump(mode="json")
    except ValidationError as error:
        problems += [sentence(e, KEYS, ("models", name, "spec")) for e in error.errors()]
        return {}


def _arm_changes(name: str, changes: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    from asymgrpo.errors import ArmError
    from asymgrpo.method.arms import ALL, get_arm
    from asymgrpo.study.user_arms import with_sources

    if name == ALL:
        return _changes_of_all(changes, problems)
    try:
        changes = with_sources({"arms": {name: changes}}, Path())["arms"][name]
        values = get_arm(name, changes).model_dump(mode="json")
    except ArmError as error:
        problems.append(f"config: {error}" if f"arms.{name}" in str(error) else f"config: arms.{name}: {error}")
        return {}
    defined = {key: changes[key] for key in ("base", "python") if key in changes}
    changed = [key for key in changes if key not in defined]
    return defined | {key: values[key] if key in values else values["advantage"][key] for key in changed}


def _changes_of_all(changes: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The same under `arms.all`, where a key must be one of grpo's: a field of every arm, or of its standard deviation."""
    from asymgrpo.method.arms import ALL, GRPO

    if "advantage" in changes:
        problems.append("config: arms.all.advantage would make all arms one; change parameters by their own names.")
        return {}
    found: list[str] = []
    values = _arm_changes(GRPO.name, changes, found)
    problems += [text.replace(f"arms.{GRPO.name}", f"arms.{ALL}") for text in found]
    return values


def _all_keys() -> tuple[tuple[str, ...], ...]:
    """Known keys, those that a model may change and those of a tiny model's spec included."""
    from asymgrpo.study.tiny_spec import TinySpec

    below = {"train": known_keys(Train), "evaluation": ((key,) for key in PER_MODEL), "spec": known_keys(TinySpec)}
    return (
        *known_keys(Study),
        *(("models", NAME, section, *path) for section, paths in below.items() for path in paths),
    )


KEYS = _all_keys()


def parse_section(name: str, mapping: dict[str, Any]) -> Any:
    """One section of a study by its key (train, evaluation, ...), as `parse` would make it."""
    kind = Study.model_fields[name].annotation
    try:
        return kind.model_validate(mapping)  # type: ignore[union-attr]
    except ValidationError as error:
        raise ConfigError("\n".join(sentence(e, KEYS, (name,)) for e in error.errors())) from None
