"""Problems in words: sets that share no pair of numbers, true solutions, a prompt that shows the form and hides the answer."""

import re
from types import SimpleNamespace

import pytest

from asymgrpo.tasks import words
from asymgrpo.tasks.prompts import PromptError, render
from asymgrpo.tasks.sources import EmbeddedSize, load_dataset_rows
from asymgrpo.tasks.spec import DataError
from asymgrpo.verifier import Verdict
from asymgrpo.verifier.extract import extract_boxed
from asymgrpo.verifier.grade import grade_many

EVERY = list(words.every_problem())
TOKENIZER = SimpleNamespace(eos_token="<end>")


def of_text(text: str) -> words.Problem:
    """The problem that a text asks, read from its words alone."""
    first, second = (words.NUMBERS.index(word) for word in re.findall("|".join(words.NUMBERS[2:]), text))
    operations = {
        "plus": "plus",
        "Add": "plus",
        "minus": "minus",
        "Take": "minus",
        "times": "times",
        "Multiply": "times",
    }
    operation = next(name for word, name in operations.items() if word in text)
    a, b = (second, first) if text.startswith(("Add", "Take")) else (first, second)
    return words.Problem(operation, a, b)


def test_every_text_says_its_problem_and_no_two_are_alike():
    assert len({problem.text for problem in EVERY}) == len(EVERY) == 502
    for problem in EVERY:
        assert of_text(problem.text)[:3] == problem[:3]
        assert problem.answer >= 0


def test_solutions_are_true_and_end_in_the_answer():
    for problem in EVERY:
        equation, box = problem.solution.split(". ")
        a, sign, b, _, result = equation.split()
        value = {"+": int(a) + int(b), "-": int(a) - int(b), "x": int(a) * int(b)}[sign]
        assert value == int(result) == problem.answer
        assert extract_boxed(box) == str(problem.answer)


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1), (2604, 7)])
def test_no_operation_with_its_numbers_is_in_two_sets(seeds):
    sizes = {words.TRAIN_NAME: 408, words.BENCHMARKS[0]: 84}
    made = {name: words.rows(name, n, seed) for (name, n), seed in zip(sizes.items(), seeds, strict=True)}
    keys = {name: {words.key(of_text(row["problem"])) for row in rows} for name, rows in made.items()}
    shown = set(map(words.key, words.EXAMPLES))
    assert keys[words.TRAIN_NAME].isdisjoint(keys[words.BENCHMARKS[0]])
    assert shown.isdisjoint(keys[words.TRAIN_NAME] | keys[words.BENCHMARKS[0]])
    assert keys[words.TRAIN_NAME] | keys[words.BENCHMARKS[0]] | shown == set(map(words.key, EVERY))


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (48, 2604), (84, 2**32)])
def test_rows_are_a_function_of_the_seed_and_distinct(n, seed):
    rows = words.rows(words.BENCHMARKS[0], n, seed)
    assert rows == words.rows(words.BENCHMARKS[0], 84, seed)[:n]
    assert len({row["problem"] for row in rows}) == len({row["problem_id"] for row in rows}) == n
    for row in rows:
        problem = of_text(row["problem"])
        assert (row["answer"], row["level"]) == (str(problem.answer), problem.operation)


def test_more_problems_than_there_are_and_another_source_are_refused(lock):
    with pytest.raises(DataError, match="words has 84 problems, 85 were asked for; ask for fewer"):
        load_dataset_rows("words", "embedded", None, lock, EmbeddedSize(85, 0))
    with pytest.raises(DataError, match=r"data\.source"):
        load_dataset_rows("words", "directory", None, lock)


def test_the_prompt_shows_solved_examples_and_the_verifier_accepts_them():
    problem = words.Problem("plus", 7, 5)
    prompt = render("words_examples", problem.text, TOKENIZER)
    *shown, asked = prompt.split("Q: ")[1:]
    assert asked == "What is seven plus five?\nA:"
    for one, text in zip(words.EXAMPLES, shown, strict=True):
        assert text == f"{one.text}\nA: {one.solution}<end>\n", (
            "the end token closes each, as it shall close the response"
        )
    graded = grade_many([(one.solution, str(one.answer), False) for one in words.EXAMPLES], workers=1)
    assert graded == [Verdict.correct] * 3
    with pytest.raises(PromptError, match="no end token"):
        render("words_examples", problem.text, SimpleNamespace(eos_token=None))
