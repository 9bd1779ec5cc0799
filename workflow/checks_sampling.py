"""Checks of what models are asked to generate: lengths against their positions, samples, temperatures, k."""

from __future__ import annotations

from collections.abc import Iterator

from asymgrpo.study.config import Study
from asymgrpo.study.limits import LOWEST_VLLM_TEMPERATURE
from asymgrpo.study.sections.evaluation import Evaluation
from asymgrpo.study.sections.train import Train


def used_models(study: Study) -> list[str]:
    """The models that the study uses and defines; that the others are missing is said by workflow.checks."""
    return [name for name in study.study.models if name in study.models]


def where_of(study: Study, model: str, section: str, key: str) -> str:
    """Where a value of a model's `train` or `evaluation` is set: in the model's changes, else in the study's section."""
    changes = getattr(study.models[model], section)
    return f"models.{model}.{section}.{key}" if key in changes else f"{section}.{key}"


def sampling(study: Study) -> Iterator[str]:
    """Every sentence of this module, each once."""
    found = [sentence for name in used_models(study) for sentence in _of_model(study, name)]
    yield from dict.fromkeys(found)


def _of_model(study: Study, name: str) -> Iterator[str]:
    train, evaluation = study.train_of(name), study.evaluation_of(name)
    yield from _lengths(study, name, train, evaluation)
    yield from _positions(study, name, train, evaluation)
    yield from _temperatures(study, name, train, evaluation)


def _lengths(study: Study, name: str, train: Train, evaluation: Evaluation) -> Iterator[str]:
    if evaluation.max_tokens < train.max_tokens:
        where = where_of(study, name, "train", "max_tokens")
        yield (
            f"config: {where_of(study, name, 'evaluation', 'max_tokens')} = {evaluation.max_tokens} is shorter than {where} = "
            f"{train.max_tokens} and would cut what training allowed ({name}); raise it to at least that."
        )


def _positions(study: Study, name: str, train: Train, evaluation: Evaluation) -> Iterator[str]:
    """Prompts may be as long as train.max_prompt_tokens allows, in evaluation too."""
    positions = positions_of(study, name)
    if positions is None:
        return
    asked = [
        (where_of(study, name, "train", "evaluate_max_tokens"), train.evaluate_max_tokens),
        (where_of(study, name, "evaluation", "max_tokens"), evaluation.max_tokens),
    ]
    if not study.machine.has_gpus:  # the planner says it of GPUs, with what else does not fit
        asked.append((where_of(study, name, "train", "max_tokens"), train.max_tokens))
    prompt = where_of(study, name, "train", "max_prompt_tokens")
    for where, tokens in asked:
        if tokens + train.max_prompt_tokens > positions:
            yield (
                f"config: {where} = {tokens} with {prompt} = {train.max_prompt_tokens} needs more than the {positions} positions "
                f"of model {name}; lower one of them."
            )


def positions_of(study: Study, name: str) -> int | None:
    """Tokens that a model can attend to, where it is known before the model is there; else None."""
    from asymgrpo.planner.shapes import shape_of
    from asymgrpo.study.config import ConfigError

    try:
        return shape_of(name, study.models[name]).max_positions
    except ConfigError:
        return None


def _temperatures(study: Study, name: str, train: Train, evaluation: Evaluation) -> Iterator[str]:
    samples = {f"evaluation.samples.{key}": n for key, n in evaluation.samples.items()}
    where = where_of(study, name, "evaluation", "temperature")
    if evaluation.temperature == 0:
        if several := [key for key, n in samples.items() if n > 1]:
            yield (
                f"config: {where} = 0 gives the same answer every time, but {several[0]} = {samples[several[0]]}; set "
                f"{' and '.join(several)} to 1, or a temperature above 0."
            )
        elif max(evaluation.k) > 1:
            yield (
                f"config: evaluation.k = {evaluation.k} has more than 1, but {where} = 0 gives the same answer every time; set "
                "k to [1], or a temperature above 0."
            )
    if train.evaluate_temperature == 0 and train.evaluate_samples > 1:
        yield (
            f"config: {where_of(study, name, 'train', 'evaluate_samples')} = {train.evaluate_samples} asks for the same answer "
            f"again, since {where_of(study, name, 'train', 'evaluate_temperature')} = 0; set it to 1, or a temperature above 0."
        )
    asked = [
        (evaluation.engine, where, evaluation.temperature),
        (train.rollout_engine, where_of(study, name, "train", "temperature"), train.temperature),
        (train.rollout_engine, where_of(study, name, "train", "evaluate_temperature"), train.evaluate_temperature),
    ]
    for engine, key, temperature in asked:
        if engine == "vllm" and 0 < temperature < LOWEST_VLLM_TEMPERATURE:
            yield (
                f"config: {key} = {temperature} is below vLLM's least, {LOWEST_VLLM_TEMPERATURE}; use 0 for greedy decoding, "
                "or more."
            )


def pass_at_k(evaluation: Evaluation) -> Iterator[str]:
    """Each k needs a benchmark with samples enough; the others report what theirs allow."""
    most = max(max(evaluation.n_samples(name), evaluation.n_base(name)) for name in evaluation.benchmarks)
    for k in sorted(evaluation.k):
        if k > 1 and 2 * k > most:
            yield (
                f"config: evaluation.k has {k}, more than half of the samples per problem of every benchmark (most: n = {most}); "
                f"lower k or raise evaluation.samples to {2 * k}."
            )
