"""How reference answers are cleaned: rules by name, one function each, and single patches with their reasons (patches.yaml).

Nothing is edited in silence: the problem table's metadata lists every reference answer that changed, before and after.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PATCHES = Path(__file__).with_name("patches.yaml")


def last_boxed(text: str) -> str:
    r"""The reference answer is in the last box of a solution, as in MATH; two of its solutions box one digit without braces.

    >>> last_boxed(r"so \boxed{1} and $x=\boxed{\frac{1}{2}}$."), last_boxed(r"our answer is $\boxed 2$.")
    ('\\frac{1}{2}', '2')
    """
    from asymgrpo.verifier.extract import extract_boxed

    bare = re.findall(r"\\boxed +(\d)", text)
    return extract_boxed(text) or (bare[-1] if bare else "")


def after_hashes(text: str) -> str:
    """The reference answer follows `####`, as in GSM8K.

    >>> after_hashes("so 2+2=4\\n#### 4")
    '4'
    """
    return text.rsplit("####", 1)[-1].strip()


def no_thousands_commas(text: str) -> str:
    """GSM8K writes 114,200 for an integer.

    >>> no_thousands_commas("114,200"), no_thousands_commas("(1,200)")
    ('114200', '(1,200)')
    """
    return text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+", text) else text


def no_leading_zeros(text: str) -> str:
    """AIME answer sheets pad to three digits.

    >>> no_leading_zeros("025"), no_leading_zeros("000"), no_leading_zeros("0.5")
    ('25', '0', '0.5')
    """
    return str(int(text)) if re.fullmatch(r"0\d+", text) else text


def no_degree_sign(text: str) -> str:
    r"""AIME answers are integers: 336^\circ is 336. Not for sets whose reference answers name units on purpose.

    >>> no_degree_sign(r"336^\circ")
    '336'
    """
    return re.sub(r"\s*\^\s*(\\circ|\{\\circ\})$", "", text)


def no_zero_decimals(text: str) -> str:
    """Some copies of AMC store integers as floats.

    >>> no_zero_decimals("27.0"), no_zero_decimals("27.50")
    ('27', '27.50')
    """
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def powers_of_ten(text: str) -> str:
    r"""Minerva writes 4.5e33, which a LaTeX parser reads as 4.5 * e * 33.

    >>> powers_of_ten("4.5e33"), powers_of_ten("1e-5")
    ('4.5 \\times 10^{33}', '1 \\times 10^{-5}')
    """
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)e([+-]?\d+)", text)
    return rf"{match[1]} \times 10^{{{int(match[2])}}}" if match else text


def plain_fraction(text: str) -> str:
    """Minerva writes -1./3 in two places.

    >>> plain_fraction("-1./3")
    '-1/3'
    """
    return re.sub(r"^(-?\d+)\./(\d+)$", r"\1/\2", text)


def no_numpy(text: str) -> str:
    r"""Minerva has one reference answer in Python notation.

    >>> no_numpy("np.arcsin(10/13)")
    '\\arcsin(10/13)'
    """
    return re.sub(r"\bnp\.(arcsin|arccos|arctan|sin|cos|tan|exp|log|sqrt)\b", r"\\\1", text)


def only_element(value: Any) -> Any:
    """OlympiadBench on the hub keeps reference answers in a list.

    >>> only_element(["2"]), only_element("2")
    ('2', '2')
    """
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def strip(text: Any) -> str:
    """Outer blanks, and numbers to text: the first step of every cleaning."""
    return str(text).strip()


RULES: dict[str, Callable[[Any], Any]] = {
    rule.__name__: rule
    for rule in (
        last_boxed,
        after_hashes,
        no_thousands_commas,
        no_leading_zeros,
        no_degree_sign,
        no_zero_decimals,
        powers_of_ten,
        plain_fraction,
        no_numpy,
        only_element,
        strip,
    )
}


def text_key(problem: str) -> str:
    """Identifies a problem by its text, whatever a source calls it: 16 hex digits of sha256, blanks collapsed."""
    return hashlib.sha256(" ".join(problem.split()).encode()).hexdigest()[:16]


@cache
def patches(name: str) -> dict[str, dict[str, str]]:
    """text_key -> {id, was, answer, why} of one data set."""
    listed = yaml.safe_load(PATCHES.read_text(encoding="utf-8")).get(name) or []
    return {patch["text"]: patch for patch in listed}


def clean_answer(name: str, rules: list[str], problem: str, raw: Any) -> tuple[str, str | None]:
    """(reference answer, reason): the rules in order, then the patch of this very problem. reason is None without a patch."""
    value = raw
    for rule in rules:
        value = RULES[rule](value)
    reference_answer = strip(value)
    patch = patches(name).get(text_key(problem))
    if patch is None or patch["was"] != reference_answer:
        return reference_answer, None
    return patch["answer"], patch["why"]
