r"""How good is the verifier? Labelled pairs under math-verify alone, the verifier and the second grader.

    python -m asymgrpo.verifier.audit --cases verifier_cases.jsonl --golden tests/verifier/golden.jsonl \
        --forms tests/verifier/forms.yaml --out docs/verifier.md

`cases` has the fields gold (the reference answer), response, label; `golden` has gold, answer, label, section; `forms` has the
conventions on spelling.
What every reference answer of the data sets parses to is listed by `python -m asymgrpo.tasks.references`.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import typer
import yaml

from asymgrpo.console import run
from asymgrpo.errors import DataError
from asymgrpo.readers import read_json_lines
from asymgrpo.verifier import fixes, settlers
from asymgrpo.verifier.api import CPU_SECONDS, MEMORY_BYTES, WALL_SECONDS, Verifier
from asymgrpo.verifier.extract import extract_boxed
from asymgrpo.verifier.remainders import remainders
from asymgrpo.verifier.second import second_correct
from asymgrpo.verifier.verdict import MAX_ANSWER_CHARS, VERIFIER_VERSION

WHOLE_AUDIT = """\
The suite audits a fixed sample of 30 reference answers (about 10 s of processor time), `pytest -m long` all of
them (about 12 minutes of processor time)."""


class Case(NamedTuple):
    """One labelled pair; response and reference answer as `verify` takes them."""

    section: str
    response: str
    reference: str
    label: bool


class Graded(NamedTuple):
    """What the three graders say of one case."""

    case: Case
    plain: bool
    fixed: bool
    second: bool


def read_cases(path: Path) -> list[Case]:
    """Cases of other projects' tests; a response without a box is put into one as a whole."""
    rows = [record.fields for record in read_json_lines(path)]
    return [Case("cases", boxed(row["response"]), row["gold"], row["label"]) for row in rows]


def read_golden(path: Path) -> list[Case]:
    """Our own pairs."""
    rows = [record.fields for record in read_json_lines(path)]
    return [Case(row["section"], f"\\boxed{{{row['answer']}}}", row["gold"], row["label"]) for row in rows]


def boxed(response: str) -> str:
    r"""The response itself if it has a box, else all of it in one.

    >>> boxed("7"), boxed(r"it is \boxed{7}")
    ('\\boxed{7}', 'it is \\boxed{7}')
    """
    return response if extract_boxed(response) is not None else f"\\boxed{{{response.strip()}}}"


def grade(cases: Sequence[Case], workers: int) -> list[Graded]:
    """All three graders on all cases."""
    answers = [extract_boxed(case.response) or "" for case in cases]
    references = [extract_boxed(case.reference) or case.reference for case in cases]
    with Verifier(workers) as verifier:
        plain = verifier.pool.judge_many(list(zip(answers, references, strict=True)), with_fixes=False)
        fixed = verifier.verify_many([(case.response, case.reference) for case in cases])
    return [
        Graded(case, p == "correct", m == "correct", second_correct(answer, reference))
        for case, p, m, answer, reference in zip(cases, plain, fixed, answers, references, strict=True)
    ]


