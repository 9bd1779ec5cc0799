"""Where every file of a study lies, which runs it has, and what its tables and figures are derived from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asymgrpo.study.settings import BASE, selection_benchmarks

if TYPE_CHECKING:
    from asymgrpo.study.config import Study

CONFIGURATION = "config/study.json"
"""Below the folder of results: the whole configuration, for readers. A folder that has it is a result set."""
PROTOCOL = "config/protocol.json"
"""Below the folder of results of a declared study: its protocol (evals.protocol)."""
LABORATORIES = "config/laboratories.json"
"""Below the folder of results of a pool: which runs are whose (evals.pool.joined). By it a joined bundle is known."""
COUNTS = "counts/{part}.parquet"
"""Below the folder of results: counts of the main runs (those of Table 1 and the base models) and of the analyses' runs. The
tables of Table 1's arms must not need the other runs, and the tables of all arms read both, so that nothing is counted twice."""


class Layout:
    """Where every file of a study lies, as patterns with Snakemake's wildcards in braces."""

    def __init__(self, study: Study):
        root = study.results
        self.root = f"{root}"
        self.logs, self.benchmarks = f"{root}/logs", f"{root}/benchmarks"
        self.study = f"{root}/{CONFIGURATION}"
        self.protocol = f"{root}/{PROTOCOL}"
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
        self.sampled = f"{root}/samples/{{model}}/{{arm}}/seed{{seed}}/sampled.json"
        self.graded = f"{root}/graded/{{model}}/{{arm}}/seed{{seed}}.parquet"
        self.controls = f"{root}/controls/{{model}}"
        self.counts = f"{root}/{COUNTS}"
        self.scores, self.differences = f"{root}/scores.parquet", f"{root}/differences.parquet"
        self.run_scores = f"{root}/run_scores.parquet"
        self.table1 = f"{root}/table1"
        self.theory = f"{root}/theory.parquet"
        self.probes, self.probe_states = f"{root}/probes.parquet", f"{root}/probes/{{model}}/seed{{seed}}.parquet"
        self.figures = f"{root}/figures"
        self.repeats, self.continued = f"{root}/repeats/{{model}}.parquet", f"{root}/continued/{{model}}.parquet"

    def log(self, rule: str, *wildcards: str) -> str:
        return "/".join([self.logs, rule, *(f"{{{w}}}" for w in wildcards)]) + ".log"

    def benchmark(self, rule: str, *wildcards: str) -> str:
        return "/".join([self.benchmarks, rule, *(f"{{{w}}}" for w in wildcards)]) + ".tsv"


def main_runs(study: Study) -> list[dict[str, str]]:
    """Wildcards of the training runs behind Table 1."""
    return _runs(study.study.models, study.study.arms, study.study.seeds)


def trained_runs(study: Study) -> list[dict[str, str]]:
    """Wildcards of every training run: those of Table 1, then the analyses."""
    return main_runs(study) + analysis_runs(study)


def analysis_runs(study: Study) -> list[dict[str, str]]:
    """Wildcards of the training runs of the analyses."""
    return _runs(study.study.models, study.study.analyses, study.study.analysis_seeds)


def with_base(study: Study, runs: list[dict[str, str]]) -> list[dict[str, str]]:
    """The base models, then the given runs: everything that is evaluated."""
    return [{"model": model, "arm": BASE, "seed": "0"} for model in study.study.models] + runs


def template_runs(study: Study) -> list[dict[str, str]]:
    """The base models under the control templates."""
    arms = [f"{BASE}@{template}" for template in study.evaluation.control_templates]
    return _runs(study.study.models, arms, [0])


def _runs(models: list[str], arms: list[str], seeds: list[int]) -> list[dict[str, str]]:
    return [{"model": model, "arm": arm, "seed": str(seed)} for model in models for arm in arms for seed in seeds]


def selection_sets(study: Study) -> list[str]:
    """Sets on which candidates are measured during training: validation and the benchmarks that a rule names."""
    return ["validation", *selection_benchmarks(study.evaluation.selection)]


def leaves(study: Study) -> list[str]:
    """Paths, below the folder of results, of every file that tables and figures are derived from."""
    layout = Layout(study.model_copy(update={"results": Path(".")}))
    runs = trained_runs(study)
    per_run = (layout.done, layout.conventions, layout.metrics, layout.timings, layout.evaluations, layout.selection)
    files = [layout.study, *([layout.protocol] if study.protocol else [])]
    files += [layout.problems.format(dataset=name) for name in ("train", "validation", *study.evaluation.benchmarks)]
    files += [pattern.format(**run) for run in runs for pattern in per_run]
    files += [layout.graded.format(**run) for run in [*with_base(study, runs), *template_runs(study)]]
    return [path.removeprefix("./") for path in files]


def of_study(study: Study, name: str) -> bool:
    """Whether a file, by its path below the folder of results, is one that the study makes: not left there by a configuration
    with analyses, benchmarks or templates that have been taken out since."""
    folder, _, rest = name.rpartition("/")
    stem = rest.partition(".")[0]
    if folder == "data":
        return stem in ("train", "validation", *study.evaluation.benchmarks)
    if folder.startswith("controls"):
        return bool(study.evaluation.control_templates) and Path(folder).name in study.study.models
    if not folder and stem in ("analyses", "analysis_differences"):
        return bool(study.study.analyses) and "grpo" in study.study.arms
    return True
