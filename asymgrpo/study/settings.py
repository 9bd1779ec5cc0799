"""What each result of a study depends on: the settings that a job is given, its result states, and every reader asks for.

A `Plan` is the part of a configuration that results depend on, as plain JSON. From it every function here derives the settings
of one result. The workflow gives them to the job that makes it; the job writes them into the result; whoever reads the result
compares them with those that the configuration asks for (asymgrpo.study.agreement). So no scheduler can mix two configurations:
a result of another one is refused by name. What has no effect on results (NO_EFFECT_ON_RESULTS of sections/train.py,
`machine`, `containers`) is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.errors import InputError

if TYPE_CHECKING:
    from asymgrpo.study.config import Study

Settings = dict[str, Any]
"""Of one result; the key `of` says which kind it is."""
Plan = dict[str, Any]
"""{models, arms, seeds, problems, n_samples, selection}: everything that the results of a study depend on; also {n_base} where
the base model has samples of its own number, and of a declared study {protocol}, the sha256 of its protocol."""

BASE = "base"
"""The name under which the untrained model appears among the arms; `base@TEMPLATE` is the same under another prompt template."""
TRAINING_SETS = ("train", "validation")


class SettingsError(InputError):
    """A result was made with other settings than those asked for; the message names it, the keys and the remedy."""


# --- from a study to the settings of its results ---------------------------------------------------------------------------


def plan_of(study: Study) -> Plan:
    """The part of a configuration that results depend on."""
    from asymgrpo.method.arms import get_arm

    named = [*study.study.arms, *study.study.analyses]
    return {
        "models": {name: _model(study, name) for name in study.study.models},
        "arms": {name: get_arm(name, study.changes_of(name)).settings() for name in named},
        "seeds": dict.fromkeys(study.study.analyses, sorted(study.study.analysis_seeds))
        | dict.fromkeys(study.study.arms, sorted(study.study.seeds)),
        "problems": {name: _problems(study, name) for name in (*TRAINING_SETS, *study.evaluation.benchmarks)},
        "n_samples": {name: study.evaluation.n_samples(name) for name in study.evaluation.benchmarks},
        "selection": list(study.evaluation.selection),
    } | (_base_samples(study) | _protocol(study))


def _base_samples(study: Study) -> Settings:
    """{n_base: samples per problem} where the base model has others than the arms."""
    if study.evaluation.base_samples is None:
        return {}
    return {"n_base": {name: study.evaluation.n_base(name) for name in study.evaluation.benchmarks}}


TAKEN = "sha256:"
"""How a configuration names a protocol whose file has been read (workflow.protocols): by its sha256, wherever it lies."""


def _protocol(study: Study) -> Settings:
    """{protocol: sha256} of a study that is declared, so that each of its runs states it; nothing of another.

    Raises:
        SettingsError: the protocol's file has not been read.
    """
    if study.protocol is None:
        return {}
    if not study.protocol.startswith(TAKEN):
        raise SettingsError(f"config: protocol = {study.protocol!r} has not been read; only snakemake reads it.")
    return {"protocol": study.protocol.removeprefix(TAKEN)}


def _n_base(plan: Plan, benchmarks: Iterable[str]) -> Settings:
    """`n_base` of a plan, for a part of it."""
    return {"n_base": {name: plan["n_base"][name] for name in benchmarks}} if "n_base" in plan else {}


def _declared(plan: Plan) -> Settings:
    """The protocol of a plan, for a part of it or a run."""
    return {"protocol": plan["protocol"]} if "protocol" in plan else {}


def _model(study: Study, name: str) -> Settings:
    from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS

    model, train, evaluation = study.models[name], study.train_of(name), study.evaluation_of(name)
    return {
        "base": {"of": "base model", "kind": model.kind} | _made_from(model),
        "template": model.template,
        "train": train.model_dump(mode="json", exclude=set(NO_EFFECT_ON_RESULTS)),
        "evaluation": {
            **{key: getattr(evaluation, key) for key in ("temperature", "top_p", "max_tokens", "engine", "batch")},
            "dtype": train.dtype,
        },
    }


def _made_from(model: Any) -> Settings:
    if model.kind == "tiny":
        from asymgrpo.study.tiny_spec import parse_spec

        return {"spec": parse_spec(model.spec).model_dump(mode="json")}
    return {"hub_id": model.hub_id} if model.kind == "hub" else {}


def _problems(study: Study, name: str) -> Settings:
    """Options of asymgrpo.tasks.prepare that decide what a table holds; files are checked by content, wherever they lie."""
    data, training = study.data, name in TRAINING_SETS
    found: Settings = {"dataset": data.train if training else name, "source": data.source}
    if training:
        found |= {"split": name, "validation_size": data.validation_size}
        found |= {} if data.split_by == "problem" else {"split_by": data.split_by}
    if data.source == "embedded":
        size = data.embedded.train_size if training else data.embedded.benchmark_size
        found |= {"embedded_n": size, "embedded_seed": data.embedded.seed}
    limit = data.train_limit if name == "train" else None if training else study.evaluation.limit
    return {"of": "problems", **found} | ({} if limit is None else {"limit": limit})


def part(plan: Plan, models: Iterable[str], arms: Iterable[str], benchmarks: Iterable[str]) -> Plan:
    """The plan of some models, arms (`base` may be among them) and benchmarks: what a table of these depends on."""
    named, trained = list(benchmarks), [name for name in dict.fromkeys(arms) if not is_base(name)]
    return {
        "models": {name: plan["models"][name] for name in dict.fromkeys(models)},
        "arms": {name: plan["arms"][name] for name in trained},
        "seeds": {name: plan["seeds"][name] for name in trained},
        "problems": {name: plan["problems"][name] for name in (*TRAINING_SETS, *named)},
        "n_samples": {name: plan["n_samples"][name] for name in named},
        "selection": plan["selection"],
    } | (_n_base(plan, named) | _declared(plan))


def of_training(plan: Plan) -> Plan:
    """The part of a plan that training runs depend on: without evaluation after training."""
    sets = [*TRAINING_SETS, *selection_benchmarks(plan["selection"])]
    models = {
        name: {key: value for key, value in model.items() if key != "evaluation"}
        for name, model in plan["models"].items()
    }
    problems = {name: plan["problems"][name] for name in sets}
    return plan | {"models": models, "problems": problems, "n_samples": {}} | _n_base(plan, [])


def of_problems(plan: Plan) -> Plan:
    """The part of a plan that problem tables depend on."""
    return {"models": {}, "arms": {}, "seeds": {}, "problems": plan["problems"], "n_samples": {}, "selection": []}


# --- settings of one result ------------------------------------------------------------------------------------------------


def problems(plan: Plan, name: str) -> Settings:
    """Of the problem table `train`, `validation` or a benchmark."""
    return plan["problems"][name]


def base_model(plan: Plan, model: str) -> Settings:
    return plan["models"][model]["base"]


def run(plan: Plan, model: str, arm: str, seed: int) -> Settings:
    """Of one training run."""
    about = plan["models"][model]
    sets = [*TRAINING_SETS, *selection_benchmarks(plan["selection"])]
    return {
        "of": "run",
        "model": model,
        "seed": int(seed),
        "base": about["base"],
        "template": about["template"],
        "arm": plan["arms"][arm],
        "train": about["train"],
        "problems": {name: plan["problems"][name] for name in sets},
    } | _declared(plan)


def graded(plan: Plan, model: str, arm: str, seed: int) -> Settings:
    """Of all graded samples of one run, or of the base model under a template."""
    about = plan["models"][model]
    samples_of = plan["n_samples"] | (plan.get("n_base", {}) if arm == BASE else {})
    source = {"of": "base model", **about["base"]} if is_base(arm) else run(plan, model, arm, seed)
    return {
        "of": "graded",
        "model": model,
        "arm": arm,
        "seed": int(seed),
        "source": source,
        "selection": [] if is_base(arm) else plan["selection"],
        "template": template_of(about["template"], arm),
        "evaluation": about["evaluation"],
        "benchmarks": {name: {"problems": plan["problems"][name], "n_samples": n} for name, n in samples_of.items()},
    }


def sampled(plan: Plan, model: str, arm: str, seed: int) -> Settings:
    """Of all samples of one run, or of the base model under a template, before they are graded."""
    return graded(plan, model, arm, seed) | {"of": "sampled"}


def samples(all_of_run: Settings, benchmark: str) -> Settings:
    """Of the samples of one benchmark, out of the settings of all samples of the run (`sampled` or `graded`)."""
    shared = {key: value for key, value in all_of_run.items() if key != "benchmarks"}
    return shared | {"of": "samples", "benchmark": benchmark} | all_of_run["benchmarks"][benchmark]


def table(plan: Plan, **options: Any) -> Settings:
    """Of a table, figure or bundle made from everything in a plan (`part`), with the options of its estimates (k, draws, ...)."""
    return {"of": "table", "plan": plan, "options": options}


COUNTED = 2
"""Raised when counts get other columns (evals.tables.counts), so that those of before are made again."""


def counts(plan: Plan) -> Settings:
    """Of the counts of everything in a plan (`part`). Tables are made of the counts of several parts."""
    return {"of": "counts", "columns": COUNTED, "plan": plan}


def theory(study: Study) -> Settings:
    """Of the table of the theory: no result of a study enters it; every arm of the library is in it, and the study's own arms."""
    from asymgrpo.method.arms import ARMS, get_arm

    named = dict.fromkeys([*ARMS, *study.study.arms, *study.study.analyses])
    arms = {name: get_arm(name, study.changes_of(name)).settings() for name in named}
    nothing: Plan = {"models": {}, "arms": {}, "seeds": {}, "problems": {}, "n_samples": {}, "selection": []}
    return table(nothing, group_size=study.train.group_size, theory=study.theory.model_dump(mode="json"), arms=arms)


