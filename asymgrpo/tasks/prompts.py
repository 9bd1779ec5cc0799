"""Prompt templates by name: the same one serves training and evaluation of a model, and its name is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asymgrpo.errors import InputError

INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."


class PromptError(InputError):
    """A prompt cannot be made; the message names the template and the remedy."""


def plain(problem: str, tokenizer: Any) -> str:
    """The problem and a line break: the tiny model's form."""
    return f"{problem}\n"


def plain_boxed(problem: str, tokenizer: Any) -> str:
    """The problem and the instruction without chat markup: a control for base models."""
    return f"{problem}\n{INSTRUCTION}\n"


def chat_boxed(problem: str, tokenizer: Any) -> str:
    """One user turn: the problem, then the instruction. Thinking is switched off where the chat template knows it."""
    return _chat([{"role": "user", "content": f"{problem}\n{INSTRUCTION}"}], tokenizer)


def qwen_boxed(problem: str, tokenizer: Any) -> str:
    """The instruction as system turn, the problem as user turn: the form of Qwen2.5-Math's own evaluation."""
    turns = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": problem}]
    return _chat(turns, tokenizer)


def words_examples(problem: str, tokenizer: Any) -> str:
    """Three solved problems in words, each closed by the end token, then the problem: a small model learns the form from them."""
    from asymgrpo.tasks.words import EXAMPLES

    if not getattr(tokenizer, "eos_token", None):
        raise PromptError("the model's tokenizer has no end token; use the prompt template 'plain' for it.")
    solved = "".join(f"Q: {one.text}\nA: {one.solution}{tokenizer.eos_token}\n" for one in EXAMPLES)
    return f"{solved}Q: {problem}\nA:"


def _chat(turns: list[dict[str, str]], tokenizer: Any) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise PromptError(
            "the model's tokenizer has no chat template; use the prompt template 'plain' or 'plain_boxed' for it."
        )
    try:
        # A template that does not know `enable_thinking` ignores it.
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    # A chat template is a program of the model's authors, and raises what it likes ("system role not supported").
    except Exception as error:
        raise PromptError(
            f"the model's chat template fails ({type(error).__name__}: {str(error)[:160]}); use another prompt template, or "
            "correct the model's chat template."
        ) from None


TEMPLATES: dict[str, Callable[[str, Any], str]] = {
    "plain": plain,
    "plain_boxed": plain_boxed,
    "chat_boxed": chat_boxed,
    "qwen_boxed": qwen_boxed,
    "words_examples": words_examples,
}


def render(template: str, problem: str, tokenizer: Any) -> str:
    """The text that the model continues. Tokenise it without adding special tokens: chat templates carry their own.

    >>> render("plain", "3+17-4", None)
    '3+17-4\\n'
    """
    if template not in TEMPLATES:
        raise PromptError(f"unknown prompt template {template!r}; choose one of {', '.join(TEMPLATES)}.")
    return TEMPLATES[template](problem, tokenizer)
