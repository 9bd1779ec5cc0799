"""Rows of any generated data set, by its name."""

from __future__ import annotations

from asymgrpo.tasks import chain_sum, words
from asymgrpo.tasks.table import Row

ERRORS = (chain_sum.ChainSumError, words.WordsError)
"""What `rows` raises when the rows cannot be had as asked."""


def rows(name: str, n: int, seed: int) -> list[Row]:
    """The first n rows of a generated set for a seed.

    >>> rows("words", 1, seed=0)[0]["level"], rows("chain2", 1, seed=0)[0]["level"]
    ('plus', '2')
    """
    return words.rows(name, n, seed) if name in words.NAMES else chain_sum.rows(name, n, seed)