NOT_OF_A_STATE = ("steps", "token_budget", "displacement_every", "rollouts_every")
"""Fields of `train` that a state within a run does not depend on, beside those of its evaluation."""


def probe(study: Study, model: str, seed: int) -> Settings:
    """Of the probes along one GRPO run (asymgrpo.probe): in float32 on one device, whatever precision the study trains in."""
    from asymgrpo.method.arms import GRPO, get_arm

    about, section = _model(study, model), study.probe.model_dump(mode="json")
    train = {k: v for k, v in about["train"].items() if k not in NOT_OF_A_STATE and not k.startswith("evaluate_")}
    arms = [GRPO.name, *(name for name in study.probe.arms if name != GRPO.name)]
    fields = {name: get_arm(name, study.changes_of(name)).settings() for name in arms}
    return {
        "of": "probe",
        "model": model,
        "seed": int(seed),
        "base": about["base"],
        "template": about["template"],
        "arm": fields.pop(GRPO.name),
        "arms": fields,
        "train": train | {"dtype": "float32", "zero_stage": 0, "offload": False},
        "problems": {name: _problems(study, name) for name in TRAINING_SETS},
        "probe": {key: section[key] for key in ("batches", "responses", "prompts", "linear_prompts")},
        "states": section["states"],
    }


