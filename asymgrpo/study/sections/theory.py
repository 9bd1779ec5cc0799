"""`theory`: the tabular study, which needs no model."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from asymgrpo.section import Once, Positive, Section, Seed


class Theory(Section):
    """The tabular study and the entropy table of asymgrpo.theory; groups have `train.group_size` rollouts."""

    prompts: Positive
    """Prompts of a seed, each a softmax of its own."""
    answers: Annotated[int, Field(ge=2)]
    """Answers that a prompt can be given."""
    most_correct: Positive
    """From 1 to this many answers of a prompt are correct, each number as likely; fewer than `answers`."""
    spread: Annotated[float, Field(ge=0)]
    """Standard deviation of the logits before training, which are normal."""
    seeds: Annotated[int, Field(ge=2)]
    """Number of seeds, each with its own prompts and draws; all arms have the same."""
    seed: Seed
    """The first seed; the others follow it."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Of the plain gradient, for every arm."""
    natural_learning_rate: Annotated[float, Field(gt=0)]
    """Of the natural gradient, for every arm."""
    success: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1), Once]
    """Mean success rates at which arms are compared."""
    k: Annotated[list[Positive], Field(min_length=1), Once]
    """pass@k is computed for these k, exactly."""
    max_steps: Positive
    """Updates after which an arm that has not reached the highest rate is given up."""
    cases: Positive
    """Random policies, with one group each, on which the entropy equation is tried."""

    @model_validator(mode="after")
    def _some_wrong(self) -> Self:
        if self.most_correct >= self.answers:
            raise ValueError("most_correct must be below answers, or some prompt has no wrong answer")
        return self
