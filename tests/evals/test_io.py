"""Files are whole or absent, bytes depend on content only, hashes on values only."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.content import _value_bytes, data_hash
from evals import io
from evals.io import DataError

TABLE = pa.table({"a": pa.array([1, 2, None], pa.int32()), "b": ["x", None, ""], "c": [True, False, None]})

rows = st.lists(
    st.fixed_dictionaries({"a": st.none() | st.integers(0, 2), "b": st.none() | st.sampled_from(["", "x", "xx"])}),
    max_size=4,
)
SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string())])


def test_table_and_metadata_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "t.parquet"
    io.write_table(TABLE, path, {"seed": 3, "nested": {"k": [1, 2]}})
    assert io.read_table(path).equals(TABLE)
    assert io.read_metadata(path) == {"seed": 3, "nested": {"k": [1, 2]}}
    assert io.table_metadata(io.read_table(path, ["a"])) == io.read_metadata(path)


@pytest.mark.parametrize(
    "text", [b'{"seed"; 3}', b'{"seed": 3\xff}', b"[3]", b"[" * 100_000], ids=["JSON", "UTF-8", "list", "deep"]
)
def test_damaged_metadata_are_named_whoever_reads_them(tmp_path: Path, text: bytes) -> None:
    """A flipped bit leaves a table that Arrow reads."""
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE.replace_schema_metadata({io.METADATA_KEY: text}), path)
    for read in (io.read_table, io.read_metadata, lambda path: io.read_table(path, ["a"])):
        with pytest.raises(DataError, match=r"t\.parquet: its metadata are damaged; delete it"):
            read(path)


def test_equal_content_equal_bytes(tmp_path: Path) -> None:
    io.write_table(TABLE, tmp_path / "one.parquet", {"b": 1, "a": 2})
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    io.write_table(chunked, tmp_path / "two.parquet", {"a": 2, "b": 1})
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    io.write_json({"old": 1}, path)

    def fail_half_way(temporary: Path) -> None:
        temporary.write_text("{")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        io.replace_atomically(path, fail_half_way)
    assert io.read_json(path) == {"old": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["t.json"]


@given(rows, rows)
def test_data_hash_tells_exactly_the_values(one: list[dict], two: list[dict]) -> None:
    first, second = (pa.Table.from_pylist(item, schema=SCHEMA) for item in (one, two))
    assert (data_hash(first) == data_hash(second)) == (one == two)
    assert data_hash(first) == data_hash(first.replace_schema_metadata({b"x": b"y"}))


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))), st.integers(0, 5))
def test_texts_enter_the_hash_as_their_lengths_and_utf8(texts: list[str | None], start: int) -> None:
    """Wherever the texts begin in the memory of their column."""
    encoded = [(text or "").encode() for text in texts[start:]]
    expected = np.array([len(text) for text in encoded], np.int64).tobytes() + b"".join(encoded)
    assert _value_bytes(pa.array(texts, pa.string()).slice(start)) == expected


def test_data_hash_sees_names_types_and_the_border_between_strings() -> None:
    hashes = {
        data_hash(table)
        for table in (
            pa.table({"a": [1]}),
            pa.table({"b": [1]}),
            pa.table({"a": pa.array([1], pa.int32())}),
            pa.table({"a": ["xy", "z"]}),
            pa.table({"a": ["x", "yz"]}),
            pa.table({"a": ["x", "yz"], "c": [0.5, 1.5]}),
            pa.table({"a": [[1], [2]]}),
            pa.table({"a": [[1, 2], []]}),
        )
    }
    assert len(hashes) == 8


def test_bad_files_are_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.parquet"
    io.write_table(TABLE, damaged, {})
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"damaged.parquet: not a readable Parquet"):
        io.read_table(damaged)
    with pytest.raises(DataError, match=r"absent.parquet: no such file"):
        io.read_table(tmp_path / "absent.parquet")
    pq.write_table(TABLE, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet: column\(s\) z missing"):
        io.read_table(tmp_path / "t.parquet", ["a", "z"])
    (tmp_path / "t.json").write_text("{")
    with pytest.raises(DataError, match=r"t.json: not valid JSON"):
        io.read_json(tmp_path / "t.json")
    with pytest.raises(DataError, match="no input file"):
        io.read_tables([])


def test_provenance_names_commit_and_versions() -> None:
    found = io.provenance(["numpy", "surely-not-installed"])
    assert found["packages"]["numpy"] == __import__("numpy").__version__
    assert found["packages"]["surely-not-installed"] is None
    assert found["git_commit"] is None or len(found["git_commit"]) == 40
