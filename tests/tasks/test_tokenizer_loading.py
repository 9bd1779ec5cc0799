"""The quick way to load a tokenizer gives what transformers' own way gives."""

import pytest

from asymgrpo.models.directory import load_tokenizer
from asymgrpo.tasks.prompts import render
from asymgrpo.tasks.tokenizer import build_tokenizer

TEXTS = [
    "3+17-4\n",
    "\\boxed{21}",
    "Let $x^2 = 4$, so  x = \\pm 2.\n\nThus…",
    "naïve 数学 🙂",
    "<|im_start|>user\nHi<|im_end|>\n",
]


@pytest.fixture(scope="module")
def smollm2_tokenizer(tmp_path_factory):
    """The tokenizer inside the packaged GGUF file, saved as the workflow saves it."""
    from transformers import AutoTokenizer

    from asymgrpo.models.load import gguf_file

    directory = tmp_path_factory.mktemp("smollm2")
    path = gguf_file()
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(directory)
    return directory


def test_tiny(tmp_path):
    from transformers import AutoTokenizer

    build_tokenizer().save_pretrained(tmp_path)
    quick, reference = load_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = quick(text, add_special_tokens=False)["input_ids"]
        assert ids == reference(text, add_special_tokens=False)["input_ids"]
        assert quick.decode(ids) == reference.decode(ids)


@pytest.mark.slow
def test_smollm2(smollm2_tokenizer):
    from transformers import AutoTokenizer

    quick, reference = load_tokenizer(smollm2_tokenizer), AutoTokenizer.from_pretrained(smollm2_tokenizer)
    for text in [*TEXTS, render("chat_boxed", "What is 2+2?", quick)]:
        ids = quick(text, add_special_tokens=False)["input_ids"]
        assert ids == reference(text, add_special_tokens=False)["input_ids"]
        assert quick.decode(ids, skip_special_tokens=True) == reference.decode(ids, skip_special_tokens=True)
    assert render("chat_boxed", "2+2?", quick) == render("chat_boxed", "2+2?", reference)
    assert quick.eos_token_id == reference.eos_token_id
