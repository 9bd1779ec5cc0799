"""What a part of the acceptance is told, and how large its models are at each size."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Fault = Literal["stale", "slow", "nan", "leak"]
FAULTS: dict[Fault, tuple[str, ...]] = {
    "stale": ("F", "G"),
    "slow": ("E",),
    "nan": ("C", "G"),
    "leak": ("F",),
}
"""What can be planted to see that a part notices it, and the parts that must then fail."""


@dataclass(frozen=True)
class Size:
    """Sizes of models and batches. `small`: some seconds a part on any GPU; `full`: one card of 80 GB; `tiny`: two CPU cores."""

    shape: dict[str, int]
    """Of the model of parts C, F and G, in the words of a Hugging Face configuration."""
    wide: dict[str, int]
    """Of the model of parts D and E; `num_hidden_layers` is the most that D takes."""
    micro_batches: tuple[int, ...]
    """B: every update case is cut into micro-batches of these sizes."""
    stages: tuple[int, ...]
    """B: ZeRO stages."""
    tokens: int
    """C: of a sequence, prompt included."""
    chunk: int
    """C, D and E: `logits_chunk`."""
    memory_batch: tuple[int, int]
    """D: sequences and tokens of a micro-batch."""
    memory_tolerance: float
    """D: largest relative difference between measured and planned peaks."""
    offload_layers: int
    """D: layers of the model whose optimizer lies on the host; 0 leaves that out."""
    speed_layers: int
    speed_tokens: tuple[int, ...]
    speed_micro: tuple[int, ...]
    adamw_numbers: int
    """E: parameters of the timed optimizer step."""
    cycles: int
    """F: generate, sleep, wake, update, verify, so often."""
    prompts: int
    """F and G: per step; each has as many samples as there are prompts."""
    prompt_tokens: int
    response_tokens: int
    sequences: tuple[int, ...]
    """G: sequences that run at once while an iteration is timed."""
    iterations: int
    """G: tokens of a timed response."""


QWEN3_SMALL = {
    "vocab_size": 151936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
"""Qwen3-0.6B."""
QWEN3_WIDE = QWEN3_SMALL | {"hidden_size": 2560, "intermediate_size": 9728, "num_attention_heads": 32}
"""Qwen3-4B, but for its number of layers."""
TINY = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
}
TINY_WIDE = {
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
}
SIZES = {
    "tiny": Size(
        shape=TINY,
        wide=TINY_WIDE,
        micro_batches=(2, 8),
        stages=(0, 2),
        tokens=64,
        chunk=32,
        memory_batch=(2, 24),
        memory_tolerance=0.15,
        offload_layers=0,
        speed_layers=4,
        speed_tokens=(64, 128),
        speed_micro=(2, 4),
        adamw_numbers=1_000_000,
        cycles=3,
        prompts=4,
        prompt_tokens=8,
        response_tokens=16,
        sequences=(2, 8),
        iterations=16,
    ),
    "small": Size(
        shape=QWEN3_SMALL | {"num_hidden_layers": 6},
        wide=QWEN3_WIDE | {"num_hidden_layers": 4},
        micro_batches=(2, 8),
        stages=(0, 1, 2, 3),
        tokens=1024,
        chunk=1024,
        memory_batch=(2, 1024),
        memory_tolerance=0.10,
        offload_layers=1,
        speed_layers=3,
        speed_tokens=(1024, 2048),
        speed_micro=(2, 4),
        adamw_numbers=100_000_000,
        cycles=4,
        prompts=6,
        prompt_tokens=32,
        response_tokens=64,
        sequences=(8, 64),
        iterations=32,
    ),
    "full": Size(
        shape=QWEN3_SMALL,
        wide=QWEN3_WIDE | {"num_hidden_layers": 12},
        micro_batches=(1, 2, 8),
        stages=(0, 1, 2, 3),
        tokens=2048,
        chunk=2048,
        memory_batch=(4, 4096),
        memory_tolerance=0.10,
        offload_layers=6,
        speed_layers=8,
        speed_tokens=(2048, 4608),
        speed_micro=(4, 8, 16),
        adamw_numbers=500_000_000,
        cycles=10,
        prompts=8,
        prompt_tokens=96,
        response_tokens=256,
        sequences=(8, 64, 256),
        iterations=128,
    ),
}
SECONDS = {
    "tiny": dict.fromkeys("ABCDEFG", 240.0),
    "small": {"A": 60.0, "B": 120.0, "C": 90.0, "D": 120.0, "E": 90.0, "F": 240.0, "G": 240.0},
    "full": {"A": 60.0, "B": 90.0, "C": 80.0, "D": 110.0, "E": 80.0, "F": 180.0, "G": 180.0},
}
"""Time limit of each part, of which the work is to take about half; `--limit` multiplies it."""
NAMES = {
    "A": "environment",
    "B": "parity",
    "C": "bfloat16",
    "D": "memory",
    "E": "speed",
    "F": "vllm",
    "G": "join",
}


@dataclass(frozen=True)
class Options:
    size: str
    device: Literal["cpu", "cuda"]
    out: Path
    """Folder of reports and logs."""
    work: Path
    """Folder of models and other files that nobody reads afterwards."""
    vllm: dict[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM's `LLM`, such as {"attention_backend": "TRITON_ATTN"}."""
    faults: tuple[Fault, ...] = ()
    head_dtype: Literal["float32", "model"] = "float32"
    """F and G: of the logits, in trainer and sampler (asymgrpo.study.sections.train.Train)."""

    @property
    def sizes(self) -> Size:
        return SIZES[self.size]

    def dumps(self) -> str:
        return json.dumps(asdict(self), default=str)


def loads(text: str) -> Options:
    told = json.loads(text)
    return Options(**told | {"out": Path(told["out"]), "work": Path(told["work"]), "faults": tuple(told["faults"])})
