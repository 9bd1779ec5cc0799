"""The specification of a tiny model: `models.<name>.spec` in a study's configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from asymgrpo.errors import InputError
from asymgrpo.section import Positive, Section, Seed
from asymgrpo.tasks.families import Family, family


class TinySpec(Section):
    """Architecture and supervised training of the tiny model: `models.<name>.spec` in a study's configuration."""

    seed: Seed
    """Of the texts, the initial weights and the order of batches."""
    hidden_size: Positive
    """Width of the residual stream."""
    intermediate_size: Positive
    """Width of each feed-forward block."""
    layers: Positive
    """Transformer blocks."""
    heads: Positive
    """Query heads per layer, a multiple of kv_heads."""
    kv_heads: Positive
    """Key and value heads per layer."""
    head_dim: Positive
    """Width of each head, an even number."""
    max_positions: Positive
    """Most tokens of prompt and response together."""
    examples: Positive
    """Distinct sums; each is seen once per epoch, with one solution."""
    epochs: Positive
    """Passes over the texts in supervised training."""
    batch: Positive
    """Sequences per update."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Peak rate of AdamW: embeddings, norms, output head."""
    muon_learning_rate: Annotated[float, Field(gt=0)]
    """Peak rate of Muon: the matrices of the layers."""
    error_rate: Annotated[float, Field(ge=0, lt=1)]
    """Probability that one step of a solution slips: the lever of the base accuracy."""
    styles: dict[str, Annotated[float, Field(ge=0)]]
    """Weight of each solution style (STYLES of its task)."""
    probe_problems: Positive
    """Problems per chain length in the accuracy reported with the model; 8 samples each at temperature 1."""

    architecture: Literal["qwen3", "llama", "olmo3"] = "qwen3"
    """Whose layers, as in transformers. olmo3 is sampled and trained by transformers' own forward pass, several times slower."""

    task: Family = "chain_sum"
    """Which task it learns (asymgrpo.tasks.families): sums, or least common multiples."""

    @model_serializer(mode="wrap")
    def _told(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is as it always was: models that were made before there was a choice keep their settings."""
        first = {"architecture": "qwen3", "task": "chain_sum"}
        return {key: value for key, value in fields(self).items() if value != first.get(key)}

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        known = family(self.task).STYLES
        if self.heads % self.kv_heads:
            raise ValueError(f"heads = {self.heads} must be a multiple of kv_heads = {self.kv_heads}; change one")
        if self.head_dim % 2:
            raise ValueError(f"head_dim = {self.head_dim} must be even, for its rotary embedding; change it")
        if unknown := sorted(name for name, weight in self.styles.items() if weight and name not in known):
            raise ValueError(f"styles has {unknown[0]!r}; choose among {', '.join(known)}")
        if not sum(self.styles.values()) > 0:
            raise ValueError("styles needs a weight above 0; give one")
        return self


class SpecError(InputError):
    """The specification of a base model is wrong; the message names the key."""


def parse_spec(mapping: Any) -> TinySpec:
    """The specification in a mapping. Raises SpecError, naming the key."""
    if not isinstance(mapping, dict):
        raise SpecError(
            f"tiny model: the specification is {mapping!r:.80}, not keys with values; give a YAML or JSON object."
        )
    try:
        return TinySpec.model_validate(mapping)
    except ValidationError as error:
        first = error.errors()[0]
        key = f"key {'.'.join(str(part) for part in first['loc'])!r}: " if first["loc"] else ""
        raise SpecError(
            f"tiny model: {key}{first['msg'].removeprefix('Value error, ')}; correct it in the model's `spec`."
        ) from None
