"""`data`: where problems come from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from asymgrpo.section import Positive, Section, Seed


class Embedded(Section):
    """Sizes of the generated sets."""

    train_size: Positive
    """Problems of the training set, those held out for validation included."""
    benchmark_size: Positive
    """Problems of each benchmark."""
    seed: Seed
    """Random seed of the generated problems."""


class Data(Section):
    """Where problems come from."""

    source: Literal["embedded", "directory", "hub"]
    """embedded: the workflow generates problems; directory: it reads files of `dir`; hub: it downloads them from Hugging Face."""
    dir: Path | None = None
    """Folder with the benchmark files when source is `directory`."""
    train: str
    """Name of the training set (asymgrpo.tasks)."""
    train_limit: Positive | None = None
    """Use only the first problems of the training set (small real-data runs)."""
    validation_size: Positive
    """Problems held out of the training set: the rule `validation` selects checkpoints on them and never looks at a benchmark."""
    split_by: Literal["problem", "numbers"] = "problem"
    """What the split into training and held-out problems keeps together. numbers: problems of a generated set that have the same
    numbers in another order or wording, so that none is held out while another is trained on; sets that are not generated are
    split by problem. problem: nothing, as in studies made before this key."""
    embedded: Embedded
    """Sizes and seed of the generated sets; other sources do not use them."""
