"""Paths, the expansion of arm x model x seed, and the command prefix of a job; nothing is written here."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asymgrpo.provenance import COMMIT_VARIABLE, commit_of_code
from asymgrpo.study.config import NO_EFFECT_ON_RESULTS, Study
from asymgrpo.study.settings import (
    BASE,
    Plan,
    Settings,
    dumps,
    graded,
    is_base,
    of_problems,
    part,
    samples,
    selection_benchmarks,
    table,
)

LOCK = "config/data.lock.yaml"
ROOT = Path(__file__).resolve().parents[1]


def in_checkout() -> bool:
    """Whether snakemake was called in the checkout; elsewhere (--snakefile, --directory) one may be that cannot be written."""
    return Path.cwd().resolve() == ROOT


def of_project(name: str) -> str:
    """A file of the project as rules name it: as it is in the checkout, where results know it so, else with its whole path.

    >>> of_project("config/default.yaml").endswith("config/default.yaml")
    True
    """
    return name if in_checkout() else str(ROOT / name)


class Layout:
    """Where every file of a study lies, as patterns with Snakemake's wildcards in braces."""

    def __init__(self, study: Study):
        root = study.results
        self.root = f"{root}"
        self.logs, self.benchmarks = f"{root}/logs", f"{root}/benchmarks"
        self.study = f"{root}/config/study.json"
        self.operation = f"{root}/config/operation/{{model}}.json"
        self.problems = f"{root}/data/{{dataset}}.parquet"
        self.base_model = f"{root}/models/{{model}}/base"
        self.base_manifest = f"{self.base_model}/manifest.json"
        self.run = f"{root}/runs/{{model}}/{{arm}}/seed{{seed}}"
        self.done, self.conventions = f"{self.run}/done.json", f"{self.run}/conventions.json"
        self.metrics, self.timings = f"{self.run}/metrics.parquet", f"{self.run}/timings.parquet"
        self.evaluations, self.selection = f"{self.run}/eval.parquet", f"{self.run}/selection.json"
        self.checkpoints = f"{study.checkpoints}"
        self.samples = f"{root}/samples/{{model}}/{{arm}}/seed{{seed}}/{{benchmark}}.parquet"
        self.graded = f"{root}/graded/{{model}}/{{arm}}/seed{{seed}}.parquet"
        self.controls = f"{root}/controls/{{model}}"
        self.scores = f"{root}/scores.parquet"
        self.table1 = f"{root}/table1"
        self.figures = f"{root}/figures"

    def log(self, rule: str, *wildcards: str) -> str:
        return "/".join([self.logs, rule, *(f"{{{w}}}" for w in wildcards)]) + ".log"

    def benchmark(self, rule: str, *wildcards: str) -> str:
        return "/".join([self.benchmarks, rule, *(f"{{{w}}}" for w in wildcards)]) + ".tsv"


def main_runs(study: Study) -> list[dict[str, str]]:
    """Wildcards of the training runs behind Table 1."""
    return _runs(study.study.models, study.study.arms, study.study.seeds)


def trained_runs(study: Study) -> list[dict[str, str]]:
    """Wildcards of every training run: those of Table 1, then the analyses."""
    return main_runs(study) + _runs(study.study.models, study.study.analyses, study.study.analysis_seeds)


def with_base(study: Study, runs: list[dict[str, str]]) -> list[dict[str, str]]:
    """The base models, then the given runs: everything that is evaluated."""
    return [{"model": model, "arm": BASE, "seed": "0"} for model in study.study.models] + runs


def template_runs(study: Study) -> list[dict[str, str]]:
    """The base models under the control templates."""
    arms = [f"{BASE}@{template}" for template in study.evaluation.control_templates]
    return _runs(study.study.models, arms, [0])


def _runs(models: list[str], arms: list[str], seeds: list[int]) -> list[dict[str, str]]:
    return [{"model": model, "arm": arm, "seed": str(seed)} for model in models for arm in arms for seed in seeds]


