"""Rows of any data set from any source, checked against config/data.lock.yaml before anything uses them.

embedded: generated here; directory: files of a local folder; hub: the Hugging Face hub, or the mirror that HF_ENDPOINT names, at
the locked revision. The check is over content, so it holds for every source: rows and a sha256 over the (problem, gold) pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from asymgrpo.tasks.cleaning import clean_answer
from asymgrpo.tasks.lock import LockEntry, read_lock, write_revision
from asymgrpo.tasks.spec import DataError, DatasetSpec, Hub, dataset_spec
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
    """One entry per gold that a single patch changed: problem_id, before, after, why."""
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
        raise DataError(f"{name}: {lock} has no entry for it; add one with python -m asymgrpo.tasks.lock.")
    revision = None
    if source == "directory":
        raw, place = read_directory(spec, data_dir), f"{data_dir}/{spec.file}"
    else:
        raw, revision = read_hub(spec, entry.revision)
        place = f"{spec.hub.id if spec.hub else name} on the hub"
    loaded = normalised(spec, raw)
    verify_content(name, loaded.rows, entry, place)
    if revision is not None and entry.revision is None:
        write_revision(lock, name, revision)
    return loaded._replace(revision=revision)


def _generated(spec: DatasetSpec, source: Source, lock: Path, embedded: EmbeddedSize | None) -> Loaded:
    from asymgrpo.tasks.chain_sum import ChainSumError, rows

    if source != "embedded" or embedded is None:
        raise DataError(
            f"{spec.name}: this data set is generated; set data.source to embedded and give its size and seed."
        )
    try:
        made = rows(spec.name, embedded.n, embedded.seed)
    except ChainSumError as error:
        raise DataError(str(error)) from None
    entry = read_lock(lock).datasets.get(spec.name)
    if entry is not None and (entry.rows, entry.seed) == embedded:
        verify_content(spec.name, made, entry, "the generator (reasoning-gym)")
    return Loaded(made, [], None)


def normalised(spec: DatasetSpec, raw: Iterable[dict[str, Any]]) -> Loaded:
    """Rows of the problem table from raw rows: fields chosen, golds cleaned, identifiers kept or numbered."""
    rows: list[Row] = []
    patched: list[dict[str, str]] = []
    for i, record in enumerate(raw):
        problem = str(_first(spec, record, spec.problem)).strip()
        before, _ = clean_answer("", spec.clean, problem, _first(spec, record, spec.answer))
        answer, why = clean_answer(spec.name, spec.clean, problem, _first(spec, record, spec.answer))
        problem_id = str(record.get("id") or f"{spec.name}/{i:05d}")
        if why is not None:
            patched.append({"problem_id": problem_id, "before": before, "after": answer, "why": why})
        if not answer:
            raise DataError(f"{spec.name}: {problem_id} has no gold; add a patch to asymgrpo/tasks/patches.yaml.")
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


def _level(spec: DatasetSpec, record: dict[str, Any], problem: str) -> str | None:
    if RELAY.search(problem):
        return RELAY_LEVEL
    return str(record[spec.level]) if spec.level and record.get(spec.level) is not None else None


def _first(spec: DatasetSpec, record: dict[str, Any], fields: list[str]) -> Any:
    for field in fields:
        if record.get(field) is not None:
            return record[field]
    raise DataError(
        f"{spec.name}: a row has none of the fields {fields}; it has {sorted(record)}; is it the right file?"
    )


def read_directory(spec: DatasetSpec, data_dir: Path | None) -> list[dict[str, Any]]:
    """Raw rows of the data set's file (.jsonl or .parquet) in a local directory."""
    if data_dir is None:
        raise DataError(
            f"{spec.name}: data.source is directory, but data.dir is not set; name the folder of {spec.file}."
        )
    path = Path(data_dir) / str(spec.file)
    if not path.is_file():
        raise DataError(f"{path} is missing; put {spec.title} there, or set data.source to hub.")
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return pq.read_table(path).to_pylist()
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again.") from None


def read_hub(spec: DatasetSpec, revision: str | None) -> tuple[list[dict[str, Any]], str]:
    """Raw rows from the hub and the commit that they come from; revision null means the newest one."""
    if spec.hub is None:
        raise DataError(
            f"{spec.name}: no hub copy is known to hold the same rows; set data.source to directory for it."
        )
    commit = revision or _hub_call(spec, lambda hub: _newest_commit(hub))
    return _hub_call(spec, lambda hub: _download(hub, commit)), commit


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
    """Raise DataError unless the rows are those that the lock describes, in any order."""
    if len(rows) != entry.rows:
        raise DataError(
            f"{name}: {place} has {len(rows)} rows, the lock {entry.rows}; fetch the data again, or, "
            "if the change is meant, write a new entry with python -m asymgrpo.tasks.lock."
        )
    found = content_sha256(rows)
    if found != entry.content_sha256:
        raise DataError(
            f"{name}: the problems or golds of {place} are not those of the lock (sha256 {found[:12]}, locked "
            f"{entry.content_sha256[:12]}); fetch the data again, or, if the change is meant, write a new entry "
            "with python -m asymgrpo.tasks.lock."
        )
