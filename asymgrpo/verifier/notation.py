r"""Rules on notation: arguments without braces, program spelling, mixed numbers, degrees. Text in, text out."""

import re
from collections.abc import Callable

from asymgrpo.verifier.typeset import closing

_FRACTION = re.compile(r"\\[dtc]?frac(?![a-zA-Z])")
_BINOMIAL = re.compile(r"\\[dt]?binom(?![a-zA-Z])")
_ROOT = re.compile(r"\\sqrt(?![a-zA-Z])")
_SCRIPT = re.compile(
    r"\^\s*(?=\\(?!circ(?![a-zA-Z])|prime|degree|ast|star|dagger|perp|top|mathrm\{th\}|text\{(?:th|st|nd|rd)\}))"
)
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)


def brace_arguments(text: str) -> str:
    r"""Arguments without braces get them, by TeX's rule: one digit, one letter, or one command with its own arguments.

    >>> brace_arguments(r"7^\frac{1}{2}"), brace_arguments(r"\sqrt[3] 2"), brace_arguments(r"\frac1e")
    ('7^{\\frac{1}{2}}', '\\sqrt[3]{2}', '\\frac{1}{e}')
    >>> brace_arguments(r"\frac{1}{\sqrt n}"), brace_arguments(r"\dfrac\pi 2"), brace_arguments(r"\sqrt(x+1)")
    ('\\frac{1}{\\sqrt{n}}', '\\frac{\\pi}{2}', '\\sqrt{x+1}')
    """
    if "\\" not in text:
        return text
    try:
        return _brace(text)
    except RecursionError:
        return text


def _brace(text: str) -> str:
    parts, at = [], 0
    while at < len(text):
        part, at = _construct(text, at)
        parts.append(part)
    return "".join(parts)


def _construct(text: str, at: int) -> tuple[str, int]:
    """The construct at `at`, its arguments braced, and where it ends."""
    for pattern, name, count in (
        (_FRACTION, "\\frac", 2),
        (_BINOMIAL, "\\binom", 2),
        (_ROOT, "\\sqrt", 1),
        (_SCRIPT, "^", 1),
    ):
        found = pattern.match(text, at)
        if not found:
            continue
        end, degree = found.end(), ""
        if pattern is _ROOT and (bracket := re.compile(r"\s*(?=\[)").match(text, end)):
            stop = closing(text, bracket.end())
            degree, end = (text[bracket.end() : stop], stop) if stop else ("", end)
        arguments: list[str] = []
        while len(arguments) < count and (argument := _argument(text, end, pattern is _ROOT)):
            arguments.append(argument[0])
            end = argument[1]
        if len(arguments) == count:
            return name + degree + "".join(f"{{{argument}}}" for argument in arguments), end
    token = _TOKEN.match(text, at)
    return (token[0], token.end()) if token else ("", len(text))


def _argument(text: str, at: int, round_too: bool) -> tuple[str, int] | None:
    while at < len(text) and text[at].isspace():
        at += 1
    opening = text[at : at + 1]
    stop = closing(text, at) if opening == "{" or (round_too and opening == "(") else 0
    if stop:
        return _brace(text[at + 1 : stop - 1]), stop
    if text.startswith("\\", at):
        part, end = _construct(text, at)
        if re.fullmatch(r"\\(?:text|math)[a-z]*|\\mbox|\\operatorname", part) and (stop := closing(text, end)):
            return part + text[end:stop], stop
        return (part, end) if re.match(r"\\[a-zA-Z]", part) else None
    return (opening, at + 1) if opening.isalnum() else None


# -- program spelling ----------------------------------------------------------------------------------------

_WORD_TEXT = re.compile(r"(\\(?:text[a-z]*|mathrm|mbox|hbox|operatorname)\s*\{[^{}]*\})")
_NAMES = ["arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sin", "cos", "tan", "cot", "sec", "csc", "ln", "log"]
_BEFORE = r"(?<![\\a-zA-Z])"


def spell_functions(text: str) -> str:
    r"""What programs and keyboards write: ``pi/2``, ``exp(16)``, ``sqrt(2)``, ``x**2``, ``<=``; text in fonts is left alone.

    >>> spell_functions("2pi/3"), spell_functions("exp(16)"), spell_functions(r"\exp\left(x(1+y)\right)")
    ('2\\pi /3', 'e^{16}', 'e^{x(1+y)}')
    >>> spell_functions("3*sqrt(2)"), spell_functions("2**(1/3)"), spell_functions("sin(x) + log2(8)")
    ('3*\\sqrt{2}', '2^{1/3}', '\\sin(x) + \\log_{2}(8)')
    """
    return "".join(part if _WORD_TEXT.fullmatch(part) else _spell(part) for part in _WORD_TEXT.split(text))


