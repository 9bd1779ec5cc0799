r"""What does every reference answer say, and what else would be accepted for it?

    python -m asymgrpo.tasks.references --data-dir FOLDER --out references.jsonl [--sample 50]

For every reference answer of every set in the folder the file states its reading (or that it is compared as text), and which of
these answers are accepted for it: a digit changed by one (`digit`), another letter for one of its variables (`letter`), a
number that stands inside it (`inside`). What is accepted needs a reason in remainders.yaml; the command ends with exit code 1
when one has none, or when a reference answer does not accept itself.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from asymgrpo.console import run
from asymgrpo.errors import EXIT_FAILED
from asymgrpo.verifier.api import Verifier, _key
from asymgrpo.verifier.remainders import remainders
from asymgrpo.verifier.units import letters

INTEGER = re.compile(r"-?[1-9]\d{0,14}|0")


class Reference(NamedTuple):
    """A reference answer and the first problem that has it."""

    dataset: str
    problem_id: str
    text: str


class Variant(NamedTuple):
    """Another answer to the same problem."""

    kind: str
    answer: str


class Finding(NamedTuple):
    """A reference answer, its reading as text ("" where it has none), and the variants that are accepted."""

    reference: Reference
    reading: str
    accepts_itself: bool
    accepted: list[Variant]


def references(folder: Path) -> list[Reference]:
    """Distinct reference answers of all sets in the folder: known sets as they are graded, other files as they stand.

    Raises:
        DataError: a known set is missing or malformed.
    """
    from asymgrpo.tasks.sources import normalised, read_directory
    from asymgrpo.tasks.spec import dataset_spec, known_names, only_on_hub

    found: dict[str, Reference] = {}
    read = set()
    for name in known_names():
        spec = dataset_spec(name)
        if spec.source == "generated" or only_on_hub(spec):
            continue
        read.add(spec.file)
        for row in normalised(spec, read_directory(spec, folder)).rows:
            found.setdefault(row["answer"], Reference(name, row["problem_id"], row["answer"]))
    for path in sorted(folder.glob("*.jsonl")):
        if path.name not in read:
            for row in _rows(path):
                text = str(row["answer"]).strip()
                found.setdefault(text, Reference(path.stem, str(row.get("id", "")), text))
    return list(found.values())


def _rows(path: Path) -> Iterator[dict[str, object]]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        row = json.loads(line) if line.strip() else {}
        if "answer" in row:
            yield row


def variants(text: str) -> list[Variant]:
    r"""Answers that are wrong, or need a reason.

    >>> [variant.answer for variant in variants("2s") if variant.kind != "letter"]
    ['3s', '1s', '2']
    """
    found = [Variant("digit", changed) for changed in _digits(text)]
    found += [Variant("letter", changed) for changed in _letters(text)]
    found += [Variant("inside", number) for number in _numbers(text) if number != text]
    return list({variant.answer: variant for variant in reversed(found) if variant.answer != text}.values())[::-1]


def _digits(text: str) -> Iterator[str]:
    for digit in re.finditer(r"[0-9]", text):
        for other in (int(digit[0]) + 1, int(digit[0]) - 1):
            if 0 <= other <= 9:
                yield f"{text[: digit.start()]}{other}{text[digit.end() :]}"


def _letters(text: str) -> Iterator[str]:
    """Every variable gives way to a letter that the text does not have. Words are left alone."""
    if re.search(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}", re.sub(r"\\[a-zA-Z]+\s*(?:\{[a-zA-Z ]*\})?", "", text)):
        return
    free = next(letter for letter in "qwzpkvj" if letter not in text)
    for letter in sorted(letters(text) - {"E", "d"}):
        yield re.sub(rf"(\\[a-zA-Z]+(?:\s*\{{[a-zA-Z ]*\}})?)|{letter}", lambda found: found[1] or free, text)


def _numbers(text: str) -> Iterator[str]:
    for number in re.findall(r"-?\d+(?:\.\d+)?", text):
        yield number
        if number.startswith("-"):
            yield number[1:]


def audit(found: Sequence[Reference], workers: int) -> list[Finding]:
    """Readings and accepted variants. Plain integers are left out: they are compared digit by digit."""
    asked = [reference for reference in found if not INTEGER.fullmatch(reference.text)]
    tried = [[Variant("itself", reference.text), *variants(reference.text)] for reference in asked]
    pairs = [
        (f"\\boxed{{{variant.answer}}}", reference.text)
        for reference, answers in zip(asked, tried, strict=True)
        for variant in answers
    ]
    with Verifier(workers) as verifier:
        verdicts = iter(verifier.verify_many(pairs))
    findings = []
    for reference, answers in zip(asked, tried, strict=True):
        accepted = [variant for variant in answers if next(verdicts) == "correct"]
        itself = any(variant.kind == "itself" for variant in accepted)
        others = [variant for variant in accepted if variant.kind != "itself"]
        findings.append(Finding(reference, _reading(reference.text), itself, others))
    return findings


def _reading(text: str) -> str:
    """What it parses to, in sympy's words."""
    from asymgrpo.verifier.fixes import readings, rewrite
    from asymgrpo.verifier.reading import folds, read_reference

    wanted = rewrite(_key("", text)[1])
    wanted = readings("", wanted)[0][1]  # without a sign for percent
    found = read_reference(wanted, folds(wanted, wanted))
    return "" if found is None else str(found)


