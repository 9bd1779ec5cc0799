"""Generate responses of one checkpoint to one benchmark, once: everything later (grading, scoring, figures) reads the file.

Expensive on real models, and therefore independent of the grader's code. A run's selected checkpoints may be several steps;
each step's samples are rows of the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
import typer

from evals.cli import run
from evals.io import provenance, read_json, sha256_file, write_table

if TYPE_CHECKING:
    from asymgrpo.models import Dtype

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("train_seed", pa.int32()),
        ("step", pa.int32()),
        ("benchmark", pa.string()),
        ("problem_id", pa.string()),
        ("sample_id", pa.int32()),
        ("sample_seed", pa.int64()),
        ("response", pa.string()),
        ("finish_reason", pa.string()),
        ("n_tokens", pa.int32()),
        ("logprob_sum", pa.float32()),
    ]
)


def sample_seed(train_seed: int, step: int, benchmark: str, problem_id: str, sample_id: int) -> int:
    """Seed of one evaluation sample: the arm is left out, so that arms answer a problem with the same random numbers."""
    from asymgrpo.seeds import derive

    return derive("evaluate", train_seed, step, benchmark, problem_id, sample_id)


def main(
    config: Annotated[Path, typer.Option(help="JSON: the `evaluation` section of the study")],
    problems: Annotated[Path, typer.Option(help="problem table of the benchmark (Parquet)")],
    benchmark: Annotated[str, typer.Option(help="name of the benchmark")],
    template: Annotated[str, typer.Option(help="prompt template")],
    model: Annotated[str, typer.Option(help="name of the model")],
    arm: Annotated[str, typer.Option(help="name of the arm, or base")],
    train_seed: Annotated[int, typer.Option(help="training seed; 0 for base")],
    checkpoints: Annotated[Path, typer.Option(help="base model, or a run's folder of candidates")],
    out: Annotated[Path, typer.Option(help="sample table to write (Parquet)")],
    selection: Annotated[Path | None, typer.Option(help="selected steps of the run (JSON); none for base")] = None,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="dtype of the weights")] = "float32",
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    """Sample one benchmark from the selected checkpoints of one run."""
    import torch

    from asymgrpo.config import parse_section
    from asymgrpo.tasks.table import read_problems

    torch.set_num_threads(threads)
    evaluation = parse_section("evaluation", json.loads(config.read_text()))
    n_samples = evaluation.n_samples(benchmark)
    rows = read_problems(problems, ("problem_id", "problem"))
    identity = {"model": model, "arm": arm, "train_seed": train_seed, "benchmark": benchmark}
    if selection is None:
        steps = {0: checkpoints}
    else:
        wanted = sorted({row["step"] for row in read_json(selection)})
        steps = {step: checkpoints / f"step{step:06d}" for step in wanted}
    found: list[dict[str, Any]] = []
    for step, directory in steps.items():
        found += sample_checkpoint(directory, rows, template, evaluation, n_samples, identity | {"step": step}, dtype)
    metadata = provenance() | {
        "evaluation": {
            "temperature": evaluation.temperature,
            "top_p": evaluation.top_p,
            "max_tokens": evaluation.max_tokens,
            "n_samples": n_samples,
            "template": template,
            "engine": evaluation.engine,
            "dtype": dtype,
        },
        "config_sha256": sha256_file(config),
        "problems_sha256": sha256_file(problems),
        "weights_sha256": {str(step): weights_sha256(directory) for step, directory in steps.items()},
    }
    write_table(pa.Table.from_pylist(found, SCHEMA), out, metadata)


def sample_checkpoint(
    directory: Path,
    problems: Sequence[dict[str, Any]],
    template: str,
    evaluation: Any,
    n_samples: int,
    identity: dict[str, Any],
    dtype: Dtype,
) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA: every problem, every sample."""
    from asymgrpo.model_checks import check_model
    from asymgrpo.models import load_tokenizer
    from asymgrpo.progress import Progress
    from asymgrpo.rollout import Request
    from asymgrpo.rollout.engines import engine_from_directory
    from asymgrpo.tasks.prompts import render

    check_model(directory, template, evaluation.engine)
    tokenizer = load_tokenizer(directory)
    engine = engine_from_directory(evaluation.engine, directory, tokenizer, dtype)
    title = "{arm} seed {train_seed} step {step} on {benchmark}".format(**identity)
    progress = Progress(title, len(problems), unit="problem")
    for start in range(0, len(problems), evaluation.batch):
        part = problems[start : start + evaluation.batch]
        requests = []
        for problem in part:
            ids = tokenizer(render(template, problem["problem"], tokenizer), add_special_tokens=False)["input_ids"]
            key = (identity["train_seed"], identity["step"], identity["benchmark"], problem["problem_id"])
            requests.append(Request(tuple(ids), tuple(sample_seed(*key, i) for i in range(n_samples))))
        groups = engine.generate(requests, evaluation.temperature, evaluation.top_p, evaluation.max_tokens)
        for problem, group in zip(part, groups, strict=True):
            texts = tokenizer.batch_decode([list(r.response_ids) for r in group], skip_special_tokens=True)
            for i, (rollout, text) in enumerate(zip(group, texts, strict=True)):
                yield identity | {
                    "problem_id": problem["problem_id"],
                    "sample_id": i,
                    "sample_seed": rollout.seed,
                    "response": text,
                    "finish_reason": rollout.finish_reason,
                    "n_tokens": len(rollout.response_ids),
                    "logprob_sum": sum(rollout.logprobs),
                }
        progress.update(len(part))
    progress.close()


def weights_sha256(directory: Path) -> dict[str, str]:
    """File name -> sha256 of the weights in a model directory."""

    return {path.name: sha256_file(path) for path in sorted(directory.glob("*.safetensors"))}


if __name__ == "__main__":
    run(main)
