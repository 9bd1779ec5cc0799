"""Tables with their metadata and hashes.

Reading is in asymgrpo.readers (errors for the user), writing in asymgrpo.files (whole files or none) and provenance in
asymgrpo.provenance; all three are at hand here too.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from asymgrpo.errors import DataError
from asymgrpo.files import METADATA_KEY, replace_atomically, sha256_file, write_json, write_table, write_text
from asymgrpo.provenance import derived, provenance
from asymgrpo.readers import read_json, read_object, read_schema, read_table

__all__ = [
    "METADATA_KEY",
    "DataError",
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


def read_tables(paths: Iterable[str | Path], columns: Sequence[str] | None = None) -> pa.Table:
    """Read several Parquet files of one layout as one table, in the given order."""
    tables = [read_table(path, columns).replace_schema_metadata(None) for path in paths]
    if not tables:
        raise DataError("no input file was given; name at least one Parquet file")
    return pa.concat_tables(tables, promote_options="permissive")


def table_metadata(table: pa.Table) -> dict[str, Any]:
    """The metadata stored by `write_table`, empty if there is none."""
    return json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a Parquet file, without reading its rows."""
    return json.loads((read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))


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


def data_hash(table: pa.Table) -> str:
    """sha256 over names, types and values of the columns; row order counts, metadata and chunking do not.

    >>> one = pa.table({"a": [1, 2], "b": ["x", None]})
    >>> data_hash(one) == data_hash(pa.concat_tables([one.slice(0, 1), one.slice(1)]))
    True
    >>> data_hash(one) == data_hash(one.slice(0, 1))
    False
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_large_string(column.type):
            column = column.cast(pa.string())
        digest.update(f"{name}:{column.type}:{len(column)};".encode())
        digest.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
        digest.update(_value_bytes(column))
    return digest.hexdigest()


def _value_bytes(column: pa.Array) -> bytes:
    if pa.types.is_string(column.type):
        values = [value.encode() for value in column.fill_null("").to_pylist()]
        return np.array([len(value) for value in values], np.int64).tobytes() + b"".join(values)
    if pa.types.is_boolean(column.type):
        return np.packbits(column.fill_null(False).to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.ascontiguousarray(column.fill_null(0).to_numpy(zero_copy_only=False)).tobytes()
    return repr(column.to_pylist()).encode()
