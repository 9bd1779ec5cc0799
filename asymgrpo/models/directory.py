"""A model directory: what must be in it, and its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asymgrpo.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def reason(error: BaseException) -> str:
    """The first line of what a library says, with its kind."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def require_file(directory: Path, name: str) -> None:
    """Raises ModelError when a file that every model directory has is missing."""
    if not (directory / name).is_file():
        raise ModelError(
            f"{directory} is not a model directory: {name} is missing; make it with python -m asymgrpo.models.load."
        )


def load_tokenizer(directory: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a local directory, padding on the left as generation needs it. Raises ModelError.

    tokenizer.json is the whole tokenizer; loading it by its general class spares the seconds that AutoTokenizer takes to import
    every model family (a test compares the two). Without tokenizer_config.json it would load too, and be another one.
    """
    from transformers import PreTrainedTokenizerFast

    for name in ("tokenizer.json", "tokenizer_config.json"):
        require_file(Path(directory), name)
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(directory, local_files_only=True)
    # The tokenizers library raises plain exceptions.
    except Exception as error:
        raise ModelError(
            f"{directory}: the tokenizer cannot be read ({reason(error)}); fetch the model again."
        ) from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer
