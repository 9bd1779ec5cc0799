r"""Rules on units and money: the figure counts, its unit does not. A letter that may be a variable is no unit."""

import re

_NAMED = r"\\(?:pounds|euro|texteuro|textdollar|textsterling|yen|textyen|cent|textcent)(?![a-zA-Z])"
_CURRENCY = rf"(?:(?:US|AU|CA|NZ|HK)?¤|[€£¥₹₩₽₺₫₪¢฿]|{_NAMED})"
_CODE = r"(?:USD|EUR|GBP|JPY|INR|CNY|RMB|CAD|AUD|CHF|Rs\.?)"
_BEFORE = re.compile(
    rf"(?:{_CURRENCY}|(?<![a-zA-Z]){_CODE}|\\(?:text|mathrm)\{{\s*(?:{_CODE}|{_CURRENCY})\s*\}})"
    r"\s*(?=[-+]?\s*(?:\.?\d|\\[dt]?frac))"
)
_AFTER = re.compile(rf"(?<=[\d}}])\s*(?:{_CURRENCY}|{_CODE}(?![a-zA-Z]))")


def drop_currency(text: str) -> str:
    r"""Signs and codes of money beside a number. A dollar sign without backslash is one if it has no partner.

    >>> drop_currency("€42"), drop_currency("42 €"), drop_currency("-£3.50"), drop_currency(r"\text{USD } 7"), drop_currency("$5")
    ('42', '42', '-3.50', '7', '5')
    """
    text = text.replace("\\$", "¤")
    if text.count("$") == 1:
        text = text.replace("$", "¤")
    return _AFTER.sub("", _BEFORE.sub("", text)).replace("¤", "\\$")


_LENGTH = "mm|cm|dm|km|nm|um|ft|yd|mi|in|miles?|inch(?:es)?|feet|foot|yards?|met(?:er|re)s?|(?:centi|kilo|milli)met(?:er|re)s?"
_OTHER = (
    "kg|mg|lbs?|oz|sec|min|hrs?|ms|ml|mL|cc|mph|kph|kmh|kJ|kW|kN|Hz|kHz|MHz|Pa|kPa|MPa|eV|keV|MeV|GeV|mol|rad|deg|AU|pc|kpc|Mpc|Gyr|Myr|yr"
    "|sq|cu|square|cubic|units?|degrees?|radians?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|grams?|kilograms?|pounds?|ounces?|tons?"
    "|gallons?|lit(?:er|re)s?|dollars?|cents?|euros?|pence|yen|rupees?|joules?|watts?|newtons?|volts?|amperes?|amps?|kelvins?|people|ways"
)
_KNOWN = rf"(?:{_LENGTH}|{_OTHER})"
_POWER = r"(?:\s*\^\s*(?:\{\s*-?\s*\d\s*\}|-?\d)|\s+(?:squared|cubed))?"
_PER = rf"(?:\s*(?:/|\\cdot|\bper\b)\s*(?:{_KNOWN}|[smhgKLNCVAJ]){_POWER})"
# With a rate even one letter is a unit: m/s. Alone it is a variable until `drop_letter_unit` says otherwise.
_PLAIN = re.compile(
    rf"(?<=[\d)}}])\s*(?:{_KNOWN}(?:[\s.]+{_KNOWN})*\.?{_POWER}{_PER}*|\s[mgJNWCV]{_POWER}{_PER}+)\s*(?=$|,|;|\\text|\band\b|\bor\b)"
)

_FONT = r"\\(?:text[a-z]*|mathrm|mathit|mathsf|mathbf|mbox|hbox|operatorname|unit|si)\s*"
_TEXT_UNIT = rf"(?:{_FONT}\{{([^{{}}]*(?:\{{[^{{}}]*\}}[^{{}}]*)*)\}}{_POWER})"
_LAST = re.compile(rf"\s*(?:{_TEXT_UNIT}|\\frac\{{{_TEXT_UNIT}\}}\{{{_TEXT_UNIT}\}})\s*$")
_INNER = re.compile(
    rf"(?<=[\d}}])\s*{_FONT}\{{\s*{_KNOWN}(?:\s+{_KNOWN})*\s*\}}{_POWER}(?=\s*(?:,|;|\)|\\text|\\pm|and|or))"
)
_NO_UNIT = re.compile(
    r"[=<>&|$]|(?<![a-zA-Z])(?:and|or|if|not|no|where|for|when|mod|undefined|infinity|sin|cos|tan|log|ln|lim|gcd|lcm|else"
    r"|otherwise|except|is|are|times|over|plus|minus|hundred|thousand|million|billion|trillion|dozen|e|i)(?![a-zA-Z])"
    r"|(?<![\^{-])\d"
)


def drop_units(text: str) -> str:
    r"""Units in a font command, or well-known ones in plain letters, after a figure; with powers and rates.

    >>> [drop_units(text) for text in (r"42~\text{km/h}", r"5\text{ ft}^2", "42 km/h", r"3\,\mathrm{m}\,\mathrm{s}^{-1}")]
    ['42', '5', '42', '3']
    >>> [drop_units(text) for text in ("2s", r"\text{odd}", r"x_\text{max}", r"5 \text{ if } x", r"\SI{9.8}{m/s^2}")]
    ['2s', '\\text{odd}', 'x_\\text{max}', '5 \\text{ if } x', '9.8']
    """
    text = re.sub(r"\\(?:SI|qty)\s*\{([^{}]*)\}\s*\{[^{}]*\}", r"\1", text)
    text = re.sub(r"\\num\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\ang\s*\{([\d.]+)\}", r"\1^\\circ", text)
    text = re.sub(r"(\^\s*(?:\\circ|\{\s*\\circ\s*\}))\s*(?:[CFK]|\\(?:text|mathrm)\{\s*[CFK]\s*\})\s*$", r"\1", text)
    text = re.sub(
        r"(?<=\d)\s*\^\s*\{?\s*(?:\\(?:text|mathrm)\{\s*(?:th|st|nd|rd)\s*\}|(?:th|st|nd|rd)(?=\}))\s*\}?", "", text
    )
    text = _INNER.sub("", _PLAIN.sub("", text))
    while (found := _LAST.search(text)) and _is_unit(
        text[: found.start()], [group for group in found.groups() if group is not None]
    ):
        text = re.sub(r"(?:\s|/|\\cdot|\\times|\\[,;: ]|~|\\\\)+$", "", text[: found.start()])
    return text


def _is_unit(before: str, contents: list[str]) -> bool:
    before = re.sub(r"(?:\s|\\[,;: ]|~)+$", "", before)
    if (
        not before
        or before[-1] in "_^=<>(,[{+-&|"
        or re.search(r"\\(?:in|le|ge|neq?|approx|text\{\s*(?:and|or)\s*\})$", before)
    ):
        return False
    return bool(re.search(r"\d|[a-zA-Z]", before)) and not any(_NO_UNIT.search(content.strip()) for content in contents)


_MAGNITUDES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MAGNITUDE = re.compile(
    rf"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s*(?:\\text\{{)?\s*({'|'.join(_MAGNITUDES)})(?![a-zA-Z])([^{{}}]*\}})?"
)


def spell_magnitude(text: str) -> str:
    r"""Six million is a number, not six of some unit.

    >>> spell_magnitude(r"6\text{ million}"), spell_magnitude("2.5 thousand dollars"), spell_magnitude(r"\text{a million}")
    ('6 \\times 10^{6}', '2.5 \\times 10^{3} dollars', '\\text{a million}')
    """

    def figure(found: re.Match[str]) -> str:
        rest = found[3] or ""
        opened = "\\text{" in found[0]
        tail = f"\\text{{{rest}" if opened and rest.strip(" }") else ("" if opened else rest)
        return rf"{found[1]} \times 10^{{{_MAGNITUDES[found[2]]}}}{tail}"

    return _MAGNITUDE.sub(figure, text)


def drop_word_units(text: str) -> str:
    r"""Plain words after a number are its unit; names of functions and constants are no words.

    >>> drop_word_units("1000 dollars"), drop_word_units("12 square feet"), drop_word_units("2 sin x")
    ('1000', '12', '2 sin x')
    """
    match = re.fullmatch(r"(-?[\d.,]+(?: \\times 10\^\{\d+\})?)((?:\s+[a-z]{3,})+)", text)
    return match[1] if match and not set(match[2].split()) & _NOT_UNITS else text


_NOT_UNITS = {"and", "not", "mod", "sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "times", "over"}


def letters(text: str) -> set[str]:
    r"""Single letters that a formula uses as variables, outside of commands, words and fonts.

    >>> sorted(letters(r"\frac{37}{4} m + \text{cm} + AB")), letters(r"5\pi\text{ m}")
    (['A', 'B', 'm'], set())
    """
    bare = re.sub(rf"{_FONT}\{{[^{{}}]*\}}|\\[a-zA-Z]+|(?<![a-zA-Z])[a-z]{{2,}}(?![a-zA-Z])", " ", text)
    return set(re.findall(r"[a-zA-Z]", bare)) - {"e"}


def share_letters(answer: str, reference: str) -> str:
    r"""A letter set in a font is the variable of that name if the reference answer has one: no unit.

    >>> share_letters(r"\frac{37}{4}\text{ m}", r"\frac{37}{4} m"), share_letters(r"5\text{ m}", "5")
    ('\\frac{37}{4} m', '5\\text{ m}')
    """
    known = "".join(sorted(letters(reference)))
    return re.sub(rf"{_FONT}\{{\s*([{known}])\s*\}}", r" \1", answer) if known else answer


def drop_letter_unit(answer: str, reference: str) -> str:
    r"""One plain letter after the figure is a unit only where the reference answer has no letter of its own.

    >>> drop_letter_unit("6 m", "6"), drop_letter_unit("6m", "6m"), drop_letter_unit("2x", "2"), drop_letter_unit("9 m^2", "9")
    ('6', '6m', '2x', '9')
    """
    if letters(reference):
        return answer
    return re.sub(rf"(?<=[\d}}])\s*[msghLNJWVAKCFl]{_POWER}\s*$", "", answer)
