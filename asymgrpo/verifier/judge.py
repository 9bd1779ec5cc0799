r"""Equality of two answers by math-verify. Runs only inside a worker: it may hang, or eat all memory."""

import logging
import random

import sympy.core.random
from math_verify import parse
from math_verify import verify as equal
from sympy.core.cache import clear_cache

logging.disable(logging.CRITICAL)  # math-verify warns that it has no time limit; ours is outside of it


def judge(answer: str, gold: str) -> str:
    r"""The verdict ("correct", "wrong" or "unparsed") on a boxed answer.

    Both sides are wrapped in ``\boxed{}``: bare golds are misread (``3\sqrt{13}`` as 3). math-verify's own
    limits are off, since they rest on wall-clock time.
    """
    _forget()
    parsed_answer = parse(f"\\boxed{{{answer}}}", parsing_timeout=0)
    if not parsed_answer:
        return "unparsed"
    parsed_gold = parse(f"\\boxed{{{gold}}}", parsing_timeout=0)
    # The order matters: math-verify reads the prediction in the light of the gold.
    return "correct" if equal(parsed_gold, parsed_answer, timeout_seconds=0) else "wrong"


def _forget() -> None:
    """Remove what earlier pairs left behind: cached results, and the state of sympy's numeric tests."""
    clear_cache()
    random.seed(0)
    sympy.core.random.seed(0)
