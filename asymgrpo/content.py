"""What a table holds, as one hash: equal for equal columns, whatever the file around them."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa


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
        return _text_bytes(column.fill_null(""))
    if pa.types.is_boolean(column.type):
        return np.packbits(column.fill_null(False).to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.ascontiguousarray(column.fill_null(0).to_numpy(zero_copy_only=False)).tobytes()
    return repr(column.to_pylist()).encode()


def _text_bytes(column: pa.StringArray) -> bytes:
    """The lengths of all texts as bytes of UTF-8, then the texts: as they lie in memory."""
    if not len(column):
        return b""
    _, places, text = column.buffers()
    ends = np.frombuffer(places, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.diff(ends).astype(np.int64).tobytes() + (
        text.slice(ends[0], ends[-1] - ends[0]).to_pybytes() if text else b""
    )
