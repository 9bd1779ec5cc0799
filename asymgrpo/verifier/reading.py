r"""What a text says as a whole: a sympy object, or nothing. Runs only inside a worker.

math-verify takes what it can get: when the whole of a text does not parse, it falls back to the last equation, to a fraction or
to a number inside. That is no reading of a reference answer. Here a text either parses from its first to its last sign or has
no reading, and is then compared as text.
"""

import re
from dataclasses import replace

from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy, normalize_latex
from math_verify.grader import should_treat_as_complex
from math_verify.parser import LatexExtractionConfig, get_last_eq
from sympy import Basic, Eq, MatrixBase, Symbol

# Units are ours (`units`): math-verify's own list takes the s of 2s and the c of a+b+c for units.
_NORMAL = replace(LatexExtractionConfig().normalization_config, boxed="none", units=False)
_ELLIPSIS = re.compile(r"\\(?:ldots|cdots|dots|dotsc|dotsb|vdots|ddots)(?![a-zA-Z])|\.\.")

Reading = Basic | MatrixBase | None


def read(text: str, fold: bool) -> Reading:
    """The sympy object that the whole text stands for; None if any part of it is not understood.

    `fold` takes capital and small letters for the same variable.
    """
    if not text.strip() or _ELLIPSIS.search(text):
        return None
    if not fold:  # capital E and I are letters here, not Euler's number and the imaginary unit
        text = re.sub(r"(?<![\\a-zA-Z{])([EI])(?![a-zA-Z])", r"\\mathcal{\1}", text)
    normal = normalize_latex(_subscripted_constants(text), _NORMAL)
    try:
        return latex2sympy(
            normal,
            is_real=not should_treat_as_complex(normal),
            convert_degrees=False,
            normalization_config=None,
            conversion_config=ConversionConfig(lowercase_symbols=fold),
        )
    except Exception:  # the parser raises bare exceptions, and any kind on nonsense
        return None


def _subscripted_constants(text: str) -> str:
    """E_1 is a variable, which the grammar reads as Euler's number and stops at the subscript."""
    return re.sub(r"(?<![\\a-zA-Z{])([EI])(?=\s*_)", r"\\mathcal{\1}", text)


def read_answer(text: str, fold: bool) -> Reading:
    """A reading of an answer: the whole, the end of a chain of equations, or the one formula that words surround.

    Unlike a reference answer it may contain prose; what is left beside the formula must be words and nothing else.
    """
    whole = read(text, fold)
    if whole is not None or _ELLIPSIS.search(text):
        return whole
    for part in (get_last_eq(text), _without_words(text)):
        if part.strip() and part != text and (found := read(part, fold)) is not None:
            return found
    return None


def _without_words(text: str) -> str:
    text = re.sub(r"\\(?:text[a-z]*|mathrm|mbox)\s*\{[^{}]*\}|\$", " ", text)
    return re.sub(r"(?<![\\a-zA-Z])(?:[A-Za-z']{2,}|[aAI](?=\s))(?![a-zA-Z])", " ", text).strip(" .,:;!?\n\t")


def folds(answer: str, gold: str) -> bool:
    r"""Do capital and small letters name the same things here? Not if one text has a letter in both sizes.

    >>> folds("2X", "2x"), folds("1", r"\frac{R}{r}")
    (True, False)
    """
    for text in (answer, gold):
        bare = re.sub(r"\\[a-zA-Z]+", " ", text)
        if {letter.lower() for letter in bare if letter.isupper()} & {letter for letter in bare if letter.islower()}:
            return False
    return True


_NAME = re.compile(
    r"(?:\\(?!frac|sqrt|sin|cos|tan|log|ln)[a-zA-Z]+\s*(?:\{[a-zA-Z']+\})?|[a-zA-Z])(?:_(?:\{[^{}]*\}|\w))?'*(?:\^\{?(?:\\prime|\*|\\ast)+\}?)?"
    r"(?:\([^()=]*\))?|[|]?[A-Z]{2,}[|]?|(?:\\angle|\\overline|\\widehat|m\\angle)\s*\{?[A-Z]+\}?|\([a-zA-Z](?:,[a-zA-Z])*\)"
)


def is_assignment(text: str) -> bool:
    r"""Does the equation give a value to a name, so that the value alone answers it? `x+y+z=0` does not.

    >>> is_assignment("x = 5"), is_assignment("f(x)=2x"), is_assignment("AB=12"), is_assignment(r"m_{\max}=n^2")
    (True, True, True, True)
    >>> is_assignment("a+b=10"), is_assignment("x + y + z = 0"), is_assignment("MR=SRMC"), is_assignment("xy=1")
    (False, False, False, False)
    """
    name, equals, value = text.partition("=")
    bare = re.sub(r"\s+", "", name)
    if not equals or not _NAME.fullmatch(bare):
        return False
    return not (re.fullmatch(r"[A-Z]{2,}", bare) and re.search(r"[A-Z]{2,}", value))


def contains_equation(expression: Reading) -> bool:
    """Is it an equation, or a conjunction of them?"""
    if isinstance(expression, Eq):
        return True
    parts = getattr(expression, "_unsorted_args", ())
    return bool(parts) and all(isinstance(part, Eq) for part in parts)


def free_names(expression: Reading) -> set[str]:
    """Names of the variables."""
    return {symbol.name for symbol in getattr(expression, "free_symbols", ()) if isinstance(symbol, Symbol)}
