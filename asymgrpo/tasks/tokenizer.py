"""The tiny model's tokenizer: one token per character of a sum, one for the opening of the box, 21 in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNKNOWN, BOX = "<pad>", "<eos>", "<unk>", "\\boxed{"
VOCABULARY = (PAD, EOS, UNKNOWN, BOX, "}", "\n", "=", "+", "-", ",", " ", *"0123456789")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer over VOCABULARY; a character outside it becomes `<unk>`, nothing is added around a text.

    >>> tokenizer = build_tokenizer()
    >>> tokenizer.decode(tokenizer.encode("3+17\\n"))
    '3+17\\n'
    >>> len(tokenizer.encode("\\\\boxed{-8}"))
    4
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate(VOCABULARY)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\\boxed\{|[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
