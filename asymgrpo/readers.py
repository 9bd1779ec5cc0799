"""Reading files that others may have written: whole and right, or refused with the file, the line or row, and the remedy.

A line of JSON Lines ends at a line feed and nowhere else: U+2028, U+2029 and U+0085 are letters of a JSON string
(`str.splitlines` would cut there). A byte order mark and carriage returns at the ends of lines are accepted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymgrpo.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

REWRITE = "delete it and rerun the step that writes it"
FETCH = "fetch it again, or correct it"


class Record(NamedTuple):
    """One row of a data file, and where it stands: the file and the number of the line or row, counted from 1."""

    place: str
    fields: dict[str, Any]


def read_text(path: str | Path, remedy: str = REWRITE) -> str:
    """The text of a UTF-8 file, without a byte order mark, line ends as they are.

    Raises:
        DataError: the file is missing, cannot be read, or is not UTF-8 (the message names the line).
    """
    content = _bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: not UTF-8 text ({error.reason}); save it as UTF-8, or {remedy}"
        ) from None


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the step that writes it first") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file that can be") from None


def parse_json(text: str, place: str, remedy: str = REWRITE) -> Any:
    """The value of a JSON text. Stricter than Python's reader: what JSON does not have, or has twice, is refused.

    Raises:
        DataError: not JSON, NaN or Infinity in it, a key twice in one object, or half of a surrogate pair.

    >>> parse_json('{"a": "one\\u2028two"}', "x.json")["a"] == "one\\u2028two"
    True
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_double)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise DataError(f"{place}: half of a surrogate pair, which is no text; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON ({error}); {remedy}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _no_double(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return found


def read_json(path: str | Path) -> Any:
    """The value stored in a JSON file that this project wrote (NaN included, as Python writes it).

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); {REWRITE}") from None


def read_object(path: str | Path, fields: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON object in a file, which has `fields`.

    Raises:
        DataError: as `read_json`, or it holds something else, or lacks one of `fields`.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds {_kind(found)}, not a JSON object; {REWRITE}")
    missing = [name for name in fields if name not in found]
    if missing:
        raise DataError(f"{path}: key(s) {', '.join(missing)} missing; {REWRITE}")
    return found


def read_json_lines(path: str | Path) -> list[Record]:
    """The objects of a JSON Lines file, blank lines left out.

    Raises:
        DataError: the file is missing, empty or not UTF-8, or a line is not one JSON object.
    """
    found = []
    for number, line in enumerate(read_text(path, FETCH).split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            value = parse_json(line, place, f"write one whole JSON object on each line, or {FETCH}")
            if not isinstance(value, dict):
                raise DataError(f"{place}: {_kind(value)}, not an object; write one JSON object on each line")
            found.append(Record(place, value))
    if not found:
        raise DataError(f"{path}: no rows in it; {FETCH}")
    return found


def read_records(path: str | Path) -> list[Record]:
    """The rows of a .parquet file, or of a JSON Lines file of any other name. Raises DataError."""
    if Path(path).suffix != ".parquet":
        return read_json_lines(path)
    table = read_table(path, remedy=FETCH)
    if table.num_rows == 0:
        raise DataError(f"{path}: no rows in it; {FETCH}")
    return records(_rows(table, path), str(path))


def records(rows: Sequence[dict[str, Any]], name: str) -> list[Record]:
    """Rows with their places: row 1, row 2, ... of `name`."""
    return [Record(f"{name}, row {i}", row) for i, row in enumerate(rows, start=1)]


def read_table(
    path: str | Path, columns: Sequence[str] | None = None, remedy: str = "delete it and rerun its step"
) -> pa.Table:
    """Read a Parquet file (or only the named `columns` of it) as an Arrow table.

    Raises:
        DataError: the file is missing, damaged, or lacks one of `columns`.
    """
    import pyarrow.parquet as pq

    def read() -> pa.Table:
        # One file and nothing of its path: `read_table` of pyarrow makes a column out of a folder named KEY=VALUE.
        # Files are small and many: reading ahead, or by several threads, costs more than it spares.
        state = _state(path)
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = _remembered(path, state, file.schema_arrow).names
            missing = [name for name in columns or () if name not in names]
            if missing:
                raise DataError(f"{path}: column(s) {', '.join(missing)} missing; rewrite it with this version's tools")
            return file.read(columns=None if columns is None else list(columns), use_threads=False)

    return _of_parquet(path, read, remedy)


def read_schema(path: str | Path) -> pa.Schema:
    """The schema of a Parquet file, without reading its rows.

    Raises:
        DataError: the file is missing or damaged.
    """
    import pyarrow.parquet as pq

    def read() -> pa.Schema:
        state, known = _state(path), _SCHEMAS.get(os.fspath(path))
        return known.schema if known and known.state == state else _remembered(path, state, pq.read_schema(path))

    return _of_parquet(path, read, "delete it and rerun its step")


class _Known(NamedTuple):
    """A schema that this process has read, and the state of the file then."""

    state: tuple[int, ...]
    schema: pa.Schema


_SCHEMAS: dict[str, _Known] = {}
"""Most tables read the rows of a run, and then once more what its file says of itself."""


def _state(path: str | Path) -> tuple[int, ...]:
    """What changes when a file is written again."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _remembered(path: str | Path, state: tuple[int, ...], schema: pa.Schema) -> pa.Schema:
    _SCHEMAS[os.fspath(path)] = _Known(state, schema)
    return schema


def _of_parquet(path: str | Path, read: Callable[[], Any], remedy: str) -> Any:
    import pyarrow as pa

    try:
        return read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the step that writes it first") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"{path}: not a readable Parquet file ({reason}); {remedy}") from None


def _rows(table: pa.Table, path: str | Path) -> list[dict[str, Any]]:
    """The rows as Python values. Raises DataError, naming the row, where a text is not UTF-8."""
    try:
        return table.to_pylist()
    except UnicodeDecodeError:
        for i in range(table.num_rows):
            try:
                table.slice(i, 1).to_pylist()
            except UnicodeDecodeError:
                raise DataError(f"{path}, row {i + 1}: a text that is not UTF-8; {FETCH}") from None
        raise


def _kind(value: Any) -> str:
    """What a JSON value is, in words.

    >>> _kind([1]), _kind(True), _kind(None)
    ('an array', 'a truth value', 'null')
    """
    names = {
        list: "an array",
        dict: "an object",
        str: "a text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
