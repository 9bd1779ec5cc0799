"""`eee/`: the estimates of Table 1 with their intervals as Every Eval Ever 0.3.0 has them, and the responses behind them.

One record for each arm of Table 1 and model, `data/<collection>/<owner>/<arm>/<uuid>.json`: its results are the rows of Table 1;
and `<uuid>_samples.jsonl` beside it, with one line for each training seed and problem under the selection rule that is published.
The mean of the lines' scores is the arm's avg@n of that benchmark.
"""

from __future__ import annotations

import calendar
import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from asymgrpo.files import sha256_file, write_text
from asymgrpo.study.settings import BASE
from asymgrpo.tasks.benchmarks import BENCHMARKS, load
from evals.artifacts.reading import VERDICTS, for_reading
from evals.artifacts.withheld import withheld_licence, without_texts
from evals.io import read_metadata, read_table
from evals.names import in_order, title
from evals.publish.source import Source, rows_of, write_document

VERSION = "0.3.0"
METRICS = {
    "avg_at_n": ("avg@n", "accuracy", "Mean over problems of the share of n samples that are correct."),
    "pass_at_k": ("pass@k", "pass_rate", "Probability that one of k samples is correct, unbiased, mean over problems."),
    "maj_at_k": ("maj@k", "accuracy", "Probability that the most frequent answer of k samples is correct."),
}
"""Metric of Table 1 -> its name, its kind among those of the schema, and what it is."""
INTERVAL = "hierarchical bootstrap over problems and training seeds (evals.estimates.stats)"


def write(source: Source, folder: Path) -> list[Path]:
    """Write the records of every arm of Table 1; returns their paths."""
    table = source.table1
    problems = {name: _problems(source, name) for name in source.study.evaluation.benchmarks}
    written = []
    for (model, arm), rows in table.groupby(["model", "arm"], sort=True):
        place = folder / "data" / source.collection / source.owner / source.arm_name(str(model), str(arm))
        path = place / f"{identifier(source, str(model), str(arm))}.json"
        about = record(source, str(model), str(arm), rows)
        lines = list(instances(source, str(model), str(arm), rows, problems, about["evaluation_id"]))
        if lines:
            samples = path.with_name(f"{path.stem}_samples.jsonl")
            write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), samples)
            about["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": samples.relative_to(folder).as_posix(),
                "hash_algorithm": "sha256",
                "checksum": sha256_file(samples),
                "total_rows": len(lines),
            }
        write_document(about, path)
        written.append(path)
    return written


def identifier(source: Source, model: str, arm: str) -> uuid.UUID:
    """A UUID of the form that the datastore asks for (version 4), the same for the same study, model and arm."""
    named = f"{source.results.config_sha256}/{source.owner}/{model}/{arm}"
    return uuid.UUID(bytes=hashlib.sha256(named.encode()).digest()[:16], version=4)


def stamp(date: str) -> str:
    """Seconds since 1970 of the beginning of a day, in UTC.

    >>> stamp("1970-01-02")
    '86400'
    """
    return str(calendar.timegm(time.strptime(date, "%Y-%m-%d")))


def record(source: Source, model: str, arm: str, rows: pd.DataFrame) -> dict[str, Any]:
    """The record of one arm: its rows of Table 1."""
    identity = f"{source.owner}/{source.arm_name(model, arm)}"
    seeds = _seeds(source, model, arm)
    drawn = source.sampling(model, arm, seeds[0])
    order = {name: at for at, name in enumerate([*source.study.evaluation.benchmarks, "average"])}
    rows = rows.assign(at=rows["benchmark"].map(order)).sort_values(["at", "selection", "metric", "k"])
    engine = drawn.get("engine", "unknown")
    packages = source.results.runs[0].done["packages"]
    scale = "" if source.of_paper(model) else " A model far smaller than the paper's: small-scale support only."
    return {
        "schema_version": VERSION,
        "evaluation_id": f"{source.collection}/{identity}/{stamp(source.date)}",
        "retrieved_timestamp": stamp(source.date),
        "source_metadata": {
            "source_name": f"Reproduction of arXiv:2604.04894, study {source.name}",
            "source_type": "evaluation_run",
            "source_organization_name": "The asymgrpo authors",
            "evaluator_relationship": "first_party",
            "additional_details": {
                "configuration_sha256": source.results.config_sha256,
                "paper": "arXiv:2604.04894",
                "note": f"The score of an arm is its mean over training seeds.{scale}",
            },
        },
        "eval_library": {"name": "asymgrpo", "version": ", ".join(source.commits) or "unknown"},
        "model_info": {
            "name": f"{model}, {title(arm)}",
            "id": identity,
            "developer": source.owner,
            "inference_engine": {"name": engine, "version": str(packages.get(engine) or "unknown")},
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "open_weights" if _weights(source, model, arm) else "unknown",
                "arm": arm,
                "base_model": source.study.models[model].hub_id or model,
                "training_seeds": ", ".join(map(str, seeds)) if arm != BASE else "none",
            },
        },
        "evaluation_results": [_result(source, row, drawn) for row in rows_of(rows)],
    }


