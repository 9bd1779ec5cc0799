"""`models.NAME`: a base model, and what it changes of the study."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from asymgrpo.section import Section
from asymgrpo.tasks.benchmarks import Month


class Model(Section):
    """A base model, materialised once into a local directory."""

    kind: Literal["tiny", "gguf", "hub"]
    """tiny: trained by the workflow; gguf: shipped in a Python package; hub: downloaded on the head node."""
    template: str
    """Prompt template (asymgrpo.tasks.prompts)."""
    hub_id: str | None = None
    """Name on the Hugging Face hub, for example Qwen/Qwen3-4B, when `kind` is `hub`."""
    paper: str | None = None
    """Name of this model in the paper's table (evals.tables.paper_values): Table 1 has its numbers beside ours; null: none."""
    knowledge_cutoff: Month | None = None
    """Month, YYYY-MM, after which no text that it was trained on was written; that of its release is a safe bound. Table 1 marks
    the benchmarks that are younger; null: not known, no mark."""
    spec: dict[str, Any] = Field(default={})
    """Architecture and supervised training of a tiny model."""
    train: dict[str, Any] = Field(default={})
    """Changes to the study's `train` for this model: lengths, batch, memory."""
    evaluation: dict[str, Any] = Field(default={})
    """Changes to the study's `evaluation` for this model: how it samples, not what it is asked."""
