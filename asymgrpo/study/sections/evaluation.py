"""`evaluation`: how trained models and base models are measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from asymgrpo.section import Once, Positive, Section, Seed

PER_MODEL = ("temperature", "top_p", "max_tokens", "engine", "batch")
"""Fields of `evaluation` that a model may change."""


class Evaluation(Section):
    """How trained models and base models are measured: benchmarks, sampling, checkpoint rules, intervals."""

    benchmarks: Annotated[list[str], Field(min_length=1), Once]
    """Names of benchmarks: the files of asymgrpo/tasks/benchmarks, without .yaml."""
    limit: Positive | None = None
    """Use only the first problems of each benchmark; null takes all."""
    samples: dict[str, Positive]
    """n, samples per problem: `default` and per benchmark."""
    base_samples: Positive | None
    """n of the base model, whose many samples cost one job; null takes `samples`."""
    k: Annotated[list[Positive], Field(min_length=1), Once]
    """pass@k is reported for these k; each needs n >= 2k by our rule, n >= k by arithmetic."""
    temperature: Annotated[float, Field(ge=0)]
    """Sampling temperature; 0 is greedy decoding."""
    top_p: Annotated[float, Field(gt=0, le=1)]
    """Nucleus sampling: draw from the most probable tokens that together have this probability; 1 draws from all."""
    max_tokens: Positive
    """Cap on response tokens, the end token included; a response cut there counts as wrong."""
    selection: Annotated[list[str], Field(min_length=1), Once]
    """Checkpoint rules, declared before training: last | validation | best_on:<benchmark>."""
    endpoint: Literal["checkpoint", "late"]
    """Which accuracy claims are about. checkpoint: of the selected checkpoint on the benchmarks; late: on the problems
    held out of training, mean over the evaluations of the later half of the steps (train.evaluate_*), a far steadier number."""
    control_templates: Annotated[list[str], Once]
    """Further prompt templates under which the base model is measured: how much of a score is the prompt's."""
    engine: Literal["torch", "vllm"]
    """What generates the samples."""
    batch: Positive
    """Problems generated together."""
    bootstrap_draws: Positive
    """Resamples behind each confidence interval."""
    bootstrap_seed: Seed
    """Random seed of the resamples."""
    seed_variance: Literal["own", "pooled"]
    """Whose seeds give an interval its variance between training seeds: `own`, those of the arm; `pooled`, those of all
    trained arms of a model, which share one estimate (steadier with few seeds)."""

    def n_samples(self, benchmark: str) -> int:
        return self.samples.get(benchmark, self.samples["default"])

    def n_base(self, benchmark: str) -> int:
        return self.base_samples or self.n_samples(benchmark)