def _result(source: Source, row: Mapping[str, Any], drawn: Mapping[str, Any]) -> dict[str, Any]:
    name, kind, about = METRICS[row["metric"]]
    parameter = "n" if row["metric"] == "avg_at_n" else "k"
    k = None if pd.isna(row["k"]) else int(row["k"])
    shown = name if k is None else f"{name[:-1]}{k}"
    uncertainty = {
        "confidence_interval": {
            "lower": row["ci_low"],
            "upper": row["ci_high"],
            "confidence_level": 0.95,
            "method": INTERVAL,
        },
        "num_samples": int(row["n_samples"]),
        "num_bootstrap_samples": source.study.evaluation.bootstrap_draws,
    }
    details = {
        "selection_rule": row["selection"],
        "n_problems": str(int(row["n_problems"])),
        "n_training_seeds": str(int(row["n_seeds"])),
        "truncated_share": repr(float(row["truncated_share"])),
        "unparsed_share": repr(float(row["unparsed_share"])),
        "second_grader_disagreement": repr(float(row["grader_disagreement"])),
        "diverged_runs": str(int(row["n_diverged"])),
    }
    known = {
        "temperature": drawn.get("temperature"),
        "top_p": drawn.get("top_p"),
        "max_tokens": drawn.get("max_tokens"),
    }
    return {
        "evaluation_result_id": result_id(row["benchmark"], row["metric"], k, row["selection"]),
        "evaluation_name": row["benchmark"],
        "source_data": _source_data(source, row["benchmark"]),
        "metric_config": {
            "evaluation_description": about,
            "metric_id": row["metric"],
            "metric_name": shown,
            "metric_kind": kind,
            "metric_unit": "proportion",
            "metric_parameters": {} if k is None else {parameter: k},
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": _score(row, uncertainty, details),
        "generation_config": {
            "generation_args": {key: value for key, value in known.items() if value is not None},
            "additional_details": {"prompt_template": str(drawn.get("template", "unknown"))},
        },
    }


def _score(row: Mapping[str, Any], uncertainty: Mapping[str, Any], details: Mapping[str, str]) -> dict[str, Any]:
    """An estimate without an interval (one training seed, say) has no uncertainty; JSON has no NaN."""
    bounded = not (pd.isna(row["ci_low"]) or pd.isna(row["ci_high"]))
    return {"score": row["estimate"], "details": dict(details)} | (
        {"uncertainty": dict(uncertainty)} if bounded else {}
    )


def result_id(benchmark: str, metric: str, k: int | None, selection: str) -> str:
    """The name of a result within a record.

    >>> result_id("aime26", "pass_at_k", 8, "validation")
    'aime26/pass_at_k/8/validation'
    """
    return f"{benchmark}/{metric}/{'all' if k is None else k}/{selection}"


def _source_data(source: Source, benchmark: str) -> dict[str, Any]:
    if benchmark not in BENCHMARKS:  # the average over the benchmarks
        return {"dataset_name": benchmark, "source_type": "other"}
    spec = load(benchmark)
    details = {
        "licence": spec.licence,
        "contest_date": spec.contest_date or "none known",
        "content_sha256": str(_about(source, benchmark).get("content_sha256")),
    }
    if spec.hub is None:
        return {"dataset_name": spec.about, "source_type": "other", "additional_details": details}
    found = {
        "dataset_name": spec.about,
        "source_type": "hf_dataset",
        "hf_repo": spec.hub.id,
        "hf_split": spec.hub.split,
    }
    return found | {"additional_details": details}


def _about(source: Source, benchmark: str) -> Mapping[str, Any]:
    return read_metadata(source.folder / "data" / f"{benchmark}.parquet")


def _problems(source: Source, benchmark: str) -> dict[str, tuple[str, str]]:
    """problem_id -> problem and reference answer, or their hashes where the texts may not be passed on."""
    table = without_texts(read_table(source.folder / "data" / f"{benchmark}.parquet"))
    columns = (table[name].to_pylist() for name in ("problem_id", "problem", "answer"))
    return {key: (problem, answer) for key, problem, answer in zip(*columns, strict=True)}


def _seeds(source: Source, model: str, arm: str) -> list[int]:
    return [0] if arm == BASE else [run.seed for run in source.results.runs if (run.model, run.arm) == (model, arm)]


def _weights(source: Source, model: str, arm: str) -> bool:
    """Whether the weights of an arm are in the published folder."""
    mine = [run for run in source.results.finished if (run.model, run.arm) == (model, arm)]
    return any((run.folder / "candidates" / f"step{source.selected(run) or 0:06d}").is_dir() for run in mine)


def instances(
    source: Source,
    model: str,
    arm: str,
    rows: pd.DataFrame,
    problems: Mapping[str, Mapping[str, tuple[str, str]]],
    evaluation: str,
) -> Iterator[dict[str, Any]]:
    """Lines of the arm's JSONL: one for each seed and problem, of the published checkpoints."""
    counted = rows_of(rows[rows["metric"] == "avg_at_n"])
    n = {row["benchmark"]: None if pd.isna(row["k"]) else int(row["k"]) for row in counted}
    steps = {run.seed: source.selected(run) for run in source.results.runs if (run.model, run.arm) == (model, arm)}
    for seed in _seeds(source, model, arm):
        step = 0 if arm == BASE else steps[seed]
        if step is None:  # diverged
            continue
        table = read_table(source.graded(model, arm, seed), [*VERDICTS, "response"])
        frame = table.to_pandas().assign(kept=for_reading(table))
        mine = frame[frame["step"] == step]
        read = (
            mine[mine["kept"]].sort_values("sample_id").groupby(["benchmark", "problem_id"])[["response", "extracted"]]
        )
        texts = {key: list(map(tuple, rows.to_numpy())) for key, rows in read}
        counted = mine.groupby(["benchmark", "problem_id"], sort=True)["correct"].agg(["size", "sum"])
        for benchmark in in_order(mine["benchmark"].unique(), source.study.evaluation.benchmarks):
            result = result_id(benchmark, "avg_at_n", n[benchmark], source.rule)
            for problem_id, drawn, correct in counted.loc[benchmark].itertuples():
                yield {
                    "schema_version": VERSION,
                    "evaluation_id": evaluation,
                    "model_id": f"{source.owner}/{source.arm_name(model, arm)}",
                    "evaluation_name": benchmark,
                    "evaluation_result_id": result,
                    "sample_id": problem_id,
                    **_line(benchmark, problems[benchmark][problem_id], texts.get((benchmark, problem_id), [])),
                    "evaluation": {"score": int(correct) / int(drawn), "is_correct": bool(2 * correct > drawn)},
                    "metadata": _beside(benchmark, (seed, step, int(drawn), int(correct))),
                }


def _line(benchmark: str, texts: tuple[str, str], read: Sequence[tuple[str | None, str | None]]) -> dict[str, Any]:
    """What was asked and answered; `read`: response and extracted answer of the samples whose texts are kept."""
    return {
        "sample_hash": hashlib.sha256("".join(texts).encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": texts[0], "reference": [texts[1]]},
        "output": {"raw": [response or "" for response, _ in read]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": f"output.raw[{at}]",
                "extracted_value": answer,
                "extraction_method": "math-verify",
                "is_terminal": True,
            }
            for at, (_, answer) in enumerate(read)
            if isinstance(answer, str)
        ],
    }


def _beside(benchmark: str, numbers: tuple[int, int, int, int]) -> dict[str, str]:
    names = ("train_seed", "step", "n_samples", "n_correct")
    licence = withheld_licence(benchmark)
    texts = (
        f"not passed on ({licence}): hashes stand in their place" if licence else "the first few; all are in samples/"
    )
    told = {
        "score": "share of the samples that are correct",
        "is_correct": "more than half of the samples",
        "texts": texts,
    }
    return {name: str(value) for name, value in zip(names, numbers, strict=True)} | told
