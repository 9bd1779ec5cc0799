"""pass@k against all subsets and against exact fractions; maj@k against its definition."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.estimates.passk import avg_at_n, maj_at_k, pass_at_k


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n: int) -> None:
    for c in range(n + 1):
        outcomes = [1] * c + [0] * (n - c)
        for k in range(1, n + 1):
            subsets = list(combinations(outcomes, k))
            assert pass_at_k(n, c, k) == pytest.approx(np.mean([max(s) for s in subsets]), abs=1e-15)


@given(st.data())
def test_relative_error_below_1e_13_up_to_a_hundred_thousand_samples(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 100_000))
    c = data.draw(st.integers(0, min(n, 3000)) | st.integers(0, n))
    k = data.draw(st.integers(1, min(n, 3000)))
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    got = Fraction(float(pass_at_k(n, c, k)))
    assert abs(got - exact) <= exact * Fraction(1, 10**13)


def test_a_hundred_thousand_samples_at_once() -> None:
    n = 100_000
    values = pass_at_k(n, np.arange(n + 1), 50_000)
    assert values[0] == 0.0
    assert values[1] == pytest.approx(0.5, rel=1e-14)
    assert values[-1] == 1.0
    assert (np.diff(values) >= 0).all()


@given(n=st.integers(1, 300), data=st.data())
def test_monotone_in_k_and_c_and_equal_to_avg_at_k_1(n: int, data: st.DataObject) -> None:
    c = data.draw(st.integers(0, n))
    values = pass_at_k(n, c, np.arange(1, n + 1))
    assert values[0] == pytest.approx(avg_at_n(n, c), abs=1e-15)
    assert (np.diff(values) >= 0).all()
    assert values[-1] == float(c > 0)
    if c:
        assert (values >= pass_at_k(n, c - 1, np.arange(1, n + 1))).all()


def test_arrays_broadcast() -> None:
    n, c, k = np.array([8, 16])[:, None, None], np.array([0, 1, 4])[:, None], np.array([1, 2, 4, 8])
    together = pass_at_k(n, c, k)
    assert together.shape == (2, 3, 4)
    assert together.dtype == np.float64
    assert together[1, 2, 3] == pass_at_k(16, 4, 8)


@pytest.mark.parametrize(
    ("n", "c", "k", "words"),
    [
        (4, 1, 5, "k = 5 is larger than n = 4"),
        (4, 5, 1, "between 0 and n"),
        (4, -1, 1, "between 0 and n"),
        (4, 1, 0, "at least 1"),
        (0, 0, 1, "at least 1"),
        (4, 1.5, 1, "whole numbers"),
        ([8, 4], 1, 5, "k = 5 is larger than n = 4"),
    ],
)
def test_impossible_counts_are_refused(n: object, c: object, k: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pass_at_k(n, c, k)  # type: ignore[arg-type]


def majority_by_definition(answers: list[int], correct: list[bool], k: int) -> float:
    credits = []
    for start in range(0, len(answers) // k * k, k):
        block = list(zip(answers[start : start + k], correct[start : start + k], strict=True))
        votes = [answer for answer, _ in block if answer != -1]
        leaders = [a for a in set(votes) if votes.count(a) == max(map(votes.count, votes))]
        worth = [np.mean([v for a, v in block if a == leader]) for leader in leaders]
        credits.append(float(np.mean(worth)) if worth else 0.0)
    return float(np.mean(credits))


@given(st.data())
def test_majority_vote_follows_its_definition(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    k = data.draw(st.integers(1, n))
    rows = data.draw(st.integers(1, 3))
    cell = st.lists(st.tuples(st.integers(-1, 3), st.booleans()), min_size=n, max_size=n)
    cells = [data.draw(cell) for _ in range(rows)]
    answers = np.array([[a for a, _ in row] for row in cells])
    correct = np.array([[v for _, v in row] for row in cells])
    expected = [majority_by_definition(list(a), list(v), k) for a, v in zip(answers, correct, strict=True)]
    assert maj_at_k(answers, correct, k) == pytest.approx(expected, abs=1e-12)
