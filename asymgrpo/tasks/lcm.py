"""Least common multiples such as `12,18`, from reasoning-gym's lcm, and chains of thought that list multiples.

A second task for the tiny model, in the same alphabet as sums: its answers are two or three digits long, and a step that slips
is carried on. Numbers lie in 2..MAX_NUMBER, none equals another, and at most MAX_MULTIPLES multiples of the largest need to be
listed. Which set a problem belongs to is a function of its sorted numbers (`role`), as for sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from asymgrpo.errors import InputError
from asymgrpo.seeds import derive, generator
from asymgrpo.tasks.chain_sum import Role, Steps, in_any_order, role_of

MAX_NUMBER = 99
MAX_MULTIPLES = 6
TRAIN_NAME = "lcm_train"
NUMBERS = {TRAIN_NAME: (2, 3), "lcm2": (2, 2), "lcm3": (3, 3)}
"""How many numbers a problem of each data set has."""
BENCHMARKS = ("lcm2", "lcm3")


class LcmError(InputError):
    """The task cannot be generated as asked; the message says what to change."""


class Problem(NamedTuple):
    numbers: tuple[int, ...]
    answer: int

    @property
    def text(self) -> str:
        return ",".join(map(str, self.numbers))


def fits(problem: Problem) -> bool:
    """Distinct numbers above 1, and few multiples to list.

    >>> fits(Problem((12, 18), 36)), fits(Problem((13, 18), 234)), fits(Problem((12, 12), 12))
    (True, False, False)
    """
    distinct = len(set(problem.numbers)) == len(problem.numbers) and min(problem.numbers) > 1
    return distinct and problem.answer <= MAX_MULTIPLES * max(problem.numbers)


def key_of(problem: str) -> str:
    """What a problem shares with its reorderings.

    >>> key_of("12,18") == key_of("18,12")
    True
    """
    return in_any_order(map(int, problem.split(",")))


def draws(wanted: Role, numbers: tuple[int, int], seed: int) -> Iterator[Problem]:
    """Problems of the given role, in reasoning-gym's order for a derived seed; they may repeat."""
    from reasoning_gym.arithmetic.lcm import LCMConfig, LCMDataset

    config = LCMConfig(*numbers, max_value=MAX_NUMBER, seed=derive("lcm", wanted, *numbers, seed), size=2**31)
    dataset, index = LCMDataset(config), 0
    while True:
        drawn = dataset[index]["metadata"]
        problem = Problem(tuple(drawn["numbers"]), drawn["result"])
        if fits(problem) and role_of(problem.numbers) == wanted:
            yield problem
        index += 1


def rows(name: str, n: int, seed: int) -> list[dict[str, Any]]:
    """The first n distinct problems of a data set, as rows of the problem table; level is how many numbers there are.

    Raises LcmError when that many do not exist.

    >>> [row["level"] for row in rows("lcm3", 2, seed=0)]
    ['3', '3']
    """
    found: dict[str, Problem] = {}
    for drawn, problem in enumerate(draws("train" if name == TRAIN_NAME else "benchmark", NUMBERS[name], seed)):
        found.setdefault(problem.text, problem)
        if len(found) == n or drawn > 2000 + 20 * n:
            break
    if len(found) < n:
        raise LcmError(
            f"embedded data: only {len(found)} distinct problems of {name} were found, not {n}; ask for fewer."
        )
    source = f"reasoning-gym {version('reasoning-gym')} lcm, seed {seed}"
    return [
        {
            "problem_id": f"{name}/{i:05d}",
            "problem": problem.text,
            "answer": str(problem.answer),
            "level": str(len(problem.numbers)),
            "source": source,
        }
        for i, problem in enumerate(found.values())
    ]


def multiples(numbers: tuple[int, ...], steps: Steps) -> tuple[str, int]:
    """Multiples of the largest until all divide one: 18,36. A slip may pass it by; then the last one listed is the answer."""
    largest = max(numbers)
    listed = [largest]
    while any(listed[-1] % number for number in numbers) and len(listed) <= MAX_MULTIPLES:
        listed.append(steps.add(listed[-1], largest))
    return ",".join(map(str, listed)), listed[-1]


def direct(numbers: tuple[int, ...], steps: Steps) -> tuple[str, int]:
    """The answer without steps; each multiple in the head slips as a written one does."""
    return "", multiples(numbers, steps)[1]


STYLES = {"multiples": multiples, "direct": direct}


def sft_texts(n: int, styles: Mapping[str, float], error_rate: float, seed: int) -> list[tuple[str, str]]:
    """n pairs (problem, solution) of role `sft`, as asymgrpo.tasks.chain_sum.sft_texts gives sums.

    >>> sft_texts(1, {"multiples": 1.0}, 0.0, seed=0)[0][1].startswith(",")
    False
    """
    names, weights = list(styles), np.array(list(styles.values()), dtype=np.float64)
    texts = []
    for i, problem in enumerate(islice(draws("sft", NUMBERS[TRAIN_NAME], seed), n)):
        rng = generator("lcm_text", seed, i)
        style = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        text, answer = STYLES[style](problem.numbers, Steps(error_rate, rng))
        texts.append((problem.text, (f"{text}\n" if text else "") + f"\\boxed{{{answer}}}"))
    return texts
