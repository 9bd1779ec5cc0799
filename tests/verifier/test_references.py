"""Reference answers are read whole: what differs from one by a digit, a letter or its surroundings is refused, or explained."""

import json
import os
from pathlib import Path

import pytest

from asymgrpo.tasks.references import Reference, audit, references, sampled, unexplained, variants
from asymgrpo.verifier import Verdict
from asymgrpo.verifier.remainders import remainders

DATA = Path(os.environ.get("ASYMGRPO_DATA", Path(__file__).parents[3] / "shared" / "datasets"))
SAMPLE = 30

# Reference answers that math-verify reads in part, and what it took for them.
IN_PART = [
    (r"\hbar \omega(v+1 / 2)-\frac{E_{0}^{2} e^{2}}{2 m \omega^{2}}", "2"),
    (r"\begin{pmatrix} 1 & -1 \\ 1 & \phantom -1 \end{pmatrix}", "-1"),
    (r"2007 + \frac\pi 2", "2"),
    ("x + y + z = 0", "0"),
    ("a+b=10", "10"),
    (r"1, 2, \ldots, n", "2"),
    (r"1, 2, \dots, 10", "10"),
    (
        r"$f(x)=a x+b$, where $b$ is an arbitrary integer, and $a$ is an arbitrary positive integer with $\mho(a)=0$",
        "0",
    ),
    (r"\frac{1}{3} E_{1}+\frac{2}{3} E_{2}", r"\frac{2}{3}"),
    ("2s", "2"),
    ("$6m$", "6"),
    (r"\frac{37}{4} m", r"\frac{37}{4}"),
    (r"\frac{1}{\sqrt{2}}c", r"\frac{1}{\sqrt{2}}"),
    ("a + b + c", "a"),
    (r"\sin^2 t", r"\sin^2"),
    ("MR=SRMC", "SRMC"),
    (
        r"m_{p} c^{2}\left(\gamma^{2}-1\right) \sin ^{2} \theta",
        r"m_{p} c^{2}\left(\gamma^{2}-2\right) \sin ^{2} \theta",
    ),
    (r"\begin{cases} 1 & x > 0 \\ 2 & x < 0 \end{cases}", "1"),
    (r"x \equiv 3 \pmod{5}", "5"),
    (r"5 \text{ or more}", "5"),
    (r"3\text{ cm} + 2x\text{ cm}", "3"),
    (r"-37_8", "-37_9"),
    (r"6\text{ million}", "6"),
    (r"m \frac{d v}{d t}+b v=f", r"q \frac{d v}{d t}+b v=f"),
    (r"\frac{dM}{dt}=\frac{10^{5} L_{\odot}}{c^{2}} M^{6}", r"\frac{dM}{dt}=\frac{10^{5} L_{\odot}}{c^{3}} M^{6}"),
    (r"\frac{d x}{d t}=k x-a", "k x-a"),
    ("x^2=-1", "x^2=-2"),
    (r"\lfloor\frac{2 n-1}{5}\rfloor", r"\lfloor\frac{2 n-1}{4}\rfloor"),
]


@pytest.mark.parametrize(("reference", "part"), IN_PART)
def test_a_part_is_not_the_answer(verifier, reference, part):
    whole, piece = verifier.verify_many([(f"\\boxed{{{answer}}}", reference) for answer in (reference, part)])
    assert (whole, piece == Verdict.correct) == (Verdict.correct, False)


# Reference answers of 2025: powers too large to write out, complex values, a decimal.
FOUR = r"2,3,\frac{3+i\sqrt{3}}{2},\frac{3-i\sqrt{3}}{2}"
SAME = [
    ("2024^{4046}", r"(2024^{2})^{2023}"),
    (r"\frac{1507^{2}}{360^{2}}", r"\left(\frac{1507}{360}\right)^{2}"),
    (r"\frac{1507^{2}}{360^{2}}", r"\frac{2271049}{129600}"),
    (FOUR, r"\frac{3-i\sqrt{3}}{2}, 3, 2, \frac{3+i\sqrt{3}}{2}"),
    ("9.94", r"\frac{497}{50}"),
]
OTHER = [
    ("2024^{4046}", "2024^{4047}"),
    ("2024^{4046}", "4046^{2024}"),
    (r"\frac{1507^{2}}{360^{2}}", r"\frac{1507^{2}}{360}"),
    (FOUR, r"2,3,\frac{3+i\sqrt{3}}{2}"),
    (FOUR, r"2,3,\frac{3+\sqrt{3}}{2},\frac{3-\sqrt{3}}{2}"),
    ("9.94", "9.93"),
]


def test_powers_complex_values_and_decimals_of_2025(verifier):
    pairs = [(f"\\boxed{{{answer}}}", reference) for reference, answer in [*SAME, *OTHER]]
    verdicts = verifier.verify_many(pairs)
    assert [verdict == Verdict.correct for verdict in verdicts] == [True] * len(SAME) + [False] * len(OTHER)


def test_the_references_of_late_2025_and_2026_accept_themselves_and_nothing_unexplained():
    findings = audit([one for one in references(DATA) if one.dataset in ("aime26", "brumo25", "cmimc25")], workers=2)
    assert {"2024^{4046}", FOUR, "9.94"} <= {finding.reference.text for finding in findings}
    assert [finding.reference for finding in findings if not finding.accepts_itself] == []
    assert unexplained(findings) == []


def test_variants_change_digits_letters_and_surroundings():
    assert {(variant.kind, variant.answer) for variant in variants("3x-1")} == {
        *(("digit", text) for text in ("4x-1", "2x-1", "3x-2", "3x-0")),
        ("letter", "3q-1"),
        *(("inside", text) for text in ("3", "-1", "1")),
    }


def test_every_remainder_has_a_reason_and_a_kind():
    assert all(entry["why"] and entry["kind"] in ("digit", "letter", "inside") for entry in remainders())
    assert all(("like" in entry) != ("reference" in entry) for entry in remainders())


def test_every_set_of_the_folder_is_audited():
    sets = {reference.dataset for reference in references(DATA)}
    assert {"math_train", "math500", "olympiadbench", "minerva", "gsm8k", "hmmt_feb25", "brumo25", "cmimc25"} <= sets


def test_a_file_of_another_set_is_read_too(tmp_path):
    for path in DATA.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "new.jsonl").write_text(json.dumps({"id": 7, "problem": "?", "answer": r"\frac{97}{89}"}) + "\n")
    assert Reference("new", "7", r"\frac{97}{89}") in references(tmp_path)


def _check(size: int | None) -> None:
    findings = audit(sampled(references(DATA), size), workers=2)
    assert [finding.reference for finding in findings if not finding.accepts_itself] == []
    assert unexplained(findings) == []


@pytest.mark.slow
def test_a_sample_of_reference_answers_accepts_nothing_unexplained():
    _check(SAMPLE)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(7200)
def test_all_reference_answers_accept_nothing_unexplained():
    _check(None)
