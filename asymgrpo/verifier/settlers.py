r"""Rules that decide an answer and a reference answer outright, where math-verify 0.9.0 would misread them.

Each takes (answer, reference answer) and returns "correct", "wrong", or None to leave the pair to math-verify.
"""

import re
from collections.abc import Callable
from fractions import Fraction

_FONT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\{([^{}]*)\}")
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_NUMERAL = re.compile(r"(-?)[({]?([0-9A-Za-z]*[0-9][0-9A-Za-z]*)[)}]?_\{?(?:\\text\{)?\s*([0-9]{1,2}|[a-z]+)\s*\}{0,2}")


def settle_numeral(answer: str, reference: str) -> str | None:
    r"""Numerals in a base: digits and base must agree; math-verify ignores the base.

    A numeral without a base is left to math-verify, which compares the digits.

    >>> settle_numeral("2516_7", "2516_8"), settle_numeral(r"2516_{\text{eight}}", "2516_8")
    ('wrong', 'correct')
    """
    numerals = [_NUMERAL.fullmatch(_FONT.sub(r"\1", text).replace(" ", "")) for text in (answer, reference)]
    if not (numerals[0] and numerals[1]):
        return None
    given, wanted = (
        (match[1], match[2].upper().lstrip("0"), str(_BASES.get(match[3], match[3]))) for match in numerals if match
    )
    return _verdict(given == wanted)


def settle_ratio(answer: str, reference: str) -> str | None:
    r"""Ratios of three or more terms are proportional term by term; math-verify divides them one after another.

    >>> settle_ratio("2:4:6", "1:2:3"), settle_ratio("1:6", "1:2:3"), settle_ratio("1:2", "2:4")
    ('correct', 'wrong', None)
    """
    given, wanted = ([term.strip() for term in text.split(":")] for text in (answer, reference))
    if len(wanted) < 3:
        return None
    if len(given) != len(wanted):
        return "wrong"
    try:
        ours, theirs = ([Fraction(term) for term in terms] for terms in (given, wanted))
    except (ValueError, ZeroDivisionError):
        return _verdict(given == wanted)
    return _verdict(
        any(theirs) and any(ours) and all(a * sum(theirs) == b * sum(ours) for a, b in zip(ours, theirs, strict=True))
    )


def settle_choice(answer: str, reference: str) -> str | None:
    r"""Letters of a multiple choice, with or without the text of the option.

    >>> settle_choice(r"\textbf{(C)}\ 42", r"\text{(C)}"), settle_choice("D", "(C)"), settle_choice("42", "C")
    ('correct', 'wrong', None)
    """
    wanted = re.fullmatch(r"\(?([A-E])\)?", _plain(reference))
    given = re.match(r"\(([A-E])\)|([A-E])(?:[.):]|$)", _plain(answer))
    return _verdict((given[1] or given[2]) == wanted[1]) if wanted and given else None


def settle_letters(answer: str, reference: str) -> str | None:
    r"""Several letters of statements or graphs; in any order if the reference answer has them in that of the alphabet.

    >>> settle_letters("B, A", r"\text{A,B}"), settle_letters("E, H", r"\text{H, E}"), settle_letters("A", r"\text{A,B}")
    ('correct', 'wrong', 'wrong')
    """
    if not re.search(r"\\(?:text|mathrm|mbox)", reference) or not re.fullmatch(
        r"[A-Z](?:\s*,\s*[A-Z])+", _plain(reference)
    ):
        return None
    wanted, given = re.findall("[A-Z]", _plain(reference)), re.findall("[A-Z]", _plain(answer))
    if not re.fullmatch(r"[A-Z](?:(?:\s|,|and)*[A-Z])*", _plain(answer)):
        return "wrong"
    return _verdict(given == wanted or (wanted == sorted(wanted) and sorted(given) == wanted))


def settle_words(answer: str, reference: str) -> str | None:
    r"""Words are compared as words; math-verify may take them for products of letters (east = seat).

    >>> settle_words("seat", "east"), settle_words(r"\text{East}", "east"), settle_words("x", "east")
    ('wrong', 'correct', None)
    """
    words = [_plain(text).casefold().split() for text in (answer, reference)]
    for part in words:
        letters = all(re.fullmatch("[a-z]+", word) for word in part) and not {"and", "or"} & set(part)
        if not letters or not any(len(word) > 3 for word in part):
            return None
    return _verdict(words[0] == words[1])


def settle_bound(answer: str, reference: str) -> str | None:
    r"""A bare bound such as "> 5" is no number; math-verify drops the sign.

    >>> settle_bound("> 5", "5"), settle_bound("> 5", "x > 5"), settle_bound("5", "5")
    ('wrong', None, None)
    """
    sign = r"(?:<|>|!=|\\(?:neq?|not|[lg]eq?(?:slant)?|[lg]t)(?![a-z]))"
    if not re.match(sign, answer) or re.search(rf"{sign}|[\[(]|\\cup|\\in", reference):
        return None
    return "wrong"


SETTLERS: tuple[Callable[[str, str], str | None], ...] = (
    settle_numeral,
    settle_ratio,
    settle_choice,
    settle_letters,
    settle_words,
    settle_bound,
)


def settle(answer: str, reference: str) -> str | None:
    """The first decision of a settler, or None."""
    return next((verdict for rule in SETTLERS if (verdict := rule(answer, reference))), None)


def _plain(text: str) -> str:
    """Text without font commands and explicit spaces."""
    return re.sub(r"\\[ ,;:]|~", " ", _FONT.sub(r"\1", text)).strip()


def _verdict(equal: bool) -> str:
    return "correct" if equal else "wrong"
