"""Rows of any data set from any source, checked against config/data.lock.yaml before anything uses them.

embedded: generated here; directory: files of a local folder; hub: the Hugging Face hub, or the mirror that HF_ENDPOINT names, at
the locked revision. The check is over content, so it holds for every source: rows and a sha256 over the
(problem, reference answer) pairs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

from asymgrpo.errors import DataError, InputError
from asymgrpo.readers import Record, read_records, records
from asymgrpo.tasks.cleaning import clean_answer
from asymgrpo.tasks.families import family
from asymgrpo.tasks.lock import LockEntry, read_lock, write_revision
from asymgrpo.tasks.spec import DatasetSpec, Hub, dataset_spec
from asymgrpo.tasks.table import Row, content_sha256

Source = Literal["embedded", "directory", "hub"]
RELAY_LEVEL = "relay"
"""Level of OlympiadBench problems that need another problem's answer ("Let T = TNYWR") and cannot be solved alone."""
RELAY = re.compile(r"T\s*=\s*T\s*N\s*Y\s*W\s*R")
"""Problem 2608 is not one of them: there T N Y W R is the name of a pentagon."""


class EmbeddedSize(NamedTuple):
    """How many problems of a generated set, and the seed that they are drawn with."""

    n: int
    seed: int


class Loaded(NamedTuple):
    rows: list[Row]
    patched: list[dict[str, str]]
    """One entry per reference answer that a single patch changed: problem_id, before, after, why."""
    revision: str | None
    """Of the hub; null for other sources."""


def load_dataset_rows(
    name: str, source: Source, data_dir: Path | None, lock: Path, embedded: EmbeddedSize | None = None
) -> Loaded:
    """All rows of a data set in the common form (asymgrpo.tasks.table.COLUMNS), verified against the lock.

    Raises DataError for an unknown name, a missing file, or content that differs from the lock.
    """
    spec = dataset_spec(name)
    if spec.source == "generated":
        return _generated(spec, source, lock, embedded)
    if source == "embedded":
        raise DataError(f"{name}: this data set is not generated; set data.source to directory or hub.")
    entry = read_lock(lock).datasets.get(name)
    if entry is None:
        raise DataError(f"{name}: {lock} has no entry for it; add one with python -m asymgrpo.tasks.relock.")
    revision = None
    if source == "directory":
        raw, place = read_directory(spec, data_dir), f"{data_dir}/{spec.file}"
    else:
        raw, revision = read_hub(spec, entry.revision)
        place = f"{spec.hub.id if spec.hub else name} on the hub"
    loaded = normalised(spec, raw)
    verify_content(name, loaded.rows, entry, place)
    if revision is not None and entry.revision is None:
        write_revision(lock, name, revision, content_sha256(loaded.rows))
    return loaded._replace(revision=revision)


def _generated(spec: DatasetSpec, source: Source, lock: Path, embedded: EmbeddedSize | None) -> Loaded:
    if source != "embedded" or embedded is None:
        raise DataError(
            f"{spec.name}: this data set is generated; set data.source to embedded and give its size and seed."
        )
    try:
        made = family(spec.family).rows(spec.name, embedded.n, embedded.seed)
    except InputError as error:
        raise DataError(str(error)) from None
    entry = read_lock(lock).datasets.get(spec.name)
    if entry is not None and (entry.rows, entry.seed) == embedded:
        verify_content(spec.name, made, entry, "the generator (reasoning-gym)")
    return Loaded(made, [], None)


def normalised(spec: DatasetSpec, raw: Iterable[Record]) -> Loaded:
    """Rows of the problem table from raw rows: fields chosen, reference answers cleaned, identifiers kept or numbered.

    Raises:
        DataError: a row has no problem, no reference answer or an identifier of another row; the message names its place.
    """
    rows: list[Row] = []
    patched: list[dict[str, str]] = []
    places: dict[str, str] = {}
    for i, (place, record) in enumerate(raw):
        problem = _text(_first(spec, place, record, spec.problem), place, "problem").strip()
        given = _first(spec, place, record, spec.answer)
        _check_answer(given, place, lists="only_element" in spec.clean)
        before, _ = clean_answer("", spec.clean, problem, given)
        answer, why = clean_answer(spec.name, spec.clean, problem, given)
        problem_id = _identifier(record.get("id"), place) or f"{spec.name}/{i:05d}"
        if why is not None:
            patched.append({"problem_id": problem_id, "before": before, "after": answer, "why": why})
        if not answer or answer.lower() == "nan":
            found = (
                "no reference answer" if not answer else f"the reference answer {answer!r}, a number that is missing"
            )
            raise DataError(f"{place}: {problem_id} has {found}; add a patch to asymgrpo/tasks/patches.yaml.")
        if problem_id in places:
            raise DataError(
                f"{place}: {problem_id!r} is also the id of {places[problem_id]}; give each problem its own."
            )
        places[problem_id] = place
        rows.append(
            {
                "problem_id": problem_id,
                "problem": problem,
                "answer": answer,
                "level": _level(spec, record, problem),
                "source": str(record.get("source") or (spec.hub.id if spec.hub else spec.name)),
            }
        )
    return Loaded(rows, patched, None)