def tables(study: Study, plan: Plan, layout: Layout) -> dict[str, Settings]:
    """Path of every table of the whole study -> the settings that it depends on."""
    evaluation, main = study.evaluation, [BASE, *study.study.arms]
    every = [*main, *study.study.analyses]
    k = {"k": evaluation.k}
    draws = {"draws": evaluation.bootstrap_draws, "bootstrap_seed": evaluation.bootstrap_seed}
    intervals = k | draws | {"seed_variance": evaluation.seed_variance}
    made: dict[str, tuple[list[str], dict[str, Any]]] = {
        **dict.fromkeys(("scores", "table1", "differences"), (main, intervals)),
        **dict.fromkeys(("analyses", "analysis_differences"), (every, intervals)),
        **dict.fromkeys(("run_scores", "claims"), (every, k)),
    }
    if paper := of_paper(study):
        made["table1"] = (main, intervals | {"paper": paper})
    models, benchmarks = study.study.models, evaluation.benchmarks
    found = {name: table(part(plan, models, arms, benchmarks), **options) for name, (arms, options) in made.items()}
    found["contamination"] = table(of_problems(plan))
    templates = {"templates": evaluation.control_templates}
    for model in models:
        found[f"controls/{model}/templates"] = table(part(plan, [model], [BASE], benchmarks), **k, **draws, **templates)
    return {f"{layout.root}/{name}.parquet": settings for name, settings in found.items()}


def of_paper(study: Study) -> dict[str, str]:
    """Model of the study -> which of the paper's it is, for those that are one."""
    models = {name: study.models[name].paper for name in study.study.models}
    return {name: paper for name, paper in models.items() if paper is not None}


def paper_option(study: Study) -> str:
    """The option of evals.tables.table1 that says so, or none."""
    return f"--paper {shlex.quote(dumps(paper))}" if (paper := of_paper(study)) else ""


def graded_of(plan: Plan, wildcards: Any) -> Settings:
    """Settings of all graded samples of a run, for a job with the wildcards model, arm and seed."""
    return graded(plan, wildcards.model, wildcards.arm, int(wildcards.seed))


def samples_of(plan: Plan, wildcards: Any) -> Settings:
    """Settings of a run's samples of the benchmark among the wildcards."""
    return samples(graded_of(plan, wildcards), wildcards.benchmark)


def selection_sets(study: Study) -> list[str]:
    """Sets on which candidates are measured during training: validation and the benchmarks that a rule names."""
    return ["validation", *selection_benchmarks(study.evaluation.selection)]


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


def configuration(study: Study) -> dict[str, Any]:
    """The whole configuration with its sha256: what config/study.json holds, for readers."""
    dumped = study.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()
    return {"config_sha256": digest, "config": dumped}


def document(value: Any) -> str:
    """A value as the text of a JSON file."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def operation(study: Study, model: str) -> dict[str, Any]:
    """How a model's training is carried out: the fields of `train` that results do not depend on."""
    return study.train_of(model).model_dump(mode="json", include=set(NO_EFFECT_ON_RESULTS))


def variables(offline: bool) -> dict[str, str]:
    """What every job's Python is told: nothing of the user's own site or locale, one hash seed, the commit, quiet libraries.

    Snakemake sets OMP_NUM_THREADS to the threads that the rule declares. Two OpenMP threads next to another job are slower than
    one; the cores are filled by running jobs side by side.
    """
    told = {"PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", COMMIT_VARIABLE: commit_of_code() or ""}
    told |= {} if in_checkout() else {"PYTHONPATH": str(ROOT)}
    told |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return told | ({"HF_HUB_OFFLINE": "1"} if offline else {})


def python() -> str:
    """How a job on the host starts Python, up to the module's name; see containers.enter.prefixes for jobs in images."""
    return host_prefix(variables(offline=False))


def host_prefix(told: Mapping[str, str], for_shell: Iterable[str] = ()) -> str:
    """`env NAME=VALUE ... python -W ignore -m`, of the Python that runs the workflow; `for_shell`: words quoted already."""
    settings = " ".join([*(f"{name}={shlex.quote(value)}" for name, value in told.items()), *for_shell])
    return f"env {settings} {shlex.quote(sys.executable)} -W ignore -m"
