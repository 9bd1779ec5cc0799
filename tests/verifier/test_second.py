"""The second grader: total, reflexive, and right about numbers."""

import time
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.verifier.second import normalise, number, second_correct
from asymgrpo.verifier.verdict import MAX_ANSWER_CHARS

integers = st.integers(-(10**6), 10**6)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_gets_an_answer(extracted, reference):
    assert second_correct(extracted, reference) in (True, False)


@given(st.text(max_size=60))
def test_what_has_content_equals_itself(text):
    assert second_correct(text, text) == bool(normalise(text))


@given(integers, integers)
def test_integers_are_equal_if_they_are(a, b):
    assert second_correct(str(a), str(b)) == (a == b)


@given(integers, st.integers(1, 10**4), st.integers(1, 50))
def test_fractions_in_any_terms_and_spelling(above, below, factor):
    value = Fraction(above, below)
    spelled = rf"\dfrac{{{above * factor}}}{{{below * factor}}}"
    assert second_correct(spelled, f"{value.numerator}/{value.denominator}")
    assert not second_correct(spelled, f"{value.numerator + 1}/{value.denominator}")


@given(st.permutations(["1", r"\frac{1}{2}", "-3", r"2\sqrt{3}"]))
def test_a_list_has_no_order_but_a_tuple_has(items):
    original = ["1", "0.5", "-3", r"\sqrt{12}"]
    assert second_correct(", ".join(items), ", ".join(original))
    in_order = items == ["1", r"\frac{1}{2}", "-3", r"2\sqrt{3}"]
    assert second_correct(f"({', '.join(items)})", f"({', '.join(original)})") == in_order


def test_repeated_elements_count():
    assert not second_correct("1, 1, 2", "1, 2, 2")


def test_brackets_of_intervals_count():
    assert not second_correct("(0, 1]", "[0, 1)")


def test_huge_powers_are_no_numbers():
    assert number("9^{9^{9^{9}}}") is None
    assert number("(" * 400) is None


def test_a_megabyte_is_refused_at_once():
    start = time.process_time()
    for text in ("x" * 1_000_000, "1," * 500_000, "{" * 1_000_000, r"\text{" * 200_000):
        assert not second_correct(text, "5")
        assert not second_correct("5", text)
        assert not second_correct(text, text)
    assert time.process_time() - start < 1


def test_the_longest_answers_take_no_time_worth_naming():
    numbers = [str(value) for value in range(500)]
    start = time.process_time()
    assert second_correct(",".join(numbers), ",".join(reversed(numbers)))
    for unit in ("x", "1,", "{", "(", r"\text{", "1 and ", "123,", r"\frac", "(1,"):
        text = (unit * MAX_ANSWER_CHARS)[:MAX_ANSWER_CHARS]
        second_correct(text, text[:-1] + "7")
    assert time.process_time() - start < 10


def test_brackets_in_brackets_do_not_raise():
    nested = "(1," * 600 + "1" + ")" * 600
    assert not second_correct(nested[:-601] + "2" + ")" * 600, nested)
