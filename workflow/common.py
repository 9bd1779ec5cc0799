"""What rules say of a study: settings of its tables, options of commands, inputs; nothing is written here."""

from __future__ import annotations

import shlex
from typing import Any

from asymgrpo.study.config import Study
from asymgrpo.study.layout import Layout, analysis_runs, main_runs, with_base
from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS
from asymgrpo.study.settings import (
    BASE,
    Plan,
    Settings,
    counts,
    dumps,
    graded,
    is_base,
    of_problems,
    part,
    probes,
    sampled,
    table,
    theory,
)
from containers.host import of_project

LOCK = "config/data.lock.yaml"
SCORES = {"scores", "analyses"}
"""Tables of estimates: of the arms of Table 1, and of every arm."""
DIFFERENCES = {"differences": "", "analysis_differences": "--against grpo"}
"""Tables of differences: between all pairs of Table 1's arms, and from every arm to GRPO -> options."""


def tables(study: Study, plan: Plan, layout: Layout) -> dict[str, Settings]:
    """Path of every table of the whole study -> the settings that it depends on."""
    evaluation, main = study.evaluation, [BASE, *study.study.arms]
    every = [*main, *study.study.analyses]
    k = {"k": evaluation.k}
    draws = {"draws": evaluation.bootstrap_draws, "bootstrap_seed": evaluation.bootstrap_seed}
    intervals = k | draws | {"seed_variance": evaluation.seed_variance}
    made: dict[str, tuple[list[str], dict[str, Any]]] = {
        **dict.fromkeys(("scores", "table1", "differences", "coverage", "budget"), (main, intervals)),
        **dict.fromkeys(("analyses", "analysis_differences"), (every, intervals)),
        "run_scores": (every, k),
        "claims": (every, k | {"endpoint": evaluation.endpoint}),
    }
    made["robust"] = (every, draws)
    made["dose_response"] = (every, k | draws)
    made["second_grader"] = (every, k)
    made["standard"] = (main, intervals)
    made["answers"] = (main, draws | {"seed_variance": evaluation.seed_variance})
    stated = {"paper": of_paper(study), "cutoffs": cutoffs(study)}
    made["table1"] = (main, intervals | {key: value for key, value in stated.items() if value})
    models, benchmarks = study.study.models, evaluation.benchmarks
    found = {name: table(part(plan, models, arms, benchmarks), **options) for name, (arms, options) in made.items()}
    arms = {"main": main, "analyses": study.study.analyses}
    found |= {f"counts/{name}": counts(part(plan, models, arms[name], benchmarks)) for name in parts(study)}
    found["contamination"] = table(of_problems(plan))
    found["theory"] = theory(study)
    found["probes"] = probes(study)
    found["repeatability"] = found["memorisation"] = table(part(plan, models, [BASE], benchmarks))
    for model in models:
        found |= dict.fromkeys(
            (f"repeats/{model}", f"continued/{model}"), table(part(plan, [model], [BASE], benchmarks))
        )
    templates = {"templates": evaluation.control_templates}
    for model in models:
        found[f"controls/{model}/templates"] = table(part(plan, [model], [BASE], benchmarks), **k, **draws, **templates)
    return {f"{layout.root}/{name}.parquet": settings for name, settings in found.items()}


def parts(study: Study) -> list[str]:
    """Parts of a study whose runs are counted apart (asymgrpo.study.layout.COUNTS)."""
    return ["main", *(["analyses"] if study.study.analyses else [])]


def made_of(study: Study) -> dict[str, list[str]]:
    """Table -> the parts of whose counts it is made."""
    found = {"scores": ["main"], "differences": ["main"], "coverage": ["main"], "run_scores": parts(study)}
    if study.study.analyses and "grpo" in study.study.arms:
        found |= {"analyses": parts(study), "analysis_differences": parts(study)}
    return found


def graded_files(layout: Layout, study: Study, name: str) -> list[str]:
    """The graded files of a part."""
    runs = with_base(study, main_runs(study)) if name == "main" else analysis_runs(study)
    return [layout.graded.format(**run) for run in runs]


def selections(layout: Layout, study: Study, name: str) -> list[str]:
    """The selections of a part's runs."""
    runs = main_runs(study) if name == "main" else analysis_runs(study)
    return [layout.selection.format(**run) for run in runs]


def of_paper(study: Study) -> dict[str, str]:
    """Model of the study -> which of the paper's it is, for those that are one."""
    models = {name: study.models[name].paper for name in study.study.models}
    return {name: paper for name, paper in models.items() if paper is not None}


def paper_option(study: Study) -> str:
    """The option of evals.tables.table1 that says so, or none."""
    return f"--paper {shlex.quote(dumps(paper))}" if (paper := of_paper(study)) else ""


def cutoffs(study: Study) -> dict[str, str]:
    """Model of the study -> the month after which it knows nothing, for those of which it is known."""
    months = {name: study.models[name].knowledge_cutoff for name in study.study.models}
    return {name: month for name, month in months.items() if month is not None}


def cutoffs_option(study: Study) -> str:
    """The option of evals.tables.table1 that says so, or none."""
    return f"--cutoffs {shlex.quote(dumps(found))}" if (found := cutoffs(study)) else ""


def graded_of(plan: Plan, wildcards: Any) -> Settings:
    """Settings of all graded samples of a run, for a job with the wildcards model, arm and seed."""
    return graded(plan, wildcards.model, wildcards.arm, int(wildcards.seed))


def sampled_of(plan: Plan, wildcards: Any) -> Settings:
    """Settings of all samples of a run, for the same wildcards."""
    return sampled(plan, wildcards.model, wildcards.arm, int(wildcards.seed))


def prepare_options(settings: Settings) -> str:
    """Options of asymgrpo.tasks.prepare that make the problem table of these settings.

    >>> prepare_options({"of": "problems", "dataset": "chain2", "source": "embedded", "embedded_n": 8})
    '--dataset chain2 --source embedded --embedded-n 8'
    """
    named = {key.replace("_", "-"): value for key, value in settings.items() if key != "of"}
    return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in named.items())


def base_model_command(settings: Settings) -> str:
    """The command that makes a base model of these settings, but for --out."""
    if settings["kind"] == "tiny":
        return f"asymgrpo.models.tiny --spec {shlex.quote(dumps(settings['spec']))}"
    hub = (
        f" --hub-id {shlex.quote(settings['hub_id'])} --lock {shlex.quote(of_project(LOCK))}"
        if settings["kind"] == "hub"
        else ""
    )
    return f"asymgrpo.models.load --kind {settings['kind']}{hub}"


def weights(layout: Layout, model: str, arm: str, seed: str) -> str:
    """The folder of weights to sample from: a base model, or a run's candidates."""
    if is_base(arm):
        return layout.base_model.format(model=model)
    return f"{layout.run.format(model=model, arm=arm, seed=seed)}/candidates"


def weights_inputs(layout: Layout, model: str, arm: str, seed: str) -> dict[str, str]:
    """The small files that stand for these weights among a job's inputs: they name what the weights are of."""
    if is_base(arm):
        return {"base": layout.base_manifest.format(model=model)}
    run = {"model": model, "arm": arm, "seed": seed}
    return {"done": layout.done.format(**run), "selection": layout.selection.format(**run)}


def operation(study: Study, model: str) -> dict[str, Any]:
    """How a model's training is carried out: the fields of `train` that results do not depend on."""
    return study.train_of(model).model_dump(mode="json", include=set(NO_EFFECT_ON_RESULTS))
