"""Verdicts against labels chosen by hand, and against the tests of other verifiers."""

import json
import os
from pathlib import Path

import make_golden
import pytest

from asymgrpo.verifier import Verdict
from asymgrpo.verifier.audit import boxed
from asymgrpo.verifier.second import second_correct

GOLDEN = Path(__file__).with_name("golden.jsonl")
DATA = Path(os.environ.get("ASYMGRPO_DATA", Path(__file__).parents[3] / "shared" / "datasets"))

# Cases whose expectation is another rule than ours.
OTHER_RULES = {
    "vc0057": "the answer stands in prose, without a box",
    "vc0133": "asks for two decimal places",
    "vc0166": "the last box is not the answer",
    "vc0176": "two boxes side by side in the reference answer mean a list",
    "vc0207": "boxes on two lines, with words between them",
    "vc0209": "two boxes with words between them in the reference answer mean a list",
    "vc0239": "two boxes with symbols between them in the reference answer mean a list",
}


@pytest.fixture(scope="module")
def golden():
    return [json.loads(line) for line in GOLDEN.read_text().splitlines()]


def test_golden_file_is_what_its_generator_writes(golden):
    assert golden == make_golden.pairs()
    assert len(golden) > 900
    assert len({(row["gold"], row["answer"]) for row in golden}) == len(golden)


@pytest.mark.slow
def test_verdicts_on_our_pairs(verifier, golden):
    verdicts = verifier.verify_many([(f"so \\boxed{{{row['answer']}}}.", row["gold"]) for row in golden])
    expected = [row["label"] != ("known_wrong" in row) for row in golden]
    differing = [
        row
        for row, verdict, right in zip(golden, verdicts, expected, strict=True)
        if (verdict == Verdict.correct) != right
    ]
    assert differing == []


@pytest.mark.slow
def test_verdicts_on_the_cases_of_others(verifier):
    rows = [json.loads(line) for line in (DATA / "verifier_cases.jsonl").read_text().splitlines()]
    assert len(rows) == 220
    verdicts = verifier.verify_many([(boxed(row["response"]), row["gold"]) for row in rows])
    differing = {
        row["id"] for row, verdict in zip(rows, verdicts, strict=True) if (verdict == Verdict.correct) != row["label"]
    }
    assert differing == set(OTHER_RULES)


def test_second_grader_accepts_little_that_is_wrong(golden):
    """It is a check on the first grader only if it is rarely fooled itself."""
    accepted = {(row["gold"], row["answer"]) for row in golden if second_correct(row["answer"], row["gold"])}
    wrong = {(row["gold"], row["answer"]) for row in golden if not row["label"]}
    right = {(row["gold"], row["answer"]) for row in golden if row["label"]}
    assert len(accepted & wrong) <= 4
    assert len(accepted & right) > 0.6 * len(right)
