"""Prompts that are too long: left out in training, and refused in a sentence where nothing or no place is left."""

import json

import pytest

from asymgrpo.study.config import ConfigError
from asymgrpo.tasks.table import write_problems
from asymgrpo.tasks.tokenizer import build_tokenizer
from asymgrpo.training.inputs import read_problems
from evals.checkpoints import check_lengths
from evals.io import DataError

ROWS = [
    {"problem_id": f"p{i}", "problem": "+".join(["1"] * terms), "answer": str(terms), "level": None, "source": "chain2"}
    for i, terms in enumerate((2, 3, 5))
]
"""Prompts of 4, 6 and 10 tokens in the template `plain`."""


@pytest.fixture
def problems(tmp_path):
    write_problems(tmp_path / "train.parquet", ROWS, {})
    return tmp_path / "train.parquet"


def test_long_prompts_are_left_out(problems, capsys):
    kept = read_problems(problems, "plain", build_tokenizer(), 6)
    assert [(p.problem_id, len(p.prompt_ids)) for p in kept] == [("p0", 4), ("p1", 6)]
    assert "1 of 3 prompts exceed max_prompt_tokens" in capsys.readouterr().err


def test_when_all_are_too_long_the_shortest_is_told(problems):
    with pytest.raises(
        ConfigError, match=r"none of 3 prompts .*train\.max_prompt_tokens = 3 .*shortest has 4\); raise"
    ):
        read_problems(problems, "plain", build_tokenizer(), 3)


def test_no_problems_at_all_are_told_too(tmp_path):
    write_problems(tmp_path / "train.parquet", [], {})
    with pytest.raises(DataError, match="no problems in it; write it again"):
        read_problems(tmp_path / "train.parquet", "plain", build_tokenizer(), None)


def test_evaluation_refuses_what_the_model_cannot_hold_before_it_samples(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 20}), encoding="utf-8")
    check_lengths(tmp_path, ROWS, "plain", build_tokenizer(), 10)
    with pytest.raises(DataError, match=r"'p2': its prompt of 10 tokens and evaluation.max_tokens = 11 exceed the 20"):
        check_lengths(tmp_path, ROWS, "plain", build_tokenizer(), 11)