def _text(value: Any, place: str, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: the {what} is {_told(value)}, not a text with letters; correct the row.")
    return value


def _check_answer(value: Any, place: str, lists: bool) -> None:
    """Texts and finite numbers are answers; a list of them is one where the data set's rules have `only_element`."""
    parts = value if isinstance(value, list) and lists else [value]
    for part in parts:
        finite = isinstance(part, Decimal | float) and math.isfinite(part)
        if not (isinstance(part, str) or finite or (isinstance(part, int) and not isinstance(part, bool))):
            raise DataError(
                f"{place}: the reference answer is {_told(value)}; write a text or a finite number, or leave the row out."
            )


def _identifier(value: Any, place: str) -> str | None:
    """An id as text; None where there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise DataError(f"{place}: the id is {_told(value)}; write a text or a whole number.")
    return str(value)


def _told(value: Any) -> str:
    """A value as a message shows it, cut to a line.

    >>> _told(["1", "2"])
    "['1', '2'] (list)"
    """
    shown = repr(value)
    return f"{shown[:60]}{'...' if len(shown) > 60 else ''} ({type(value).__name__})"


def _level(spec: DatasetSpec, record: dict[str, Any], problem: str) -> str | None:
    if RELAY.search(problem):
        return RELAY_LEVEL
    return str(record[spec.level]) if spec.level and record.get(spec.level) is not None else None


def _first(spec: DatasetSpec, place: str, record: dict[str, Any], fields: list[str]) -> Any:
    for field in fields:
        if record.get(field) is not None:
            return record[field]
    null = [field for field in fields if field in record]
    found = f"{null[0]!r} is null" if null else f"a row has none of the fields {fields}; it has {sorted(record)}"
    raise DataError(f"{spec.name}: {place}: {found}; is it the right file?")


def read_directory(spec: DatasetSpec, data_dir: Path | None) -> list[Record]:
    """Raw rows of the data set's file (.jsonl or .parquet) in a local directory. Raises DataError when it has none."""
    if spec.file is None:
        raise DataError(f"{spec.name}: this data set is read from the hub only; set data.source to hub for it.")
    if data_dir is None:
        raise DataError(
            f"{spec.name}: data.source is directory, but data.dir is not set; name the folder of {spec.file}."
        )
    path = Path(data_dir) / str(spec.file)
    if not path.is_file():
        raise DataError(f"{path} is missing; put {spec.about} there, or set data.source to hub.")
    return read_records(path)


def read_hub(spec: DatasetSpec, revision: str | None) -> tuple[list[Record], str]:
    """Raw rows from the hub and the commit that they come from; revision null means the newest one."""
    if spec.hub is None:
        raise DataError(
            f"{spec.name}: no hub copy is known to hold the same rows; set data.source to directory for it."
        )
    commit = revision or _hub_call(spec, lambda hub: _newest_commit(hub))
    found = records(_hub_call(spec, lambda hub: _download(hub, commit)), f"{spec.hub.id} on the hub")
    if not found:
        raise DataError(f"{spec.name}: {spec.hub.id} on the hub has no rows; set data.source to directory for it.")
    return found, commit


def _newest_commit(hub: Hub) -> str:
    from huggingface_hub import HfApi

    return str(HfApi().dataset_info(hub.id).sha)


def _download(hub: Hub, commit: str) -> list[dict[str, Any]]:
    import datasets

    parts = [datasets.load_dataset(hub.id, c, split=hub.split, revision=commit) for c in hub.configs]
    return [row for part in parts for row in part]


def _hub_call(spec: DatasetSpec, call: Callable[[Hub], Any]) -> Any:
    assert spec.hub is not None
    try:
        return call(spec.hub)
    # The edge to the network: every library below raises its own kinds, and all mean the same to the user.
    except Exception as error:
        raise DataError(
            f"{spec.name}: {spec.hub.id} cannot be read from the hub ({type(error).__name__}: {str(error)[:200]}); "
            "fetch on a machine with network access, set HF_ENDPOINT to a mirror, or set data.source to directory."
        ) from None


def verify_content(name: str, rows: list[Row], entry: LockEntry, place: str) -> None:
    """Raise DataError unless the rows are those that the lock describes, in any order. Without a hash their number counts."""
    if entry.rows is not None and len(rows) != entry.rows:
        raise DataError(
            f"{name}: {place} has {len(rows)} rows, the lock {entry.rows}; fetch the data again, or, "
            "if the change is meant, write a new entry with python -m asymgrpo.tasks.relock."
        )
    found = content_sha256(rows)
    if entry.content_sha256 is not None and found != entry.content_sha256:
        raise DataError(
            f"{name}: the problems or reference answers of {place} are not those of the lock (sha256 {found[:12]}, locked "
            f"{entry.content_sha256[:12]}); fetch the data again, or, if the change is meant, write a new entry "
            "with python -m asymgrpo.tasks.relock."
        )
