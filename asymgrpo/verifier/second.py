r"""A second grader that shares no rule with the first: strings, then numbers, in plain Python.

It is weaker than math-verify (no algebra) and is never a reward. Its disagreement with the first grader is a
column of Table 1: if one arm has more of it than another, that arm may have learnt the first grader's mistakes.
"""

import math
import re
from functools import lru_cache

from asymgrpo.verifier.verdict import MAX_ANSWER_CHARS

DECIMAL_TOLERANCE = 1e-6
"""Relative: two numbers of which one is a decimal are equal within six digits."""
EXACT_TOLERANCE = 1e-12
"""Relative: for whole numbers, fractions and roots, room for the rounding of floats only."""
MAX_CHARS = 500
"""Longer answers are compared as strings alone."""

_BRACKETS = {"(": ")", "[": "]", "\\{": "\\}"}
_TOKEN = re.compile(r"\d+\.?\d*|\.\d+|\\[a-zA-Z]+|[-+*/^(){}\[\]]|\S")


def second_correct(extracted: str, reference: str) -> bool:
    r"""Is the extracted answer equal to the reference answer as a string, a number, a list (no order) or a tuple (order)?

    Never, if either has more than MAX_ANSWER_CHARS characters: the first grader does not look at such an answer either, and
    patterns that look ahead take time that grows with the square of the length.

    >>> second_correct(r"\dfrac12", "0.5"), second_correct("2, 1", "1,2"), second_correct("(2,1)", "(1,2)")
    (True, True, False)
    """
    if max(len(extracted), len(reference)) > MAX_ANSWER_CHARS:
        return False
    answer, wanted = normalise(extracted), normalise(reference)
    try:
        return bool(answer) and _equal(answer, wanted)
    except RecursionError:  # brackets in brackets, too deep to be an answer
        return False


def normalise(text: str) -> str:
    r"""One spelling for what differs in typesetting only: spaces, delimiters, fonts, units, `x =`.

    >>> normalise(r"$x = \left(1{,}000,\ \dfrac{1}{2}\right)\text{ cm}$."), normalise(r"90^{\circ}")
    ('(1000,\\frac{1}{2})', '90')
    """
    text = re.sub(r"\\(?:left|right|displaystyle|mathrm|mathbf|textbf|,|!|;|:|quad|qquad)(?![a-zA-Z])|\\ |\$", "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\text\{\s*(and|or)\s*\}|(?<=[\d)])\s+(and|or)\s+(?=[-\d(])", ",", text)
    text = re.sub(r"(?<=[\d})])\s*\\text\{[^{}]*\}(?:\^\{?\d\}?)?", "", text)  # a unit
    text = re.sub(r"\\(?:text|mbox)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\^\{?\\circ\}?|\\?%|\\\$", "", text)
    text = re.sub(r"(?<![\d,])\d{1,3}(?:(?:\{,\}|,)\d{3})+(?!,?\d)", lambda match: re.sub(r"\D", "", match[0]), text)
    text = re.sub(r"\s+", "", text).rstrip(".").lower()
    return re.sub(r"^[a-z](?:\([a-z]\))?=(?=[^=]+$)", "", text)


def _equal(answer: str, wanted: str) -> bool:
    if answer == wanted:
        return True
    x, y = number(answer), number(wanted)
    if x is not None and y is not None:
        return math.isclose(x, y, rel_tol=DECIMAL_TOLERANCE if "." in answer + wanted else EXACT_TOLERANCE)
    opened, parts = _parts(answer)
    opened_wanted, parts_wanted = _parts(wanted)
    if opened != opened_wanted or len(parts) != len(parts_wanted) or len(parts) < 2:
        return False
    if opened:  # a tuple or an interval: the order counts
        return all(_equal(a, w) for a, w in zip(parts, parts_wanted, strict=True))
    left = list(parts_wanted)
    for part in parts:
        match = next((w for w in left if _equal(part, w)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _parts(text: str) -> tuple[str, list[str]]:
    r"""The brackets around everything ("" for a list or a set) and what the outer commas part."""
    if text.startswith("\\{") and text.endswith("\\}"):
        text = text[2:-2]
    pieces = _split(text)
    if len(pieces) == 1 and text[:1] in ("(", "[") and text[-1:] in (")", "]"):
        return text[0] + text[-1], _split(text[1:-1])
    return "", pieces


def _split(text: str) -> list[str]:
    pieces, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


@lru_cache(maxsize=4096)  # a list is compared element by element with every element
def number(text: str) -> float | None:
    r"""The value of a numeral expression with + - * / ^, fractions, roots and pi; None for anything else.

    >>> number(r"1\frac{1}{2}"), number(r"\frac{\sqrt{16}}{2^{3}}"), number("2x"), number(r"9^{9^{9^9}}")
    (1.5, 0.5, None, None)
    """
    if len(text) > MAX_CHARS:
        return None
    try:
        return _Numeral(_TOKEN.findall(text)).value()
    except (ValueError, ArithmeticError, IndexError, TypeError, RecursionError):
        return None


class _Numeral:
    """Recursive descent over tokens; every method reads one construct and returns its value."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens
        self.at = 0

    def value(self) -> float:
        result = self.sum()
        if self.at < len(self.tokens):
            raise ValueError("not a number")
        return result

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def sum(self) -> float:
        result = self.product()
        while self.peek() in ("+", "-"):
            result += self.product() if self.take() == "+" else -self.product()
        return result

    def product(self) -> float:
        result = self.signed()
        while self.peek() not in ("", "+", "-", ")", "}", "]"):
            sign = self.peek() if self.peek() in ("*", "/", "\\cdot", "\\times") else ""
            if sign:
                self.take()
            mixed = self.peek() == "\\frac" and not sign and self.tokens[self.at - 1].isdigit()
            factor = self.signed()
            if mixed:  # a mixed number: 1\frac{1}{2}
                result += math.copysign(factor, result)
            else:
                result = result / factor if sign == "/" else result * factor
        return result

    def signed(self) -> float:
        if self.peek() in ("-", "+"):
            return -self.signed() if self.take() == "-" else self.signed()
        base = self.atom()
        if self.peek() == "^":
            self.take()
            exponent = self.argument()
            base = math.pow(base, exponent)
        return base

    def atom(self) -> float:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if token in ("(", "{"):
            result = self.sum()
            if self.take() != {"(": ")", "{": "}"}[token]:
                raise ValueError("unbalanced")
            return result
        if token == "\\pi":
            return math.pi
        if token == "\\frac":
            above = self.argument()
            return above / self.argument()
        if token == "\\sqrt":
            degree = 2.0
            if self.peek() == "[":
                self.take()
                degree = self.sum()
                self.take()
            return math.pow(self.argument(), 1 / degree)
        raise ValueError(f"unknown {token}")

    def argument(self) -> float:
        """A braced group, or as LaTeX has it a single digit or command."""
        if self.peek() == "-":
            self.take()
            return -self.argument()
        if self.peek()[:1].isdigit() and len(self.peek()) > 1:
            digit, rest = self.peek()[0], self.peek()[1:]
            self.tokens[self.at] = rest
            return float(digit)
        return self.atom()
