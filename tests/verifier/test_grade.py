"""One rule on truncated responses: training, evaluation and lm-eval's tasks give the same verdicts."""

import ast
from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest

from asymgrpo.rollout import Rollout
from asymgrpo.training.build import make_grader
from asymgrpo.verifier import Verdict, grade, grade_many, reward, second_grade, was_cut
from evals.grade import grade_samples
from evals.lm_eval.tasks import scores

ROOT = Path(__file__).parents[2]
TEXTS = (r"so \boxed{1}", r"\boxed{2}", r"\boxed{\frac{2}{2}}", "1", r"\boxed{", "", r"\boxed{1} and then \boxed{")
ANSWERS = ("1", r"\frac{1}{1}", "2")
REASONS = ("stop", "length")
GRID = list(product(TEXTS, ANSWERS, REASONS))


class Spelled:
    """A tokenizer whose token ids are code points."""

    def batch_decode(self, rows, skip_special_tokens):
        return ["".join(map(chr, row)) for row in rows]


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return [grade(text, answer, was_cut(reason)) for text, answer, reason in GRID]


def test_what_was_cut_is_truncated_and_worth_nothing(verdicts):
    for (text, answer, reason), verdict in zip(GRID, verdicts, strict=True):
        assert (verdict is Verdict.truncated) == (reason == "length"), (text, answer)
        if reason == "length":
            assert reward(verdict) == 0
            assert not second_grade(text, answer, cut=True)
    assert {Verdict.correct, Verdict.wrong, Verdict.unparsed} < set(verdicts)
    assert grade_many([(text, answer, was_cut(reason)) for text, answer, reason in GRID], workers=1) == verdicts


def test_training_gives_these_verdicts(verdicts):
    rollouts = [Rollout((1,), tuple(map(ord, text)), (0.0,) * len(text), reason, 0) for text, _, reason in GRID]
    assert make_grader(Spelled(), workers=1)(rollouts, [answer for _, answer, _ in GRID]) == verdicts


def test_evaluation_gives_these_verdicts(verdicts):
    names = [str(i) for i in range(len(GRID))]
    columns = {"problem_id": names, "response": [t for t, *_ in GRID], "finish_reason": [r for *_, r in GRID]}
    graded = grade_samples(pa.table(columns), {n: a for n, (_, a, _) in zip(names, GRID, strict=True)}, workers=1)
    assert graded["verdict"].to_pylist() == verdicts
    assert graded["correct"].to_pylist() == [reward(verdict) == 1 for verdict in verdicts]
    assert graded["second_correct"].to_pylist() == [second_grade(t, a, was_cut(r)) for t, a, r in GRID]


def test_tasks_of_lm_eval_give_these_verdicts(verdicts):
    found = [scores([text], answer, [was_cut(reason)])["avg_at_n"] for text, answer, reason in GRID]
    assert found == [reward(verdict) for verdict in verdicts]


def test_nothing_else_asks_the_verifier_or_calls_a_response_truncated():
    """Outside asymgrpo/verifier there is no other way from a response to a verdict, and no other finish reason is read."""
    files = [path for room in ("asymgrpo", "evals", "workflow") for path in (ROOT / room).rglob("*.py")]
    outside = [path for path in files if "verifier" not in path.relative_to(ROOT).parts]
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in outside
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (name := _forbidden(node))
    }
    assert len(outside) > 100
    assert found == {
        "asymgrpo/tasks/references.py: verify_many",  # reference answers against themselves
        "asymgrpo/training/trainer.py: Verdict.truncated",  # reads verdicts: train.truncated may mask them
    }


def _forbidden(node: ast.AST) -> str | None:
    match node:
        case ast.Attribute(attr="verify_many") | ast.Name(id="verify_many"):
            return "verify_many"
        case ast.Attribute(value=ast.Name(id="Verdict"), attr="truncated"):
            return "Verdict.truncated"
        case ast.Compare(left=ast.Attribute(attr="finish_reason"), ops=[ast.Eq() | ast.NotEq()]):
            return "finish_reason"
    return None
