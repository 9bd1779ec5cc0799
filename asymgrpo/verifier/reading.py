r"""What a text says as a whole: a sympy object, or nothing. Runs only inside a worker.

math-verify takes what it can get: when the whole of a text does not parse, it falls back to the last equation, to a fraction or
to a number inside. That is no reading of a reference answer. Here a text either parses from its first to its last sign or has
no reading, and is then compared as text.
"""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy, normalize_latex
from math_verify import parse
from math_verify.grader import should_treat_as_complex
from math_verify.parser import LatexExtractionConfig, get_last_eq
from sympy import Basic, Derivative, Eq, MatrixBase, Symbol, nan, zoo

# Units are ours (`units`): math-verify's own list takes the s of 2s and the c of a+b+c for units.
_NORMAL = replace(LatexExtractionConfig().normalization_config, boxed="none", units=False)
_ELLIPSIS = re.compile(r"\\(?:ldots|cdots|dots|dotsc|dotsb|vdots|ddots)(?![a-zA-Z])|\.\.")

# Not within a command or a word, nor already the content of a font.
_NOT_SET = r"(?<![\\a-zA-Z])(?<!cal\{)(?<!scr\{)(?<!frak\{)(?<!bb\{)(?<!text\{)(?<!rm\{)(?<!bf\{)(?<!it\{)"

Reading: TypeAlias = Any
"""A sympy object, or None where there is no reading."""


@lru_cache(maxsize=64)
def read(text: str, fold: bool) -> Reading:
    """The sympy object that the whole text stands for; None if any part of it is not understood.

    `fold` takes capital and small letters for the same variable. Cached, since a group of responses shares a reference answer
    and parsing is most of the work.
    """
    if not text.strip() or _ELLIPSIS.search(text):
        return None
    if not fold:  # capital E and I are letters here, not Euler's number and the imaginary unit
        text = re.sub(rf"{_NOT_SET}([EI])(?![a-zA-Z])", r"\\mathcal{\1}", text)
    normal = normalize_latex(_letters_apart(text), _NORMAL)
    try:
        found = latex2sympy(
            normal,
            is_real=not should_treat_as_complex(normal),
            convert_degrees=False,
            normalization_config=None,
            conversion_config=ConversionConfig(lowercase_symbols=fold),
        )
    except Exception:  # the parser raises bare exceptions, and any kind on nonsense
        return None
    if isinstance(found, Basic):
        found = found.replace(_is_unevaluable, _as_symbol)
    # What has no value equals everything of its kind; a misread function is the usual reason.
    return None if isinstance(found, Basic) and found.has(nan, zoo) else found


def _is_unevaluable(part: Basic) -> bool:
    """The derivative of a letter that stands for an unknown function: sympy takes dv/dt for 0."""
    return (
        isinstance(part, Derivative)
        and not part.expr.free_symbols & set(part.variables)
        and bool(part.expr.free_symbols)
    )


def _as_symbol(derivative: Derivative) -> Symbol:
    return Symbol(str(derivative), real=True)


def _letters_apart(text: str) -> str:
    """E_1 and gamma are variables, which the grammar takes for Euler's number and for the gamma function."""
    text = re.sub(r"\\gamma(?![a-zA-Z])", r"\\mathcal{g}", text)
    return re.sub(rf"{_NOT_SET}([EI])(?=\s*_)", r"\\mathcal{\1}", text)


def read_reference(text: str, fold: bool) -> Reading:
    """A reading of a reference answer: the whole, or the last name and value of a chain of equations."""
    whole = read(text, fold)
    members = text.split("=")
    if whole is None and len(members) > 2 and _NAME.fullmatch(members[-2].strip()):
        return read("=".join(members[-2:]), fold)
    return whole


def read_answer(text: str, fold: bool) -> Reading:
    """A reading of an answer: the whole, the end of a chain of equations, or what math-verify finds in prose.

    Unlike a reference answer it may contain prose. Without words a formula that does not parse has no reading.
    """
    words = len(_WORD.findall(re.sub(r"\\[a-zA-Z]+(?:\s*\{[a-zA-Z .,]*\})?", " ", text)))
    if (words > 1 or (words and ":" in text)) and (found := _in_prose(text)) is not None:
        return found
    for part in (text, get_last_eq(text), _without_words(text)):
        if (found := read(part, fold)) is not None:
            return found
    return _in_prose(text) if words == 1 else None


