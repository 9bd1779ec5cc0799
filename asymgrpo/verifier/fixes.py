r"""Rules on text that correct known misreadings of math-verify 0.9.0, each small, named and tested.

`REWRITES` say the same in a form that math-verify reads rightly; they apply to answer and reference answer alike.
`readings` lists the ways of taking a percentage. settlers.py decides pairs that math-verify must not be asked about.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from asymgrpo.verifier.notation import brace_arguments, spell_degrees, spell_functions, spell_mixed
from asymgrpo.verifier.typeset import fold_unicode, plain_spaces, trim, unwrap
from asymgrpo.verifier.units import drop_currency, drop_units, drop_word_units, spell_magnitude

# -- rewrites ------------------------------------------------------------------------------------------------


def drop_delimiters(text: str) -> str:
    r"""Math delimiters inside the box mean nothing, nor do display style and plain words around one formula.

    >>> drop_delimiters(r"$\displaystyle 5$"), drop_delimiters(r"Therefore $x \gt 5$ holds.")
    ('5', 'x \\gt 5')
    >>> drop_delimiters(r"\(5\)"), drop_delimiters("$5$ and $6$"), drop_delimiters("not $5$")
    ('5', '$5$ and $6$', 'not $5$')
    >>> drop_delimiters(r"\text{The answer is } 42"), drop_delimiters(r"\text{42 km}")
    ('42', '42 km')
    """
    text = re.sub(r"\\displaystyle(?![a-zA-Z])", "", text).strip()
    text = re.sub(r"^\\text\{\s*(-?\d[\d.,]*\s+[A-Za-z][A-Za-z /^\d]*)\}$", r"\1", text)
    text = re.sub(r"^\\text\{(?![^{}]*\bnot?\b)[A-Za-z',\s]*(?:\bis|\bare|:)\s*\}\s*(?=\S)", "", text)
    words = r"[A-Za-z',:;\s]*"
    formula = r"\$\$([^$]*)\$\$|\$([^$\n]*)\$|\\\(((?:(?!\\\)).)*)\\\)|\\\[((?:(?!\\\]).)*)\\\]"
    match = re.fullmatch(rf"(?:{words}\s)?(?:{formula})(?:[.\s]{words}\.?)?", text, re.DOTALL)
    if not match or re.search(r"\bnot?\b", text):
        return text
    return next(group for group in match.groups() if group is not None).strip()


def drop_final_point(text: str) -> str:
    r"""A sentence may end inside the box; an ellipsis stays.

    >>> drop_final_point("204."), drop_final_point("5,"), drop_final_point("0.3...")
    ('204', '5', '0.3...')
    """
    return re.sub(r"(?<![.\s\\])\s*[.,;]$", "", text)


def join_thousands(text: str) -> str:
    r"""Groups of three digits set apart by a thin space, a space or a braced comma are one number.

    math-verify reads ``1\,000`` as 1 times 0.

    >>> join_thousands(r"1\,234\,567"), join_thousands("1{,}000"), join_thousands(r"12\,34")
    ('1234567', '1000', '12\\,34')
    """
    separator = r"(?:\\[,!;: ]|\{,\}|,\\!\s*|\\!,|,~| )"
    groups = rf"(?<![\w.,])\d{{1,3}}(?:{separator}\d{{3}})+(?![\d,])"
    return re.sub(groups, lambda match: re.sub(r"\D", "", match[0]), text)


def list_neighbours(text: str) -> str:
    r"""Two numbers with nothing but space between them are a list.

    math-verify adds them: ``5 6`` is 11, and of ``5 \\ 6`` it keeps the 6. Mixed numbers and matrices stay.

    >>> list_neighbours(r"5 \quad 6"), list_neighbours("1 1/2"), list_neighbours(r"\frac 1 2")
    ('5, 6', '1 1/2', '\\frac 1 2')
    """
    if re.search(r"\\begin|&|\\(?!q?quad)[a-zA-Z]+\s*\d", text):
        return text
    number, gap = r"(?<![\w.^}])(\d[\d.]*)", r"(?:\s|\\\\|\\q?quad|\\[ ,;:]|~)+"
    return re.sub(rf"{number}{gap}(?=\d+(?![\d\s]*/))", r"\1, ", text)


def spell_exponent(text: str) -> str:
    r"""Scientific notation of programs; math-verify reads the e as Euler's number.

    >>> spell_exponent("4.5e33"), spell_exponent("6E-7"), spell_exponent("2e")
    ('4.5 \\times 10^{33}', '6 \\times 10^{-7}', '2e')
    """
    return re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\w.])", r"\1 \\times 10^{\2}", text)


def spell_repeating(text: str) -> str:
    r"""A repeating decimal is the fraction it stands for: (all digits - those before the period) / 9…90…0.

    >>> spell_repeating(r"0.\overline{3}"), spell_repeating(r"-1.2\overline{45}")
    ('\\frac{1}{3}', '-\\frac{137}{110}')
    """

    def fraction(match: re.Match[str]) -> str:
        before, after, period = match[1] or "0", match[2], match[3]
        nines = (10 ** len(period) - 1) * 10 ** len(after)
        value = Fraction(int(before + after + period) - int(before + after), nines)
        return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"

    return re.sub(r"(?<![\w.])(\d{0,20})\.(\d{0,20})\\(?:overline|bar)\{(\d{1,20})\}", fraction, text)


def rename_symbols(text: str) -> str:
    r"""Signs that math-verify does not know, or takes for something else; a leading "about" is dropped.

    >>> rename_symbols(r"90\degree"), rename_symbols(r"\varnothing"), rename_symbols("x != 5")
    ('90^\\circ', '\\emptyset', 'x \\neq 5')
    >>> rename_symbols(r"M_{\odot}"), rename_symbols(r"m_{\max }"), rename_symbols(r"\approx 8.24")
    ('M_{sun}', 'm_{max}', '8.24')
    """
    text = re.sub(r"\s*!=\s*(?=\S)", r" \\neq ", text) if re.search(r"!=\s*[^=]", text) else text
    text = re.sub(r"_(?:\{\s*\\odot\s*\}|\\odot(?![a-zA-Z]))", "_{sun}", text)
    text = re.sub(r"_(?:\{\s*\\(max|min|sup|inf|infty)\s*\}|\\(max|min|sup|inf|infty)(?![a-zA-Z]))", _subscript, text)
    text = re.sub(r"^\\(?:approx|simeq|cong|sim)(?![a-zA-Z])\s*", "", text)
    return re.sub(r"\^?\\degree\b", r"^\\circ", text).replace(r"\varnothing", r"\emptyset")


def _subscript(found: re.Match[str]) -> str:
    return f"_{{{found[1] or found[2]}}}"


def turn_chain(text: str) -> str:
    r"""A falling chain of inequalities, read from its other end.

    >>> turn_chain(r"2 > x \ge 1"), turn_chain("x > 1")
    ('1 \\le x < 2', 'x > 1')
    """
    parts = re.split(r"\s*(>|\\geq?(?:slant)?(?![a-z]))\s*", text)
    if len(parts) != 5 or re.search(r"<|\\le", text):
        return text
    high, upper, middle, lower, low = parts
    sign = {True: "<", False: r"\le"}
    return f"{low} {sign[lower == '>']} {middle} {sign[upper == '>']} {high}"


def unite_alternatives(text: str) -> str:
    r"""Alternatives "x < a or x > b" in one variable are a union of intervals.

    >>> unite_alternatives(r"x<-1 \text{ or } x \ge 3"), unite_alternatives("x=1 or x=2")
    ('(-\\infty,-1) \\cup [3,\\infty)', 'x=1 or x=2')
    """
    parts = re.split(r"\s*(?:\\text\{\s*or\s*\}|\bor\b|\\lor\b)\s*", text)
    matches = [re.fullmatch(r"([a-zA-Z])\s*(<|>|\\[lg]eq?(?![a-z]))\s*([^<>,]+)", part) for part in parts]
    found = [match for match in matches if match]
    if len(parts) < 2 or len(found) < len(parts) or len({match[1] for match in found}) > 1:
        return text
    return r" \cup ".join(_interval(match[2], match[3].strip()) for match in found)


def _interval(sign: str, bound: str) -> str:
    if sign == "<" or sign.startswith(r"\l"):
        return rf"(-\infty,{bound}{')' if sign == '<' else ']'}"
    return rf"{'(' if sign == '>' else '['}{bound},\infty)"


OUTER: tuple[Callable[[str], str], ...] = (fold_unicode, unwrap, trim, drop_delimiters, drop_final_point)
INNER: tuple[Callable[[str], str], ...] = (
    drop_currency,
    join_thousands,
    spell_mixed,
    list_neighbours,
    plain_spaces,
    spell_magnitude,
    drop_units,
    drop_word_units,
    spell_exponent,
    brace_arguments,
    spell_functions,
    spell_degrees,
    spell_repeating,
    rename_symbols,
    turn_chain,
    unite_alternatives,
)
REWRITES = OUTER + INNER
LAYERS = 4
"""Wrappers, delimiters, spacing and points may lie around each other so many times."""


def rewrite(text: str) -> str:
    """All rewrites, in their order: first what lies around the answer, layer by layer, then what is inside."""
    for _ in range(LAYERS):
        before = text
        for rule in OUTER:
            text = rule(text)
        if text == before:
            break
    for rule in INNER:
        text = rule(text)
    return trim(text)


# -- percentages ---------------------------------------------------------------------------------------------

_PERCENT = re.compile(r"\s*(?:\\?%|\\text\{\s*percent\s*\}|\bpercent\b)")


def readings(answer: str, reference: str) -> list[tuple[str, str]]:
    r"""Pairs of which one must be equal: a percentage stands for its figure or for its value.

    >>> readings(r"28\%", "28")
    [('28', '28'), ('\\frac{28}{100}', '28')]
    >>> readings(r"28\%", r"28 \%"), readings("28", "28")
    ([('28', '28')], [('28', '28')])
    """
    figures = _PERCENT.sub("", answer), _PERCENT.sub("", reference)
    percent = figures[0] != answer, figures[1] != reference
    if percent == (True, False):
        return [figures, (rf"\frac{{{figures[0]}}}{{100}}", reference)]
    if percent == (False, True):
        return [figures, (answer, rf"\frac{{{figures[1]}}}{{100}}")]
    return [figures]
