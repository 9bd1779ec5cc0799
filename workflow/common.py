"""Paths, the expansion of arm x model x seed, and the command prefix of a job; nothing else."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asymgrpo.config import Study
from asymgrpo.provenance import COMMIT_VARIABLE, commit_of_code

LOCK = "config/data.lock.yaml"
ROOT = Path(__file__).resolve().parents[1]
BASE = "base"
"""The name under which the untrained model appears among the arms."""


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
        self.section = f"{root}/config/{{section}}.json"
        self.model_section = f"{root}/config/{{section}}/{{model}}.json"
        self.arm = f"{root}/config/arms/{{arm}}.json"
        self.spec = f"{root}/config/models/{{model}}.json"
        self.problems = f"{root}/data/{{dataset}}.parquet"
        self.base_model = f"{root}/models/{{model}}/base"
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


def is_base(arm: str) -> bool:
    """Whether an arm's name means the untrained model: base, or base@TEMPLATE in the template control."""
    return arm.split("@")[0] == BASE


def template_of(study: Study, model: str, arm: str) -> str:
    """The prompt template of an arm: the model's own, unless the arm is base@TEMPLATE."""
    return arm.split("@")[1] if "@" in arm else study.models[model].template


def selection_sets(study: Study) -> list[str]:
    """Sets on which candidates are measured during training: validation and the benchmarks that a rule names."""
    rules = study.evaluation.selection
    return ["validation", *(rule.split(":", 1)[1] for rule in rules if rule.startswith("best_on:"))]


def prepare_options(study: Study, dataset: str) -> str:
    """Options of asymgrpo.tasks.prepare for `train`, `validation` or a benchmark."""
    data, training = study.data, dataset in ("train", "validation")
    options: dict[str, object] = {
        "dataset": data.train if training else dataset,
        "source": data.source,
        "data-dir": data.dir,
    }
    limit = data.train_limit if dataset == "train" else None if training else study.evaluation.limit
    if training:
        options |= {"split": dataset, "validation-size": data.validation_size}
    if data.source == "embedded":
        size = data.embedded.train_size if training else data.embedded.benchmark_size
        options |= {"embedded-n": size, "embedded-seed": data.embedded.seed}
    options["limit"] = limit
    return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None)


def base_model_command(study: Study, layout: Layout, name: str) -> str:
    """The command that makes a base model's directory, but for --out."""
    model = study.models[name]
    if model.kind == "tiny":
        return f"asymgrpo.base_model --spec {shlex.quote(layout.spec.format(model=name))}"
    hub = (
        f" --hub-id {shlex.quote(str(model.hub_id))} --lock {shlex.quote(of_project(LOCK))}"
        if model.kind == "hub"
        else ""
    )
    return f"asymgrpo.models --kind {model.kind}{hub}"


def checkpoint_inputs(layout: Layout, model: str, arm: str, seed: str) -> dict[str, str]:
    """The weights to sample from: the base model, or a run's candidates with the selected steps."""
    if is_base(arm):
        return {"checkpoints": layout.base_model.format(model=model)}
    run = layout.run.format(model=model, arm=arm, seed=seed)
    return {"checkpoints": f"{run}/candidates", "selection": f"{run}/selection.json"}


def write_sections(study: Study, layout: Layout) -> None:
    """Write each part of the configuration to its own file, only if it changed: a rule depends on the parts that it reads."""
    dumped = study.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()
    _write_if_changed(Path(layout.section.format(section="study")), {"config_sha256": digest, "config": dumped})
    for arm in [*study.study.arms, *study.study.analyses]:
        _write_if_changed(Path(layout.arm.format(arm=arm)), {"name": arm, "changes": dumped["arms"].get(arm, {})})
    for model in study.study.models:
        _write_if_changed(Path(layout.spec.format(model=model)), dumped["models"][model]["spec"])
        for section, merged in (("train", study.train_of(model)), ("evaluation", study.evaluation_of(model))):
            _write_if_changed(
                Path(layout.model_section.format(section=section, model=model)), merged.model_dump(mode="json")
            )


def _write_if_changed(path: Path, value: Any) -> None:
    from asymgrpo.files import write_text

    text = json.dumps(value, indent=1, sort_keys=True) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(text, path)


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
    """How a job on the host starts Python, up to the module's name; see workflow.enter.prefixes for jobs in images."""
    return host_prefix(variables(offline=False))


def host_prefix(told: Mapping[str, str]) -> str:
    """`env NAME=VALUE ... python -W ignore -m`, of the Python that runs the workflow."""
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in told.items())
    return f"env {settings} {shlex.quote(sys.executable)} -W ignore -m"
