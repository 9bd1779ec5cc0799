"""One addition, subtraction or multiplication in words: `What is seven plus five?`, for a pretrained model.

The numbers are small, so that a model of a hundred million parameters is right about every third time. Which set a problem
belongs to is a function of its operation and its numbers (`role`): neither another wording nor another order crosses over, and
the solved examples of the prompt (`EXAMPLES`) are in no set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

from asymgrpo.errors import InputError
from asymgrpo.seeds import generator

Role = Literal["benchmark", "train", "example"]

TRAIN_NAME, BENCHMARKS = "words_train", ("words",)
NAMES = (TRAIN_NAME, *BENCHMARKS)
BENCHMARK_SHARE = 0.25
"""Of all pairs of numbers; the rest is trained on."""

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
LARGEST = {"plus": 12, "minus": 12, "times": 9}
"""Operation -> its largest number; the smallest is 2, and no difference is negative."""
WORDINGS = {
    "plus": ("What is {a} plus {b}?", "Add {b} to {a}."),
    "minus": ("What is {a} minus {b}?", "Take {b} from {a}."),
    "times": ("What is {a} times {b}?", "Multiply {a} by {b}."),
}
SIGNS = {"plus": "+", "minus": "-", "times": "x"}


class WordsError(InputError):
    """The problems cannot be generated as asked; the message says what to change."""


class Problem(NamedTuple):
    operation: str
    a: int
    b: int
    wording: int = 0

    @property
    def text(self) -> str:
        """The problem in words.

        >>> Problem("minus", 12, 5, wording=1).text
        'Take five from twelve.'
        """
        return WORDINGS[self.operation][self.wording].format(a=NUMBERS[self.a], b=NUMBERS[self.b])

    @property
    def answer(self) -> int:
        return {"plus": self.a + self.b, "minus": self.a - self.b, "times": self.a * self.b}[self.operation]

    @property
    def solution(self) -> str:
        r"""The equation and the boxed answer.

        >>> Problem("times", 3, 8).solution
        '3 x 8 = 24. \\boxed{24}'
        """
        return f"{self.a} {SIGNS[self.operation]} {self.b} = {self.answer}. \\boxed{{{self.answer}}}"


EXAMPLES = (Problem("plus", 9, 4), Problem("minus", 11, 6, wording=1), Problem("times", 3, 8))
"""Solved in the prompt: one of each operation, both wordings."""


def every_problem() -> Iterator[Problem]:
    """All problems of all sets, and the examples."""
    for operation, wordings in WORDINGS.items():
        numbers = range(2, LARGEST[operation] + 1)
        for a in numbers:
            for b in numbers:
                if operation != "minus" or a >= b:
                    yield from (Problem(operation, a, b, wording) for wording in range(len(wordings)))


def key(problem: Problem) -> tuple[str, int, int]:
    """Operation and numbers, in ascending order.

    >>> key(Problem("plus", 7, 5, wording=1)) == key(Problem("plus", 5, 7))
    True
    """
    return problem.operation, min(problem.a, problem.b), max(problem.a, problem.b)


def key_of(text: str) -> str:
    """What a problem in words shares with the other wording and the other order.

    >>> key_of("What is seven plus five?") == key_of("Add seven to five.")
    True
    """
    return ",".join(map(str, _keys()[text]))


@cache
def _keys() -> dict[str, tuple[str, int, int]]:
    return {problem.text: key(problem) for problem in every_problem()}


def role(problem: Problem) -> Role:
    """The one set that a problem may appear in, by a hash of its key.

    >>> role(Problem("plus", 4, 9))
    'example'
    """
    if key(problem) in map(key, EXAMPLES):
        return "example"
    digest = hashlib.blake2b(",".join(map(str, key(problem))).encode(), digest_size=8).digest()
    return "benchmark" if int.from_bytes(digest, "big") / 2**64 < BENCHMARK_SHARE else "train"


def rows(name: str, n: int, seed: int) -> list[dict[str, Any]]:
    """The first n rows of a set, in the order of the seed; level is the operation. Raises WordsError when there are fewer.

    >>> rows("words", 5, seed=0)[:3] == rows("words", 3, seed=0)
    True
    """
    wanted: Role = "train" if name == TRAIN_NAME else "benchmark"
    known = [problem for problem in every_problem() if role(problem) == wanted]
    if n > len(known):
        raise WordsError(f"embedded data: {name} has {len(known)} problems, {n} were asked for; ask for fewer.")
    order = generator("words", wanted, seed).permutation(len(known))[:n]
    return [
        {
            "problem_id": f"{name}/{i:05d}",
            "problem": problem.text,
            "answer": str(problem.answer),
            "level": problem.operation,
            "source": f"asymgrpo.tasks.words, seed {seed}",
        }
        for i, problem in enumerate(known[place] for place in order)
    ]
