"""Tables with their metadata and hashes.

Reading is in asymgrpo.readers (errors for the user), writing in asymgrpo.files (whole files or none) and provenance in
asymgrpo.provenance; all three are at hand here too.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from asymgrpo.errors import DataError
from asymgrpo.files import METADATA_KEY, replace_atomically, sha256_file, write_json, write_table, write_text
from asymgrpo.provenance import derived as origin
from asymgrpo.provenance import provenance
from asymgrpo.readers import REWRITE, read_json, read_object, read_schema
from asymgrpo.readers import read_table as read_any_table
from asymgrpo.study.outcome import read as read_outcome
from evals import asked

__all__ = [
    "METADATA_KEY",
    "DataError",
    "check_table",
    "derived",
    "provenance",
    "read_json",
    "read_object",
    "read_schema",
    "read_table",
    "replace_atomically",
    "sha256_file",
    "write_json",
    "write_table",
    "write_text",
]


def derived(inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a derived table says of its origin: its inputs, who produced them (asymgrpo.provenance), and its settings."""
    return origin(inputs) | asked.statement()


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file (or only the named `columns` of it).

    Raises:
        DataError: the file or its metadata are missing or damaged, it lacks one of `columns`, or it is not of the settings asked
            for (evals.asked).
    """
    table = read_any_table(path, columns)
    asked.check(path, _metadata_of(table.schema, path))
    return table


def read_tables(paths: Iterable[str | Path], columns: Sequence[str] | None = None) -> pa.Table:
    """Read several Parquet files of one layout as one table, in the given order.

    Raises:
        DataError: as `read_table`, no file is given, or a column has values of two kinds.
    """
    files = list(paths)
    return concatenated(files, [read_table(path, columns) for path in files])


def concatenated(paths: Sequence[str | Path], tables: Sequence[pa.Table]) -> pa.Table:
    """Tables that were read from files, as one.

    Raises:
        DataError: there is none, or a column has values of two kinds.
    """
    if not paths:
        raise DataError("no input file was given; name at least one Parquet file")
    try:
        return pa.concat_tables([table.replace_schema_metadata(None) for table in tables], promote_options="permissive")
    except pa.ArrowException as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{paths[0]} and others: not tables of one kind ({reason}); write them with one version"
        ) from None


def check_table(table: pa.Table, path: str | Path, schema: pa.Schema, nullable: Sequence[str] = ()) -> None:
    """Refuse a table that has no rows, lacks a column of `schema`, or has nulls or values of another kind in one.

    Text, whole numbers, truth values and floats are kinds; how many bits they have does not matter. Raises DataError.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: column(s) {', '.join(missing)} missing; rewrite it with this version's tools")
    if table.num_rows == 0 and read_outcome(table_metadata(table)) is None:  # of a diverged run there are none
        raise DataError(f"{path}: no rows in it; rerun the step that writes it, or leave the file out")
    for field in schema:
        column = table[field.name]
        if _kind(column.type) != _kind(field.type):
            raise DataError(f"{path}: column {field.name} holds {column.type}, not {field.type}; {REWRITE}")
        if column.null_count and field.name not in nullable:
            row = column.is_null().to_pylist().index(True) + 1
            raise DataError(f"{path}, row {row}: {field.name} is null; {REWRITE}")


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = {"text": (pa.types.is_string, pa.types.is_large_string), "whole": (pa.types.is_integer,)}
    tests |= {"truth": (pa.types.is_boolean,), "float": (pa.types.is_floating,)}
    return next((name for name, kinds in tests.items() if any(test(kind) for test in kinds)), str(kind))


def table_metadata(table: pa.Table) -> dict[str, Any]:
    """The metadata stored by `write_table`, empty if there is none; what `read_table` has read has them whole."""
    return _metadata_of(table.schema, "a table")


def _metadata_of(schema: pa.Schema, path: str | Path) -> dict[str, Any]:
    """The metadata in a schema. Raises DataError when they are not what `write_table` writes."""
    try:
        found = json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except (ValueError, RecursionError):  # of a flipped bit: no UTF-8, or no JSON
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path}: its metadata are damaged; {REWRITE}")
    return found


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a Parquet file, without reading its rows.

    Raises:
        DataError: they are not what `write_table` writes, or not of the settings asked for (evals.asked).
    """
    found = _metadata_of(read_schema(path), path)
    asked.check(path, found)
    return found


def inputs_metadata(paths: Iterable[str | Path]) -> dict[str, dict[str, Any]]:
    """Name -> metadata of Parquet files, for `derived`. A file's name is as much of its path's end as tells it from the others,
    so that the same files have the same names wherever the folder with all of them lies.

    Raises:
        DataError: a file is missing or damaged, or given twice.
    """
    files = [Path(path) for path in paths]
    ends = Counter("/".join(path.parts[-n:]) for path in files for n in range(1, len(path.parts) + 1))
    named = {}
    for path in files:
        name = next((end for n in range(1, len(path.parts) + 1) if ends[end := "/".join(path.parts[-n:])] == 1), None)
        if name is None:
            raise DataError(f"{path}: this file is given twice; pass each file once")
        named[name] = read_metadata(path)
    return named
