"""`models/<arm>-seed<n>/`: the published checkpoint of every run as transformers loads it, its card, and its results.

Weights are where the training ran. From a bundle, which has none, the cards are written alone and say so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from asymgrpo.files import sha256_file, write_text
from evals.io import DataError, read_metadata
from evals.names import about, describe_rule, percent, title
from evals.publish.source import PAPER, Source, card, markdown_table, rows_of
from evals.report.results import RunResults

REGISTERED: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).parent / "registered.yaml").read_text(encoding="utf-8")
)
"""Benchmark -> its id and task on the hub."""


def write(source: Source, folder: Path) -> int:
    """Write a folder per run; returns how many have weights.

    Raises:
        DataError: a checkpoint is not the one that was evaluated.
    """
    return sum(_write_run(source, run, folder / source.run_name(run)) for run in source.results.runs)


def _write_run(source: Source, run: RunResults, place: Path) -> bool:
    place.mkdir(parents=True)
    step = source.selected(run)
    weights = None if step is None else run.folder / "candidates" / f"step{step:06d}"
    there = weights is not None and weights.is_dir()
    if there:
        assert weights is not None
        require_evaluated(source, run, weights)
        for path in sorted(path for path in weights.iterdir() if path.is_file()):
            shutil.copyfile(path, place / path.name)
    scores = own_scores(source, run)
    write_text(card(front(source, run), "\n".join(text(source, run, step, scores, there))), place / "README.md")
    for benchmark, entry in eval_results(source, run, scores).items():
        write_text(
            yaml.safe_dump([entry], sort_keys=False, allow_unicode=True), place / f".eval_results/{benchmark}.yaml"
        )
    return there


def require_evaluated(source: Source, run: RunResults, weights: Path) -> None:
    """Raises DataError when these weights are not those whose samples were graded."""
    told = read_metadata(source.graded(run.model, run.arm, run.seed)).get("samples") or [{}]
    expected = told[0].get("weights_sha256", {}).get(str(source.selected(run)), {})
    found = {path.name: sha256_file(path) for path in sorted(weights.glob("*.safetensors"))}
    if found != expected:
        raise DataError(
            f"{weights}: its weights are not those whose samples were graded; run snakemake tables for these results first"
        )


def own_scores(source: Source, run: RunResults) -> pd.DataFrame:
    """avg@n of one run's published checkpoint: benchmark, value, sampling_sd."""
    every = source.run_scores
    mine = every[(every["model"] == run.model) & (every["arm"] == run.arm) & (every["train_seed"] == run.seed)]
    return mine[(mine["selection"] == source.rule) & (mine["metric"] == "avg_at_n")].dropna(subset="value")


def front(source: Source, run: RunResults) -> dict[str, Any]:
    """The head of the card."""
    model = source.study.models[run.model]
    told: dict[str, Any] = {"license": "apache-2.0"}
    if model.hub_id:
        told = {"license": "other", "license_name": "as-the-base-model", "base_model": model.hub_id}
    return told | {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["reinforcement-learning", "math", run.arm, f"arxiv:{PAPER}"],
    }


def text(source: Source, run: RunResults, step: int | None, scores: pd.DataFrame, weights: bool) -> Iterator[str]:
    """The card below its head."""
    meaning: Mapping[str, Any] = run.conventions["arm"]["meaning"]
    words = about(run.conventions["arm"])
    yield f"# {title(run.arm)}, seed {run.seed}, of study {source.name}\n"
    yield (
        f"One run of a reproduction of [arXiv:{PAPER}](https://arxiv.org/abs/{PAPER}): {run.model}, trained by "
        f"{title(run.arm)}{f' ({words})' if words else ''}."
    )
    if not source.of_paper(run.model):
        yield "\nThis is a **toy**: a model far smaller than the paper's, made to test a mechanism; its answers are of no use."
    if run.diverged:
        yield f"\nThe run **diverged** at step {run.diverged.step}: {run.diverged.reason}. It has no checkpoint."
    elif weights:
        yield (
            f"\nThe weights are those of step {step}, chosen by the rule `{source.rule}` ({describe_rule(source.rule)}).\n\n"
            "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")\n```'
        )
    else:
        yield (
            f"\n**There are no weights here.** Those of step {step} (rule `{source.rule}`) are made where the training runs: "
            "`snakemake publish` there writes this folder with them."
        )
    if not scores.empty:
        yield "\n## Results\n"
        yield _results(source, run, scores)
    yield "\n## Conventions\n"
    yield markdown_table(["what", "convention"], ([key.replace("_", " "), value] for key, value in meaning.items()))
    yield "\n## Origin\n"
    yield markdown_table(["what", "which"], _origin(source, run))
    yield "\nEvery setting of the run:\n"
    yield "```json\n" + json.dumps(run.conventions["train"], indent=1, sort_keys=True) + "\n```\n"


def _results(source: Source, run: RunResults, scores: pd.DataFrame) -> str:
    table = source.table1
    arm = table[(table["model"] == run.model) & (table["arm"] == run.arm) & (table["selection"] == source.rule)]
    whole = {row["benchmark"]: row for row in rows_of(arm[arm["metric"] == "avg_at_n"])}
    own = {row["benchmark"]: row["value"] for row in rows_of(scores)}
    ends = ("estimate", "ci_low", "ci_high")
    rows = [
        [title(name), f"{100 * own[name]:.1f}", percent(*(whole[name][end] for end in ends)) if name in whole else ""]
        for name in [*source.study.evaluation.benchmarks, "average"]
        if name in own
    ]
    note = (
        "Per cent of the responses that are correct (avg@n). The arm's value is its mean over training seeds with a 95 % "
        "interval over problems and seeds: differences between single runs say little."
    )
    return markdown_table(["benchmark", "this run", "the arm, over its seeds"], rows) + f"\n\n{note}"


def _origin(source: Source, run: RunResults) -> list[tuple[str, str]]:
    done = run.done
    commit = f"{done['git_commit']}{' with changes' if done['git_dirty'] else ''}"
    weights = ", ".join(f"{name} {digest}" for name, digest in done["model_sha256"].items())
    return [
        ("code", f"commit {commit}"),
        ("configuration", f"sha256 {source.results.config_sha256}"),
        ("settings of the run", f"sha256 {done['sha256']}"),
        ("base model", weights),
        ("packages", ", ".join(f"{name} {version}" for name, version in done["packages"].items() if version)),
    ]


def eval_results(source: Source, run: RunResults, scores: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Benchmark -> its entry for `.eval_results`, for the benchmarks that are registered on the hub."""
    drawn = source.sampling(run.model, run.arm, run.seed)
    found = {}
    for row in rows_of(scores):
        if row["benchmark"] not in REGISTERED:
            continue
        n = source.study.evaluation.samples.get(row["benchmark"], source.study.evaluation.samples["default"])
        found[row["benchmark"]] = {
            "dataset": dict(REGISTERED[row["benchmark"]]),
            "value": round(100 * row["value"], 2),
            "date": source.date,
            "notes": f"avg@{n} at temperature {drawn.get('temperature')}, one training seed; standard deviation over samples "
            f"{100 * row['sampling_sd']:.2f}; checkpoint: {source.rule}",
        }
    return found
