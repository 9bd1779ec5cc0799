"""Sums such as `3+17-4`, from reasoning-gym's chain_sum, and chains of thought that solve them in several styles.

The embedded study needs a task that a 0.4M-parameter model half knows after a minute of training, with several solution paths
to lose. Terms lie in 1..12 (reasoning-gym's options give whole digit ranges only; `_ChainSum` narrows them and leaves its
generator alone), and neither the positive nor the negative terms add up to more than 20: whatever the order of the steps, no
intermediate result leaves -20..20.
Which set a problem belongs to is a function of the problem itself (`role`), so that the benchmarks, the training problems and
the supervised texts are disjoint for every size and every seed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np

from asymgrpo.errors import InputError
from asymgrpo.seeds import derive, generator

Role = Literal["benchmark", "train", "sft"]

MAX_TERM = 12
MAX_TOTAL = 20
"""Of the positive terms alone, and of the negative ones alone."""
TRAIN_TERMS = (3, 5)
SFT_TERMS = (2, 5)
TRAIN_NAME = "chain_train"
BENCHMARK_TERMS = {"chain2": 2, "chain3": 3, "chain4": 4, "chain5": 5, "chain6": 6}
"""Number of terms of each benchmark; chain6 lies beyond the training range."""

BENCHMARKS = tuple(BENCHMARK_TERMS)

ROLE_SHARES: Mapping[Role, float] = {"benchmark": 0.25, "train": 0.25, "sft": 0.5}
SLIPS = (-10, -2, -1, 1, 2, 10)
"""What a wrong step is off by: a lost carry or a miscount."""


class ChainSumError(InputError):
    """The embedded task cannot be generated as asked; the message says what to change."""


class Sum(NamedTuple):
    expression: str
    answer: int


def terms_of(expression: str) -> list[int]:
    """Signed terms of a sum, left to right.

    >>> terms_of("3+17-4")
    [3, 17, -4]
    """
    return [int(term) for term in re.findall(r"[+-]?\d+", expression)]


def within_totals(expression: str) -> bool:
    """Do all intermediate results of any order stay in -MAX_TOTAL..MAX_TOTAL?

    >>> within_totals("12+8-3"), within_totals("12+9-3")
    (True, False)
    """
    terms = terms_of(expression)
    return max(sum(t for t in terms if t > 0), -sum(t for t in terms if t < 0)) <= MAX_TOTAL


def role(expression: str) -> Role:
    """The one set that this sum may appear in, by a hash of its sorted terms: a reordering never crosses over.

    >>> role("3+17-4") == role("17-4+3")
    True
    """
    return role_of(terms_of(expression))


def role_of(numbers: Iterable[int]) -> Role:
    """The one set of these numbers in any order."""
    key = in_any_order(numbers)
    point = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
    if point < ROLE_SHARES["benchmark"]:
        return "benchmark"
    return "train" if point < ROLE_SHARES["benchmark"] + ROLE_SHARES["train"] else "sft"


def in_any_order(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def key_of(problem: str) -> str:
    """What a sum shares with its reorderings.

    >>> key_of("3+17-4") == key_of("17-4+3") != key_of("3+4-17")
    True
    """
    return in_any_order(terms_of(problem))


def draws(wanted: Role, terms: tuple[int, int], seed: int) -> Iterator[Sum]:
    """Sums of the given role with terms[0] to terms[1] terms, in reasoning-gym's order for a derived seed; they may repeat."""
    for problem in _stream(terms, derive("chain_sum", wanted, *terms, seed)):
        if within_totals(problem.expression) and role(problem.expression) == wanted:
            yield problem


def problems(wanted: Role, n: int, terms: tuple[int, int], seed: int) -> list[Sum]:
    """The first n distinct ones of `draws`. Raises ChainSumError when that many do not exist (two terms: 69 benchmarks).

    >>> problems("benchmark", 2, (3, 3), seed=0) == problems("benchmark", 3, (3, 3), seed=0)[:2]
    True
    """
    found: dict[str, Sum] = {}
    for drawn, problem in enumerate(draws(wanted, terms, seed)):
        found.setdefault(problem.expression, problem)
        if len(found) == n:
            return list(found.values())
        if drawn > 2000 + 20 * n:
            break
    raise ChainSumError(
        f"embedded data: only {len(found)} distinct sums of {terms[0]} to {terms[1]} terms were found for {wanted!r}, "
        f"{n} were asked for; ask for fewer."
    )


def _stream(terms: tuple[int, int], seed: int) -> Iterator[Sum]:
    from reasoning_gym.arithmetic.chain_sum import ChainSumConfig, ChainSumDataset

    class _ChainSum(ChainSumDataset):
        def _generate_task(self, rng: Any, num_terms: int, min_value: int, max_value: int) -> tuple[str, int]:
            return super()._generate_task(rng, num_terms, 1, MAX_TERM)

    dataset = _ChainSum(ChainSumConfig(min_terms=terms[0], max_terms=terms[1], seed=seed, size=2**31))
    index = 0
    while True:
        item = dataset[index]
        yield Sum(item["metadata"]["expression"].replace(" ", ""), int(item["answer"]))
        index += 1


