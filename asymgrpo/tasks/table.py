"""The problem table: one row per problem, the same columns for every source, with what it is in the schema metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.errors import DataError
from asymgrpo.files import write_table

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("problem_id", "problem", "answer", "level", "source")
Row = dict[str, Any]


def content_sha256(rows: Iterable[Row]) -> str:
    """sha256 over the sorted (problem, answer) pairs, blanks collapsed: the same for every order and every spacing.

    Pairs are written as JSON arrays, one a line, so that no text can imitate a border. Identifiers and levels do not count:
    two sources of the same benchmark differ in those.

    >>> a, b = {"problem": "1 + 1", "answer": "2"}, {"problem": "3 - 2", "answer": "1", "level": "1"}
    >>> content_sha256([a, b]) == content_sha256([b, a | {"problem": " 1  + 1"}])
    True
    """
    pairs = sorted([collapse(row["problem"]), collapse(row["answer"])] for row in rows)
    lines = "".join(json.dumps(pair, ensure_ascii=True) + "\n" for pair in pairs)
    return hashlib.sha256(lines.encode()).hexdigest()


def collapse(text: str) -> str:
    """Every run of blanks becomes one space; none at either end."""
    return " ".join(text.split())


def problem_table(rows: list[Row]) -> pa.Table:
    """Arrow table with COLUMNS, all strings; level may be null."""
    import pyarrow as pa

    schema = pa.schema([pa.field(name, pa.string(), nullable=name == "level") for name in COLUMNS])
    return pa.Table.from_pylist([{name: row.get(name) for name in COLUMNS} for row in rows], schema=schema)


def write_problems(out: Path, rows: list[Row], metadata: dict[str, Any]) -> None:
    """Write the table in one step; equal rows and metadata give equal bytes."""
    write_table(problem_table(rows), out, metadata)


def read_problems(path: str | Path, columns: Sequence[str] = ("problem_id", "problem", "answer")) -> list[Row]:
    """Rows of a problem table, or some of its columns.

    Raises:
        DataError: the file is missing or damaged or has no rows, a value is no text or empty, or an id stands twice.
    """
    from asymgrpo.readers import read_table

    rows = read_table(path, columns, "write it again with python -m asymgrpo.tasks.prepare").to_pylist()
    if not rows:
        raise DataError(f"{path}: no problems in it; write it again with python -m asymgrpo.tasks.prepare")
    seen: dict[str, int] = {}
    for i, row in enumerate(rows, start=1):
        for name, value in row.items():
            if not (isinstance(value, str) and value.strip()) and not (name == "level" and value is None):
                raise DataError(
                    f"{path}, row {i} ({row.get('problem_id')}): {name} is {value!r}, not a text with letters; correct the "
                    "table, or leave the row out"
                )
        if seen.setdefault(row["problem_id"], i) != i:
            raise DataError(
                f"{path}, row {i}: {row['problem_id']!r} is also the id of row {seen[row['problem_id']]}; keep one of them"
            )
    return rows
