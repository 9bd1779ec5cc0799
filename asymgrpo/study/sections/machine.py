"""`machine` and `containers`: what jobs run on and in. No result depends on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from asymgrpo.section import Positive, Section


class Machine(Section):
    """What one training job asks of the machine or cluster that it runs on."""

    kind: str
    """cpu, or a GPU kind of asymgrpo/planner/gpu_kinds.yaml: every rank has one such GPU, and a plan that cannot fit is
    refused."""
    cpus_per_rank: Positive
    """CPU threads of each training process."""
    memory_gb: Positive | None
    """Host memory per node, in GB; null takes the planner's figure (GPU kinds only)."""
    hours: Annotated[float, Field(gt=0)] | None
    """Time limit; a job that reaches it continues in a new job. null takes twice the planner's figure (GPU kinds only)."""

    @property
    def has_gpus(self) -> bool:
        return self.kind != "cpu"


class Containers(Section):
    """The images that jobs run in (containers/README.md)."""

    mode: Literal["none", "apptainer"]
    """none: jobs run in the environment that runs snakemake; apptainer: every job runs in an image."""
    base: Literal["docker", "debootstrap"] = "docker"
    """What images to be built start from: a container registry's Debian, or a Debian mirror's."""
    base_lock: Path = Path("containers/base.lock.json")
    """Where the first build of a base records what it got; later builds are held to it."""
    lock: Path = Path("requirements/gpu.lock")
    """What is installed into images train and evaluate: gpu.lock (CUDA, vLLM, hashes), or cpu.lock."""
    images: dict[Literal["train", "evaluate", "report"], Path] = Field(default={})
    """Image files made elsewhere; images that are not named are built by the workflow when a job needs them."""
    wheels: Path | None = None
    """Directory with everything that the locks name, for sites without a package index; null downloads it on the head node."""
    build: Literal["local", "job"] = "local"
    """Where images are built once their wheels are there: on the head node, or in a job of the cluster."""

    @model_validator(mode="before")
    @classmethod
    def _plain_word(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value