def unexplained(findings: Iterable[Finding]) -> list[tuple[Reference, Variant]]:
    """What is accepted without a reason."""
    known = remainders()
    return [
        (finding.reference, variant)
        for finding in findings
        for variant in finding.accepted
        if not any(_explains(entry, finding.reference, variant) for entry in known)
    ]


def _explains(entry: dict[str, str], reference: Reference, variant: Variant) -> bool:
    if entry["kind"] != variant.kind:
        return False
    exact = entry.get("reference")
    return reference.text == exact if exact is not None else bool(re.fullmatch(entry["like"], reference.text))


def main(
    data_dir: Annotated[Path, typer.Option(help="folder with the data files")],
    out: Annotated[Path, typer.Option(help="JSON lines to write, one a reference answer")],
    workers: Annotated[int, typer.Option(help="worker processes")] = 2,
    sample: Annotated[int | None, typer.Option(min=1, help="so many reference answers only, always the same")] = None,
) -> None:
    """List what every reference answer parses to and what is accepted for it."""
    from asymgrpo.files import write_text

    found = references(data_dir)
    findings = audit(sampled(found, sample), workers)
    lines = [
        json.dumps(
            {
                **finding.reference._asdict(),
                "reading": finding.reading or None,
                "accepted": [variant._asdict() for variant in finding.accepted],
            }
        )
        for finding in findings
    ]
    write_text("".join(line + "\n" for line in lines), out)
    open_ends = unexplained(findings)
    selfless = [finding.reference for finding in findings if not finding.accepts_itself]
    as_text = sum(not finding.reading for finding in findings)
    typer.echo(
        f"{len(found)} distinct reference answers, {len(findings)} of them audited (plain integers are not); "
        f"{as_text} are compared as text; {sum(len(finding.accepted) for finding in findings)} variants are accepted, "
        f"{len(open_ends)} of them without a reason; {len(selfless)} do not accept themselves"
    )
    for reference, variant in open_ends:
        typer.echo(f"  {reference.problem_id}: {variant.answer!r} ({variant.kind}) is accepted for {reference.text!r}")
    for reference in selfless:
        typer.echo(f"  {reference.problem_id}: {reference.text!r} does not accept itself")
    raise typer.Exit(EXIT_FAILED if open_ends or selfless else 0)


def sampled(found: Sequence[Reference], size: int | None) -> list[Reference]:
    """A fixed sample of the reference answers that are no plain integers; all when `size` is None."""
    asked = [reference for reference in found if not INTEGER.fullmatch(reference.text)]
    if size is None or size >= len(asked):
        return asked
    return random.Random(20260406).sample(asked, size)


if __name__ == "__main__":
    run(main)