def accuracy_table(graded: Sequence[Graded]) -> str:
    """Markdown: right verdicts, wrong acceptances and wrong rejections by section and grader."""
    lines = ["| pairs | n | math-verify alone | verifier | second grader |", "|---|---|---|---|---|"]
    sections = list(dict.fromkeys(item.case.section for item in graded))
    for section in sections:
        rows = [item for item in graded if item.case.section == section]
        cells = [
            _score([(row.case.label, getattr(row, name)) for row in rows]) for name in ("plain", "fixed", "second")
        ]
        lines.append(f"| {section} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _score(pairs: Sequence[tuple[bool, bool]]) -> str:
    right = sum(label == said for label, said in pairs)
    accepted = sum(said and not label for label, said in pairs)
    return f"{right} ({100 * right / len(pairs):.1f} %), +{accepted} −{len(pairs) - right - accepted}"


def mistakes(graded: Sequence[Graded]) -> str:
    """Markdown list of the cases in which the verifier disagrees with the label."""
    lines = [
        f"- {'accepted' if fixed else 'rejected'}: reference answer `{_short(case.reference)}`, "
        f"response `{_short(case.response)}`"
        for case, _, fixed, _ in graded
        if fixed != case.label
    ]
    return "\n".join(lines) or "none"


def _short(text: str) -> str:
    flat = " ".join(text.split()).replace("`", "'")
    return flat if len(flat) <= 120 else f"{flat[:50]} … {flat[-60:]}"


def rules_table() -> str:
    """Markdown: every fix with the first sentence of its docstring."""
    lines = ["| rule | what it does |", "|---|---|"]
    for rule in (*fixes.REWRITES, *settlers.SETTLERS, fixes.readings):
        lines.append(f"| `{rule.__name__}` | {(rule.__doc__ or '').strip().splitlines()[0]} |")
    return "\n".join(lines)


def forms_table(forms: Sequence[dict]) -> str:
    """Markdown: every form with its decision, the reason, and examples."""
    lines = ["| form | decision | why | for | accepted | refused |", "|---|---|---|---|---|---|"]
    for form in forms:
        examples = [", ".join(map(_code, form[key][:5])) for key in ("accepted", "refused")]
        lines.append(
            f"| {form['form']} | {form['decision']} | {form['why']} | {_code(form['for'])} | {' | '.join(examples)} |"
        )
    return "\n".join(lines)


def remainders_table() -> str:
    """Markdown: what is accepted although it differs from the reference answer, and why."""
    lines = ["| differs by | reference answers like | why it is accepted |", "|---|---|---|"]
    for entry in remainders():
        lines.append(f"| {entry['kind']} | {_code(entry.get('reference', entry.get('like', '')))} | {entry['why']} |")
    return "\n".join(lines)


def _code(text: str) -> str:
    """A code span for a cell of a table."""
    escaped = text.replace("|", "\\|")
    return f"`` {escaped} ``" if "`" in text or text != text.strip() or text.endswith("\\") else f"`{escaped}`"


def report(cases: Sequence[Graded], golden: Sequence[Graded], forms: Sequence[dict]) -> str:
    """The whole of docs/verifier.md."""
    pooled = [item._replace(case=item.case._replace(section="all of ours")) for item in golden]
    differ = sum(item.fixed != item.second for item in golden)
    return f"""# Verifier {VERIFIER_VERSION}

Written by `python -m asymgrpo.verifier.audit`; do not edit.

Cells: right verdicts (share), + wrongly accepted, − wrongly rejected.

{accuracy_table([*cases, *pooled, *golden])}

*cases* are pairs from the tests of other verifiers, each with the label that its test expects. A response
without a box is put into a box as a whole, prose included, because the verifier looks only at boxes; mistakes
below that contain prose are of this kind. *all of ours* and the rows after it are `tests/verifier/golden.jsonl`,
labelled by hand. The rules were written with both files in view, so these numbers show how well the rules fit,
not how well they generalise.

The two graders disagree on {differ} of our {len(golden)} pairs, which were chosen to be hard.

## Conventions

- The content of the last complete `\\boxed{{...}}` is the answer. Of nested boxes the inner one counts. If
  the reference answer is a list of values, boxes joined by a comma, "and" or "or" count together.
- No box, an empty one, one of more than {MAX_ANSWER_CHARS} characters, or one without mathematics: unparsed.
- A box that nothing closes ends at its first `\\}}` without a `\\{{`.
- A response cut at the token limit is truncated, whatever it contains. Only correct has reward 1.
- timeout: {CPU_SECONDS:g} s of processor time or {MEMORY_BYTES >> 30} GiB of memory. Wall time does not count,
  except that after {WALL_SECONDS:g} s a worker that has not answered is killed. A pair that needs almost exactly the limit
  can come out either way: processors differ in speed.
- Nothing else is a timeout. A worker that is killed from outside, or may not have its memory (`ulimit -v`), ends the
  command with an error.
- math-verify treats a failed allocation like any error, so an answer that is too large may be wrong or unparsed
  rather than timeout.

## Reference answers are read whole

If a text does not parse, math-verify takes an equation, a fraction or a number inside of it. Here a reference answer is
either read from its first to its last sign, or compared as text, after spaces, sizes of brackets and spellings of an
ellipsis are made equal. The right-hand side of an equation answers it only if the equation gives a value to a name.

    python -m asymgrpo.tasks.references --data-dir FOLDER --out references.jsonl

lists for every reference answer of every set in a folder what it parses to, and which of these variants are accepted for
it: a digit changed by one, another letter for a variable, a number that is a part of it. Each accepted variant needs a
reason (remainders.yaml), or the command and the test fail:

{remainders_table()}

{WHOLE_AUDIT}

## Spellings

The examples are the first five of each entry in `tests/verifier/forms.yaml`; every entry there is a test. The rule is what a
careful human would grade.

{forms_table(forms)}

## Rules on top of math-verify

{rules_table()}

Numbers that math-verify finds equal are compared again: rationals exactly, decimals by relative difference. An
inequality equals the interval that it describes.

## Where the verifier still differs from the label

Cases of other projects:

{mistakes(cases)}

Ours:

{mistakes(golden)}
"""


def main(
    cases: Path = typer.Option(..., help="JSON lines with gold, response, label"),
    golden: Path = typer.Option(..., help="JSON lines with gold, answer, label, section"),
    forms: Path = typer.Option(..., help="YAML with the conventions on spelling"),
    out: Path = typer.Option(..., help="Markdown to write"),
    workers: int = typer.Option(2, help="worker processes"),
) -> None:
    """Grade labelled pairs and write the report."""
    for path in (cases, golden, forms):
        if not path.is_file():
            raise DataError(f"{path} does not exist; give the labelled pairs as JSON lines, the forms as YAML.")
    spellings = yaml.safe_load(forms.read_text(encoding="utf-8"))
    text = report(grade(read_cases(cases), workers), grade(read_golden(golden), workers), spellings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=out.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, out)


if __name__ == "__main__":
    run(main)
