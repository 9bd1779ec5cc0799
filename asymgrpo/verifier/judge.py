r"""Equality of two answers by math-verify. Runs only inside a worker: it may hang, or eat all memory."""

import logging
import random

import sympy
import sympy.core.random
from math_verify import parse
from math_verify import verify as equal
from sympy.core.cache import clear_cache

from asymgrpo.verifier.mends import readings, rewrite, settle

logging.disable(logging.CRITICAL)  # math-verify warns that it has no time limit; ours is outside of it

FLOAT_TOLERANCE = 1e-5
"""Largest relative difference between a decimal and an equal number; `0.333333` is 1e-6 off a third."""


def judge(answer: str, gold: str, mended: bool = True) -> str:
    """The verdict (correct, wrong or unparsed) on a boxed answer; `mended=False` is math-verify alone."""
    _forget()
    if not mended:
        return _compare(answer, gold, mended)
    answer, gold = rewrite(answer), rewrite(gold)
    settled = settle(answer, gold)
    if settled:
        return settled
    verdicts = [_compare(*reading, mended) for reading in readings(answer, gold)]
    return "correct" if "correct" in verdicts else verdicts[0]


def _compare(answer: str, gold: str, mended: bool) -> str:
    r"""math-verify's verdict, with both sides in ``\boxed{}``: it misreads bare golds (``3\sqrt{13}`` as 3).

    math-verify's own limits are off, since they rest on wall-clock time.
    """
    answers = parse(f"\\boxed{{{answer}}}", parsing_timeout=0)
    if not answers:
        return "unparsed"
    golds = parse(f"\\boxed{{{gold}}}", parsing_timeout=0)
    # The order matters: math-verify reads the prediction in the light of the gold. With
    # allow_set_relation_comp the answer `-4 < x \le 4` equals the gold `(-4, 4]`, as the reverse does anyway.
    if not equal(golds, answers, timeout_seconds=0, allow_set_relation_comp=mended):
        return "wrong"
    return "wrong" if mended and answer != gold and _contradicted(answers[0], golds[0]) else "correct"


def _contradicted(answer: object, gold: object) -> bool:
    """Are these numbers different after all?

    math-verify takes rationals for equal that agree in 15 digits, and decimals that agree in six places,
    however small they are (1e-7 = 2e-7). Here rationals are compared exactly, decimals by relative
    difference.
    """
    if not (isinstance(answer, sympy.Expr) and isinstance(gold, sympy.Expr)):
        return False
    if not (answer.is_number and gold.is_number):
        return False
    a, b = answer.doit(), gold.doit()
    if a.is_Rational and b.is_Rational:
        return a != b
    if not (a.has(sympy.Float) or b.has(sympy.Float)):
        return False
    try:
        x, y = complex(a), complex(b)
    except (TypeError, OverflowError):
        return False
    return abs(x - y) > FLOAT_TOLERANCE * max(abs(x), abs(y))


def _forget() -> None:
    """Remove what earlier pairs left behind: cached results, and the state of sympy's numeric tests."""
    clear_cache()
    random.seed(0)
    sympy.core.random.seed(0)
