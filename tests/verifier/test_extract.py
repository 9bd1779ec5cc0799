"""The last complete box, and nothing else, is the answer."""

import time

from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.verifier.extract import extract_answer, extract_boxed, is_list

plain = st.text(st.characters(blacklist_characters="\\{}", blacklist_categories=["Cs"]), max_size=12)
balanced = st.recursive(
    plain | st.sampled_from([r"\{", r"\}", r"\frac", r"\\"]),
    lambda inner: st.lists(inner, max_size=3).map("".join) | inner.map(lambda text: "{" + text + "}"),
    max_leaves=8,
)


@given(plain, balanced, plain)
def test_content_of_a_box_comes_back_whole(before, content, after):
    assert extract_boxed(f"{before}\\boxed{{{content}}}{after}") == content


@given(balanced, plain, balanced)
def test_the_last_of_two_boxes_counts(first, between, second):
    assert extract_boxed(f"\\boxed{{{first}}}{between}\\boxed{{{second}}}") == second


@given(balanced, plain)
def test_an_unfinished_box_does_not_count(content, rest):
    assert extract_boxed(f"\\boxed{{{content}}} so \\boxed{{{rest}") == content


@given(plain)
def test_no_box_no_answer(text):
    assert extract_boxed(text) is None


def test_inner_box_of_a_nested_one():
    assert extract_boxed(r"\boxed{\text{so }\boxed{5}}") == "5"


def test_stray_braces_before_and_after():
    assert extract_boxed(r"} { \boxed{a_{1}} } {") == "a_{1}"


def test_double_backslash_and_space_before_the_brace():
    assert extract_boxed(r"\\boxed {4}") == "4"


def test_enumerated_boxes_count_together_only_for_a_list():
    response = r"$\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}$"
    assert extract_answer(response, "(2, 2), (6, 2)") == "(2, 2), (6, 2)"
    assert extract_answer(response, "(6, 2)") == "(6, 2)"


def test_boxes_parted_by_words_are_no_enumeration():
    assert extract_answer(r"\boxed{1}, wait, it is \boxed{2}", "1, 2") == "2"
    assert extract_answer(r"\boxed{1} \boxed{2}", "1, 2") == "2"


def test_thousands_are_no_list():
    assert not is_list("1,234,567")
    assert is_list("1, 234")


def test_a_megabyte_of_open_boxes_takes_linear_time():
    start = time.process_time()
    assert extract_boxed("\\boxed{7}" + "\\boxed{" * 150_000) == "7"
    assert extract_boxed("{" * 1_000_000 + "\\boxed{8") is None
    assert time.process_time() - start < 5
