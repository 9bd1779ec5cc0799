"""ROUGE-L: how much of a text another one has in the same order. Texts in, numbers out."""

import re
from collections.abc import Sequence

TOKEN = re.compile(r"\w+|[^\w\s]")


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    >>> longest_common("abcde", "axcxe"), longest_common("", "a")
    (3, 0)
    """
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def rouge_l(said: str, wanted: str) -> float:
    """F1 of the longest common subsequence of tokens, in lower case.

    A token is a run of letters, digits and underscores, or one other character. Two texts without a token are equal: 1.

    >>> rouge_l("the cat sat", "The cat, sat"), rouge_l("", "x"), rouge_l("", "")
    (0.8571428571428571, 0.0, 1.0)
    """
    a, b = TOKEN.findall(said.lower()), TOKEN.findall(wanted.lower())
    if not a and not b:
        return 1.0
    return 2 * longest_common(a, b) / (len(a) + len(b))