def _spell(text: str) -> str:
    text = text.replace("**", "^").replace("==", "=").replace("<=", r"\le ").replace(">=", r"\ge ")
    text = re.sub(rf"{_BEFORE}pi(?![a-zA-Z])", r"\\pi ", text)
    text = re.sub(rf"{_BEFORE}(?:infinity|inf)(?![a-zA-Z])", r"\\infty ", text)
    text = re.sub(rf"{_BEFORE}sqrt\s*(\d+)", r"\\sqrt{\1}", text)
    text = re.sub(rf"{_BEFORE}log(2|10)(?=\()", r"\\log_{\1}", text)
    text = re.sub(rf"{_BEFORE}({'|'.join(_NAMES)})(?=\s*[(\\^_\d]|\s+[a-zA-Z](?![a-zA-Z]))", r"\\\1", text)
    text = _grouped(text, rf"(?:{_BEFORE}|\\)exp\s*(?:\\left\s*)?(?=[({{\[])", "e^{", "}")
    text = _grouped(text, rf"{_BEFORE}sqrt\s*(?=\()", r"\sqrt{", "}")
    text = _grouped(text, rf"{_BEFORE}cbrt\s*(?=\()", r"\sqrt[3]{", "}")
    text = _grouped(text, rf"{_BEFORE}abs\s*(?=\()", "|", "|")
    text = _grouped(text, rf"{_BEFORE}floor\s*(?=\()", r"\lfloor ", r"\rfloor ")
    text = _grouped(text, rf"{_BEFORE}ceil\s*(?=\()", r"\lceil ", r"\rceil ")
    return _grouped(text, r"\^\s*(?=\()", "^{", "}")


def _grouped(text: str, opening: str, left: str, right: str) -> str:
    """Every `opening` followed by a bracket group becomes left + content + right."""
    at = 0
    while found := re.compile(opening).search(text, at):
        end = closing(text, found.end())
        at = found.end()
        if end:
            content = re.sub(r"\\right\s*$", "", text[found.end() + 1 : end - 1])
            text = text[: found.start()] + left + content + right + text[end:]
            at = found.start() + len(left)
    return text


def spell_mixed(text: str) -> str:
    r"""A whole number, a space and a proper fraction are a mixed number; math-verify adds the digits.

    >>> spell_mixed("1 1/2"), spell_mixed("-3 5/6"), spell_mixed("5 6/3"), spell_mixed("1, 1/2")
    ('1\\frac{1}{2}', '-3\\frac{5}{6}', '5 6/3', '1, 1/2')
    """

    def mixed(found: re.Match[str]) -> str:
        proper = int(found[2]) < int(found[3])
        return rf"{found[1]}\frac{{{found[2]}}}{{{found[3]}}}" if proper else found[0]

    gap = r"(?:\s|\\[,;:! ]|~|\\ )+"
    text = re.sub(rf"(?<![\w.^}}/*,])(\d{{1,9}}){gap}(\d{{1,9}})\s*/\s*(\d{{1,9}})(?![\w.^/])", mixed, text)
    return re.sub(rf"(?<![\w.^}}/*])(\d{{1,9}}){gap}(?=\\[dt]?frac)", r"\1", text)


# -- degrees -------------------------------------------------------------------------------------------------

_TRIG = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])\s*(?:\^\s*(?:\{[^{}]*\}|\d)\s*)?(?:\\left\s*)?")
_DEGREES = re.compile(
    r"(\d+(?:\.\d+)?|(?<![\\a-zA-Z])[a-zA-Z]|\\[a-zA-Z]+|\))\s*\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})"
)


def spell_degrees(text: str) -> str:
    r"""Degrees under a sine are the angle in radians; elsewhere the figure counts, and 90 degrees are 90.

    >>> spell_degrees(r"\sin(90^\circ-x)"), spell_degrees(r"2\cos 40^\circ + 90^\circ")
    ('\\sin(90\\frac{\\pi}{180}-x)', '2\\cos 40\\frac{\\pi}{180} + 90^\\circ')
    """
    if "circ" not in text:
        return text
    at = 0
    while found := _TRIG.search(text, at):
        end = closing(text, found.end()) or _bare_end(text, found.end())
        argument = _DEGREES.sub(r"\1\\frac{\\pi}{180}", text[found.end() : end])
        text = text[: found.end()] + argument + text[end:]
        at = found.end()
    return text


def _bare_end(text: str, start: int) -> int:
    """Without brackets the argument ends at a sign, a bracket that closes, or the next function."""
    stop = re.compile(
        r"[-+=<>,;)\]}&]|\\(?:sin|cos|tan|cot|sec|csc|le|ge|right|cdot|times|text|quad)(?![a-zA-Z])"
    ).search(text, start)
    return stop.start() if stop else len(text)


NOTATION: tuple[Callable[[str], str], ...] = (spell_mixed, brace_arguments, spell_functions, spell_degrees)
