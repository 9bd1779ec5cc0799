"""The selected checkpoints of one run, which one sampler takes in turn: the responses to a benchmark are rows of SCHEMA."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from asymgrpo.study.settings import Settings
from evals.io import DataError

if TYPE_CHECKING:
    from asymgrpo.rollout import Sampler

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

NO_SHAPE = ("transformers_version", "_name_or_path")
"""Of a config.json: what says nothing of the model."""


def sample_seed(train_seed: int, step: int, benchmark: str, problem_id: str, sample_id: int) -> int:
    """Seed of one evaluation sample: the arm is left out, so that arms answer a problem with the same random numbers."""
    from asymgrpo.seeds import derive

    return derive("evaluate", train_seed, step, benchmark, problem_id, sample_id)


class Checkpoints:
    """The selected checkpoints of one run, which one sampler takes in turn; all are looked at before it starts.

    Raises:
        ModelError: a checkpoint is not usable. DataError: the checkpoints are not of one model.
    """

    def __init__(self, steps: Mapping[int, Path], asked: Settings):
        """`steps`: step -> folder of weights; none of a diverged run."""
        from asymgrpo.models.checks import check_model, end_tokens
        from asymgrpo.models.directory import load_tokenizer
        from asymgrpo.models.load import read_shape

        self.steps, self.template, self.evaluation = steps, asked["template"], asked["evaluation"]
        self.tokenizers: dict[int, Any] = {}
        self.sampler: Sampler | None = None
        self.loaded: int | None = None
        kinds = []
        for step, directory in steps.items():
            check_model(directory, self.template, self.evaluation["engine"])
            self.tokenizers[step] = load_tokenizer(directory)
            shape = {key: value for key, value in vars(read_shape(directory)).items() if key not in NO_SHAPE}
            kinds.append((shape, end_tokens(directory, self.tokenizers[step], None)))
            if kinds[-1] != kinds[0]:
                raise DataError(
                    f"{directory}: its config.json or end tokens are not those of step {next(iter(steps))} of the same run; "
                    "train it again"
                )

    def check_lengths(self, problems: Sequence[dict[str, Any]]) -> None:
        """Raises DataError when a prompt and its longest response exceed the positions of a checkpoint."""
        for step, directory in self.steps.items():
            check_lengths(directory, problems, self.template, self.tokenizers[step], self.evaluation["max_tokens"])

    def sample(self, problems: Sequence[dict[str, Any]], asked: Settings) -> list[dict[str, Any]]:
        """Rows of SCHEMA of one benchmark (`asked`: its settings), in the order of steps, whichever was sampled first.

        The checkpoint whose weights are loaded comes first, which saves loading them once for each further benchmark.
        Raises DataError as in `sample_checkpoint`.
        """
        rows = {}
        for step in sorted(self.steps, key=lambda step: step != self.loaded):
            rows[step] = list(
                sample_checkpoint(self.steps[step], self._sampler(step), self.tokenizers[step], problems, asked, step)
            )
        return [row for step in self.steps for row in rows[step]]

    def _sampler(self, step: int) -> Sampler:
        """The sampler with the weights of a step."""
        from asymgrpo.rollout.samplers import sampler_from_directory

        if self.sampler is None or self.loaded != step:
            name, dtype = self.evaluation["engine"], self.evaluation["dtype"]
            self.loaded = None
            self.sampler = sampler_from_directory(
                name, self.steps[step], self.tokenizers[step], dtype, earlier=self.sampler
            )
            self.loaded = step
        return self.sampler


def sample_checkpoint(
    directory: Path,
    sampler: Sampler,
    tokenizer: Any,
    problems: Sequence[dict[str, Any]],
    asked: Settings,
    step: int,
) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA: every problem, every sample, by a sampler that has the weights of `directory`.

    Raises:
        DataError: the weights give log-probabilities that are not finite.
    """
    from asymgrpo.progress import Progress
    from asymgrpo.rollout import Request
    from asymgrpo.tasks.prompts import render

    evaluation, n_samples, template = asked["evaluation"], asked["n_samples"], asked["template"]
    identity = {"model": asked["model"], "arm": asked["arm"], "train_seed": asked["seed"], "step": step}
    identity |= {"benchmark": asked["benchmark"]}
    title = "{arm} seed {train_seed} step {step} on {benchmark}".format(**identity)
    progress = Progress(title, len(problems), unit="problem")
    for start in range(0, len(problems), evaluation["batch"]):
        part = problems[start : start + evaluation["batch"]]
        requests = []
        for problem in part:
            ids = tokenizer(render(template, problem["problem"], tokenizer), add_special_tokens=False)["input_ids"]
            key = (identity["train_seed"], identity["step"], identity["benchmark"], problem["problem_id"])
            requests.append(Request(tuple(ids), tuple(sample_seed(*key, i) for i in range(n_samples))))
        groups = sampler.generate(requests, evaluation["temperature"], evaluation["top_p"], evaluation["max_tokens"])
        for problem, group in zip(part, groups, strict=True):
            if not all(math.isfinite(x) for rollout in group for x in rollout.logprobs):
                raise DataError(
                    f"{directory}: the model gives no finite log-probabilities ({title}, problem {problem['problem_id']}); its "
                    "weights are spoilt, give another checkpoint"
                )
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


def check_lengths(
    directory: Path, problems: Sequence[dict[str, Any]], template: str, tokenizer: Any, max_tokens: int
) -> None:
    """Raises DataError, before anything is sampled, when a prompt and its longest response exceed the model's positions."""
    from asymgrpo.models.load import read_shape
    from asymgrpo.tasks.prompts import render

    positions = read_shape(directory).max_position_embeddings
    texts = [render(template, problem["problem"], tokenizer) for problem in problems]
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []
    for problem, length in zip(problems, lengths, strict=True):
        if length + max_tokens > positions:
            raise DataError(
                f"problem {problem['problem_id']!r}: its prompt of {length} tokens and evaluation.max_tokens = {max_tokens} "
                f"exceed the {positions} positions of {directory}; lower evaluation.max_tokens."
            )
