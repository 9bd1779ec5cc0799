r"""Equality of two answers by math-verify. Runs only inside a worker: it may hang, or use all memory."""

import logging
import random
import re

import sympy
import sympy.core.random
from math_verify import parse
from math_verify import verify as equal
from sympy.core.cache import clear_cache

from asymgrpo.verifier.fixes import readings, rewrite
from asymgrpo.verifier.identity import contradicted, same_function
from asymgrpo.verifier.reading import Reading, contains_equation, folds, is_assignment, read_answer, read_reference
from asymgrpo.verifier.settlers import settle
from asymgrpo.verifier.units import drop_letter_unit, share_letters

for noisy in (
    "math_verify",
    "latex2sympy2_extended",
):  # they warn that they have no time limit; ours is outside of them
    logging.getLogger(noisy).setLevel(logging.CRITICAL + 1)


def judge(answer: str, reference: str, with_fixes: bool = True) -> str:
    """The verdict (correct, wrong or unparsed) on a boxed answer; `with_fixes=False` is math-verify alone."""
    _forget()
    if not with_fixes:
        return _plain(answer, reference)
    if not reference.strip():
        return "wrong" if answer.strip() else "unparsed"
    reference, answer = rewrite(reference), rewrite(share_letters(answer, reference))
    if (text := canonical(answer)) and text == canonical(reference):
        return "correct"
    settled = settle(answer, reference)
    if settled:
        return settled
    verdicts = [_compare(drop_letter_unit(given, wanted), wanted) for given, wanted in readings(answer, reference)]
    return "correct" if "correct" in verdicts else verdicts[0]


def _compare(answer: str, reference: str) -> str:
    """The verdict on rewritten texts: the whole of the reference answer counts, or its text, never a number inside."""
    fold = folds(answer, reference)
    given = read_answer(answer, fold)
    if given is None and not _mathematics(answer):
        return "unparsed"
    wanted = read_reference(reference, fold)
    if given is None or wanted is None:
        return "correct" if canonical(answer) == canonical(reference) else "wrong"
    return "correct" if _equal(given, wanted, reference) else "wrong"


def _equal(given: Reading, wanted: Reading, reference: str) -> bool:
    # A relation is not its right-hand side: 0 does not answer x + y + z = 0, though math-verify says so.
    if contains_equation(wanted) and not contains_equation(given) and not is_assignment(reference):
        return False
    # The order matters: math-verify reads the prediction in the light of the reference answer. With
    # allow_set_relation_comp the answer `-4 < x \le 4` equals `(-4, 4]`, as the reverse does anyway.
    if equal(wanted, given, timeout_seconds=0, allow_set_relation_comp=True):
        return not contradicted(given, wanted)
    return isinstance(given, sympy.Expr) and isinstance(wanted, sympy.Expr) and same_function(given, wanted)


def canonical(text: str) -> str:
    r"""One spelling of a text for comparison as text: no space, no size of brackets, no braces around one sign.

    >>> canonical(r"\left( a_{1} , \dots \right)") == canonical(r"(a_1,\ldots)"), canonical("ab") == canonical("a+b")
    (True, False)
    """
    text = re.sub(r"\\(?:left|right|limits)(?![a-zA-Z])", "", text)
    text = re.sub(r",?\s*(?:\\(?:ldots|cdots|dots|dotsc|dotsb)(?![a-zA-Z])|\.\.\.)\s*,?", "…", text)
    text = re.sub(r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])", r"\1§", text)  # the space that ends a command's name
    text = re.sub(r"\s+", "", text).replace("§", " ")
    return re.sub(r"\{(\w)\}(?!\w)", r"\1", text)


def _mathematics(text: str) -> bool:
    """Does math-verify find anything at all in it?"""
    return bool(parse(f"\\boxed{{{text}}}", parsing_timeout=0))


def _plain(answer: str, reference: str) -> str:
    r"""math-verify alone, with both sides in ``\boxed{}``: it misreads bare reference answers (``3\sqrt{13}`` as 3).

    math-verify's own limits are off, since they rest on wall-clock time.
    """
    answers = parse(f"\\boxed{{{answer}}}", parsing_timeout=0)
    if not answers:
        return "unparsed"
    references = parse(f"\\boxed{{{reference}}}", parsing_timeout=0)
    return "correct" if equal(references, answers, timeout_seconds=0) else "wrong"


def _forget() -> None:
    """Remove what earlier pairs left behind: cached results, and the state of sympy's numeric tests."""
    clear_cache()
    random.seed(0)
    sympy.core.random.seed(0)