def _in_prose(text: str) -> Reading:
    """What math-verify takes for the answer that a sentence states."""
    found = parse(text, parsing_timeout=0, fallback_mode="no_fallback")
    return found[0] if found and isinstance(found[0], (Basic, MatrixBase)) else None


# A word of three letters that is no function, with something beside it.
_WORD = re.compile(
    r"(?:(?<=\s)|^)(?!(?:and|not|(?:arc)?(?:sin|cos|tan|log|exp|max|min|gcd|lcm|mod|det|sqrt))\b)[A-Za-z][a-z']{2,}(?=[\s:,.]*\S)",
    re.MULTILINE,
)


def _without_words(text: str) -> str:
    """What words surround; nothing where there is no word, since a stray comma is no prose."""
    bare = re.sub(r"\\(?:text[a-z]*|mathrm|mbox)\s*\{[^{}]*\}", " ", text)
    bare = re.sub(r"(?<![\\a-zA-Z])(?:[A-Za-z']{2,}|[aAI](?=\s))(?![a-zA-Z])", " ", bare)
    return bare.replace("$", " ").strip(" .,:;!?\n\t") if bare != text else ""


def folds(answer: str, reference: str) -> bool:
    r"""Do capital and small letters name the same things here? Not if one text has a letter in both sizes.

    >>> folds("2X", "2x"), folds("1", r"\frac{R}{r}")
    (True, False)
    """
    for text in (answer, reference):
        bare = re.sub(r"\\[a-zA-Z]+", " ", text)
        if {letter.lower() for letter in bare if letter.isupper()} & {letter for letter in bare if letter.islower()}:
            return False
    return True


_NAME = re.compile(
    r"(?:\\(?!frac|sqrt|sin|cos|tan|log|ln)[a-zA-Z]+\s*(?:\{[a-zA-Z']+\})?|[a-zA-Z])(?:_(?:\{[^{}]*\}|\w))?'*(?:\^\{?(?:\\prime|\*|\\ast)+\}?)?"
    r"(?:\([^()=]*\))?|[|]?[A-Z]{2,}[|]?|(?:\\angle|\\overline|\\widehat|m\\angle)\s*\{?[A-Z]+\}?|\([a-zA-Z](?:,[a-zA-Z])*\)"
)


_RATIO_OF_NAMES = re.compile(r"\\frac\{[A-Z]{2,}\}\{[A-Z]{2,}\}|[A-Z]{2,}/[A-Z]{2,}")


def is_assignment(text: str) -> bool:
    r"""Does every equation of the text give a value to a name, so that the value alone answers it? `x+y+z=0` does not.

    >>> is_assignment("x = 5"), is_assignment("f(x)=2x"), is_assignment("AB=4, CD=5"), is_assignment(r"m_{max}=n^2")
    (True, True, True, True)
    >>> is_assignment("a+b=10"), is_assignment("x + y + z = 0"), is_assignment("MR=SRMC"), is_assignment("xy=1")
    (False, False, False, False)
    """
    return all(_names_value(part) for part in _outer_commas(text) if "=" in part)


def _names_value(equation: str) -> bool:
    """A chain counts if one of its members before the last is a name."""
    *names, value = re.sub(r"\s+", "", equation).split("=")
    if any(re.fullmatch(r"[A-Z]{2,}", name) for name in names) and re.search(r"[A-Z]{2,}", value):
        return False  # a relation between named quantities
    return any(_NAME.fullmatch(name) or _RATIO_OF_NAMES.fullmatch(name) for name in names)


def _outer_commas(text: str) -> list[str]:
    pieces, depth = [""], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign in ",;" and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += sign
    return pieces


def contains_equation(expression: Reading) -> bool:
    """Is it an equation, or a chain or list of them?"""
    if isinstance(expression, Eq):
        return True
    parts = getattr(expression, "_unsorted_args", ())
    return bool(parts) and all(isinstance(part, Eq) for part in parts)