def rows(name: str, n: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the problem table for `chain_train` or one of the chain benchmarks; level is the number of terms.

    >>> rows("chain2", 1, seed=0)[0]["level"]
    '2'
    """
    if name == TRAIN_NAME:
        drawn = problems("train", n, TRAIN_TERMS, seed)
    elif name in BENCHMARK_TERMS:
        drawn = problems("benchmark", n, (BENCHMARK_TERMS[name],) * 2, seed)
    else:
        known = ", ".join([TRAIN_NAME, *BENCHMARK_TERMS])
        raise ChainSumError(f"{name!r} is not an embedded data set; choose one of {known}, or another data.source.")
    source = f"reasoning-gym {version('reasoning-gym')} chain_sum, seed {seed}"
    return [
        {
            "problem_id": f"{name}/{i:05d}",
            "problem": problem.expression,
            "answer": str(problem.answer),
            "level": str(len(terms_of(problem.expression))),
            "source": source,
        }
        for i, problem in enumerate(drawn)
    ]


# --- chains of thought ---------------------------------------------------------------------------------------------------


class Steps:
    """Running arithmetic that slips with a known probability per step; a slip is carried on, as a person would."""

    def __init__(self, error_rate: float, rng: np.random.Generator) -> None:
        self.error_rate, self.rng = error_rate, rng

    def add(self, a: int, b: int) -> int:
        slip = int(self.rng.choice(SLIPS)) if self.rng.random() < self.error_rate else 0
        return a + b + slip

    def chain(self, terms: list[int]) -> tuple[str, int]:
        """`3+17=20-4=16` and 16."""
        total, text = terms[0], str(terms[0])
        for term in terms[1:]:
            total = self.add(total, term)
            text += f"{term:+d}={total}"
        return text, total


def left(terms: list[int], steps: Steps) -> tuple[str, int]:
    """Running sums from the left: 3+17=20-4=16."""
    return steps.chain(terms)


def right(terms: list[int], steps: Steps) -> tuple[str, int]:
    """Running sums from the right: -4+17=13+3=16."""
    return steps.chain(terms[::-1])


def pairs(terms: list[int], steps: Steps) -> tuple[str, int]:
    """Neighbours two by two, then a running sum of what they give: 3+17=20,20-4=16."""
    done = [steps.chain(terms[i : i + 2]) for i in range(0, len(terms) - 1, 2)]
    leftover = terms[len(done) * 2 :]
    if len(done) == 1 and not leftover:
        return done[0]
    text, total = steps.chain([value for _, value in done] + leftover)
    return ",".join([part for part, _ in done] + [text]), total


def signs(terms: list[int], steps: Steps) -> tuple[str, int]:
    """What is added, then what is taken away: 3+17=20-4=16 stays, 3-4+17 becomes 3+17=20-4=16."""
    return steps.chain([t for t in terms if t > 0] + [t for t in terms if t < 0])


def direct(terms: list[int], steps: Steps) -> tuple[str, int]:
    """The answer without steps; each addition in the head slips as a written one does."""
    return "", steps.chain(terms)[1]


STYLES = {"left": left, "right": right, "pairs": pairs, "signs": signs, "direct": direct}


def solution(expression: str, style: str, error_rate: float, rng: np.random.Generator) -> str:
    """A chain of thought ending in `\\boxed{...}`; with error_rate 0 the answer is right.

    >>> solution("3+17-4", "right", 0.0, np.random.default_rng(0))
    '-4+17=13+3=16\\n\\\\boxed{16}'
    """
    text, total = STYLES[style](terms_of(expression), Steps(error_rate, rng))
    return (f"{text}\n" if text else "") + f"\\boxed{{{total}}}"


def sft_texts(n: int, styles: Mapping[str, float], error_rate: float, seed: int) -> list[tuple[str, str]]:
    """n pairs (problem, solution) of role `sft`, styles drawn with the given weights, one derived seed per text.

    A sum may come back, with another solution. Raises ChainSumError for an unknown style.
    """
    unknown = sorted(set(styles) - set(STYLES))
    if unknown:
        raise ChainSumError(f"unknown solution style {unknown[0]!r}; choose among {', '.join(STYLES)}.")
    names, weights = list(styles), np.array(list(styles.values()), dtype=np.float64)
    texts = []
    for i, problem in enumerate(islice(draws("sft", SFT_TERMS, seed), n)):
        rng = generator("sft_text", seed, i)
        style = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        texts.append((problem.expression, solution(problem.expression, style, error_rate, rng)))
    return texts
