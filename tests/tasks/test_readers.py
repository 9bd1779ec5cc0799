"""Files that others wrote: read right, or refused with the file, the line or row, and what to do."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.errors import DataError
from asymgrpo.readers import read_json_lines, read_records, read_schema, read_table, records
from asymgrpo.tasks import sources, spec, table
from evals import io

AIME = spec.dataset_spec("aime24")
SEPARATORS = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"
"""What str.splitlines cuts at, beside line feeds and carriage returns."""
GOOD = {"id": "a/1", "problem": "What is 1 + 1?", "answer": "2"}


def write_lines(path, rows, end="\n", bom="", ascii_only=False):
    path.write_bytes((bom + "".join(json.dumps(r, ensure_ascii=ascii_only) + end for r in rows)).encode())
    return path


def with_controls(path, text):
    """A line whose string holds `text` as it is, where JSON allows it unescaped."""
    path.write_text('{"problem": "' + text + '", "answer": "2"}\n', encoding="utf-8")
    return path


@given(
    st.lists(
        st.dictionaries(st.text(), st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(SEPARATORS)))
    )
)
def test_any_text_comes_back_whatever_the_line_ends(tmp_path_factory, rows):
    rows = [row | {"problem": "x"} for row in rows] or [GOOD]
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    for end, bom, ascii_only in (("\n", "", False), ("\r\n", "\ufeff", False), ("\n\n", "", True)):
        found = read_json_lines(write_lines(path, rows, end, bom, ascii_only))
        assert [record.fields for record in found] == rows


@pytest.mark.parametrize("letter", "\u2028\u2029\u0085")
def test_separators_inside_strings_are_letters(tmp_path, letter):
    found = read_records(with_controls(tmp_path / "x.jsonl", f"one{letter}two"))
    assert [record.fields["problem"] for record in found] == [f"one{letter}two"]


def test_places_count_every_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(f"\n{json.dumps(GOOD)}\n\n  \n{json.dumps(GOOD)}", encoding="utf-8")
    assert [record.place for record in read_records(path)] == [f"{path}, line 2", f"{path}, line 5"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[1, 2]", "line 2: an array, not an object"),
        (b"7", "line 2: a number, not an object"),
        (b"null", "line 2: null, not an object"),
        (b"true", "line 2: a truth value, not an object"),
        (b'"text"', "line 2: a text, not an object"),
        (b'{"problem": "x"', "line 2: not valid JSON"),
        (b'{"answer": NaN}', "line 2: .*NaN is not a number of JSON"),
        (b'{"answer": -Infinity}', "line 2: .*-Infinity is not a number"),
        (b'{"answer": "1", "answer": "2"}', "line 2: .*'answer' stands twice"),
        (b'{"answer": "\\ud800"}', "line 2: half of a surrogate pair"),
        (b'{"answer": "caf\xe9"}', "line 2: not UTF-8"),
        (b'{"answer": "a\x0bb"}', "line 2: not valid JSON"),
        (b"[" * 100_000, "line 2: not valid JSON"),
        (b'{"answer": ' + b"9" * 5000 + b"}", "line 2: not valid JSON"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, line, words):
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + line + b"\n")
    with pytest.raises(DataError, match=rf"^{path}, {words}(.|\n)*;.*\w") as caught:
        read_records(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", "\ufeff".encode(), b"\r\n"])
def test_an_empty_file_is_named(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}: no rows in it; fetch it again"):
        read_records(path)


def test_utf16_and_missing_and_folders_are_refused(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps(GOOD), encoding="utf-16")
    with pytest.raises(DataError, match=r"line 1: not UTF-8.*save it as UTF-8"):
        read_records(tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="no such file"):
        read_records(tmp_path / "y.jsonl")
    for name in ("folder.jsonl", "folder.parquet"):
        (tmp_path / name).mkdir()
        with pytest.raises(DataError, match=rf"{name}: .*"):
            read_records(tmp_path / name)


# --- Parquet -------------------------------------------------------------------------------------------------------------


def test_every_truncation_of_a_parquet_file_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD | {"id": str(i)} for i in range(40)]), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        for reader in (read_records, io.read_table):
            with pytest.raises(DataError, match=rf"^{path}: not a readable Parquet file \(.*\); "):
                reader(path)


def test_damage_inside_the_pages_is_refused(tmp_path):
    """The footer is whole, so that opening the file succeeds; reading it does not."""
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD | {"id": str(i) * 9} for i in range(400)]), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(path)


def test_a_parquet_without_rows_and_one_that_is_not_utf8_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"problem": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match="no rows in it"):
        read_records(path)
    bad = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff"))
    pq.write_table(pa.table({"problem": bad}), path)
    with pytest.raises(DataError, match=rf"{path}, row 2: a text that is not UTF-8"):
        read_records(path)


def test_a_folder_named_key_value_adds_no_column(tmp_path):
    path = tmp_path / "seed=3" / "x.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"seed": ["own"]}), path)
    assert read_table(path).to_pylist() == [{"seed": "own"}]


# --- rows of every source ------------------------------------------------------------------------------------------------


def through_jsonl(folder, rows):
    return sources.read_directory(AIME, write_lines(folder / "aime24.jsonl", rows).parent)


def through_parquet(folder, rows):
    pq.write_table(pa.Table.from_pylist(rows), folder / "aime24.parquet")
    return sources.read_directory(AIME.model_copy(update={"file": "aime24.parquet"}), folder)


def through_hub(folder, rows):
    return records(rows, "HuggingFaceH4/aime_2024 on the hub")


SOURCES = {"line": through_jsonl, "parquet": through_parquet, "hub": through_hub}
every_source = pytest.mark.parametrize("source", SOURCES)


@every_source
def test_one_id_for_two_problems_is_refused_with_both_places(tmp_path, source):
    rows = [GOOD, GOOD | {"id": "a/2"}, GOOD | {"problem": "And 1 + 2?", "answer": "3"}]
    with pytest.raises(
        DataError, match=r"(line|row) 3: 'a/1' is also the id of .*(line|row) 1; give each problem its own"
    ):
        sources.normalised(AIME, SOURCES[source](tmp_path, rows))


@every_source
def test_an_id_of_zero_is_an_id(tmp_path, source):
    rows = [{"id": i, "problem": f"What is {i}?", "answer": i} for i in range(3)]
    found = sources.normalised(AIME, SOURCES[source](tmp_path, rows)).rows
    assert [(row["problem_id"], row["answer"]) for row in found] == [("0", "0"), ("1", "1"), ("2", "2")]


@every_source
@pytest.mark.parametrize("answer", [[1, 2], ["2"], {"value": 2}, True, False, None, "", "  ", "NaN", "nan"])
def test_what_is_no_answer_is_refused(tmp_path, source, answer):
    rows = [GOOD, GOOD | {"id": "a/2", "answer": answer}]
    if source == "parquet" and not isinstance(answer, str):
        rows = [row | {"answer": answer} for row in rows]
    with pytest.raises(DataError, match=r"(line|row) [12]: .*[;?]"):
        sources.normalised(AIME, SOURCES[source](tmp_path, rows))


@pytest.mark.parametrize("source", ["parquet", "hub"])
@pytest.mark.parametrize("answer", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_no_answer(tmp_path, source, answer):
    rows = [{"id": "1", "problem": "a", "answer": 1.0}, {"id": "2", "problem": "b", "answer": answer}]
    with pytest.raises(DataError, match=r"row 2: the reference answer is -?(nan|inf).*finite number"):
        sources.normalised(AIME, SOURCES[source](tmp_path, rows))


@every_source
@pytest.mark.parametrize("problem", [7, True, "", " \u2028 ", ["a"], None])
def test_what_is_no_problem_is_refused(tmp_path, source, problem):
    with pytest.raises(DataError, match=r"(line|row) 1: .*(the problem is|is null)"):
        sources.normalised(AIME, SOURCES[source](tmp_path, [GOOD | {"problem": problem}]))


def test_a_list_is_an_answer_where_the_rules_say_so():
    olympiad = spec.dataset_spec("olympiadbench")
    rows = [{"question": "a", "final_answer": ["2", "3"]}, {"question": "b", "final_answer": [["2"]]}]
    assert sources.normalised(olympiad, records(rows[:1], "hub")).rows[0]["answer"] == "2, 3"
    with pytest.raises(DataError, match=r"row 2: the reference answer is \[\['2'\]\] \(list\)"):
        sources.normalised(olympiad, records(rows, "hub"))


# --- problem tables ------------------------------------------------------------------------------------------------------

ROW = {"problem_id": "p", "problem": "1+1", "answer": "2", "level": None, "source": "s"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no problems in it"),
        ([ROW, ROW], r"row 2: 'p' is also the id of row 1"),
        ([ROW, ROW | {"problem_id": "q", "answer": None}], r"row 2 \(q\): answer is None"),
        ([ROW | {"answer": " "}], r"row 1 \(p\): answer is ' '"),
        ([ROW | {"problem": None}], r"row 1 \(p\): problem is None"),
        ([ROW | {"problem_id": None}], r"row 1 \(None\): problem_id is None"),
    ],
)
def test_a_problem_table_that_cannot_be_used_is_named(tmp_path, rows, words):
    path = tmp_path / "p.parquet"
    schema = pa.schema([(name, pa.string()) for name in ROW])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    with pytest.raises(DataError, match=rf"{path}.*{words}"):
        table.read_problems(path)


def test_a_problem_table_of_numbers_or_without_answers_is_named(tmp_path):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"problem_id": [1], "problem": ["x"], "answer": ["2"]}), path)
    with pytest.raises(DataError, match=r"row 1 \(1\): problem_id is 1, not a text"):
        table.read_problems(path)
    pq.write_table(pa.table({"problem_id": ["1"], "problem": ["x"]}), path)
    with pytest.raises(DataError, match=r"column\(s\) answer missing"):
        table.read_problems(path)


def test_the_schema_of_a_file_that_was_written_again_is_the_new_one(tmp_path):
    """A process remembers the schemas of tables that it has read."""
    path = tmp_path / "table.parquet"
    for name in ("a", "b"):
        io.write_table(pa.table({name: [1]}), path, {"name": name})
        assert read_table(path, [name]).column_names == read_schema(path).names == [name]
        assert io.read_metadata(path) == {"name": name}
    with pytest.raises(DataError, match=r"column\(s\) a missing"):
        read_table(path, ["a"])
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_schema(path)