def probes(study: Study) -> Settings:
    """Of the table of all probes of a study."""
    nothing: Plan = {"models": {}, "arms": {}, "seeds": {}, "problems": {}, "n_samples": {}, "selection": []}
    of_models = [probe(study, model, 0) for model in study.study.models]  # seeds of a model differ in nothing else
    return table(nothing, probes=[of_one | {"seed": int(seed)} for of_one in of_models for seed in study.probe.seeds])


def selection_benchmarks(rules: Iterable[str]) -> list[str]:
    """Benchmarks that selection rules look at.

    >>> selection_benchmarks(["last", "best_on:chain4", "validation"])
    ['chain4']
    """
    return list(dict.fromkeys(rule.split(":", 1)[1] for rule in rules if rule.startswith("best_on:")))


def place(stated: Settings) -> str | None:
    """Where, below the folder of results, a result of these settings lies: a run's folder, else a file; None of other kinds.

    >>> place({"of": "graded", "model": "tiny", "arm": "base", "seed": 0})
    'graded/tiny/base/seed0.parquet'
    """
    match stated["of"]:
        case "run":
            return f"runs/{stated['model']}/{stated['arm']['name']}/seed{stated['seed']}"
        case "graded":
            return f"graded/{stated['model']}/{stated['arm']}/seed{stated['seed']}.parquet"
        case "problems":
            return f"data/{stated.get('split') or stated['dataset']}.parquet"
    return None


def is_base(arm: str) -> bool:
    """Whether an arm's name means the untrained model.

    >>> is_base("base"), is_base("base@plain_boxed"), is_base("grpo")
    (True, True, False)
    """
    return arm.split("@")[0] == BASE


def template_of(own: str, arm: str) -> str:
    """The prompt template of an arm: the model's own, or that of `base@TEMPLATE`.

    >>> template_of("plain", "grpo"), template_of("plain", "base@chat")
    ('plain', 'chat')
    """
    return arm.split("@", 1)[1] if "@" in arm else own


# --- as text ---------------------------------------------------------------------------------------------------------------


def dumps(settings: Mapping[str, Any]) -> str:
    """Settings as a command's argument: one line, keys in their order."""
    return json.dumps(settings, separators=(",", ":"))


def loads(text: str) -> Settings:
    """Settings of a command's argument: JSON, or the name of a file with it. Raises SettingsError."""
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"--settings: {text!r} is neither JSON nor a readable file ({error.strerror})."
            ) from None
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--settings: not valid JSON ({error}).") from None
