"""The second generated task: disjoint sets, right answers, solutions that say what they mean, one alphabet with sums."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from asymgrpo.study.stored import load_study
from asymgrpo.study.tiny_spec import SpecError, parse_spec
from asymgrpo.tasks import lcm
from asymgrpo.tasks.spec import dataset_spec
from asymgrpo.tasks.tokenizer import build_tokenizer
from workflow.checks import check_meaning

STUDY = load_study([Path(__file__).parents[2] / "config/lcm.yaml"])


def numbers_of(problem: str) -> tuple[int, ...]:
    return tuple(sorted(map(int, problem.split(","))))


@pytest.mark.parametrize("name", lcm.NUMBERS)
def test_rows_are_distinct_and_right(name):
    rows = lcm.rows(name, 60, seed=3)
    assert dataset_spec(name).family == "lcm"
    assert len({row["problem"] for row in rows}) == 60
    for row in rows:
        numbers = numbers_of(row["problem"])
        assert int(row["answer"]) == math.lcm(*numbers) <= lcm.MAX_MULTIPLES * max(numbers)
        assert row["level"] == str(len(numbers))
    assert max(len(row["answer"]) for row in rows) == 3


def test_sets_are_disjoint_even_up_to_reordering_and_across_seeds():
    held_out = {numbers_of(row["problem"]) for name in lcm.BENCHMARKS for row in lcm.rows(name, 100, 0)}
    train = {numbers_of(row["problem"]) for row in lcm.rows(lcm.TRAIN_NAME, 1000, 0)}
    sft = {numbers_of(problem) for problem, _ in lcm.sft_texts(2000, {"multiples": 1.0}, 0.0, 1)}
    assert held_out.isdisjoint(train | sft)
    assert train.isdisjoint(sft)


def test_solutions_without_slips_end_in_the_answer_and_slips_are_rare_errors():
    tokenizer, wrong = build_tokenizer(), 0
    for rate in (0.0, 0.05):
        for problem, text in lcm.sft_texts(400, {"multiples": 0.8, "direct": 0.2}, rate, 0):
            answer = math.lcm(*numbers_of(problem))
            wrong += not text.endswith(f"\\boxed{{{answer}}}")
            assert tokenizer.decode(tokenizer.encode(problem + "\n" + text)) == problem + "\n" + text
        assert wrong == 0 if rate == 0 else 5 < wrong < 100


def test_the_study_of_it_is_only_configuration():
    assert (STUDY.data.train, STUDY.evaluation.benchmarks) == (lcm.TRAIN_NAME, ["lcm2", "lcm3"])
    assert check_meaning(STUDY) == []
    spec = parse_spec(STUDY.models["tiny"].spec)
    assert spec.task == "lcm"
    assert spec.model_dump(mode="json")["task"] == "lcm"
    with pytest.raises(SpecError, match="styles has 'left'; choose among multiples, direct"):
        parse_spec(spec.model_dump() | {"styles": {"left": 1.0}})
