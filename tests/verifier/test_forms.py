"""The conventions on spelling: every form of forms.yaml is decided as it says, and near misses stay refused."""

from pathlib import Path

import pytest
import yaml

from asymgrpo.verifier import Verdict, extract_boxed

FORMS = yaml.safe_load(Path(__file__).with_name("forms.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["form"])
def test_a_form_is_decided_as_the_table_says(verifier, form):
    answers = form["accepted"] + form["refused"]
    verdicts = verifier.verify_many([(f"so \\boxed{{{answer}}}", form["for"]) for answer in answers])
    said = {answer: verdict is Verdict.correct for answer, verdict in zip(answers, verdicts, strict=True)}
    assert said == {answer: answer in form["accepted"] for answer in answers}


def test_a_reference_answer_accepts_itself(verifier):
    pairs = [(f"\\boxed{{{form['for']}}}", form["for"]) for form in FORMS]
    assert set(verifier.verify_many(pairs)) == {Verdict.correct}


def test_an_escaped_brace_closes_a_box_that_nothing_else_closes():
    assert extract_boxed(r"First \boxed{1}. The answer is $\boxed{185\}$, by {the} lemma.") == "185"
    assert extract_boxed(r"\boxed{7} and \boxed{\{1, 2\}") == "7"
    assert extract_boxed(r"\boxed{\{1, 2\}}") == r"\{1, 2\}"
    assert extract_boxed(r"\boxed{\{1\}, 2\}") == r"\{1\}, 2"
