"""Cutting a library down to one card's code moves nothing and keeps what that card runs."""

import struct

import fatbin
import pytest
from hypothesis import given
from hypothesis import strategies as st

CODE = st.binary(min_size=1, max_size=40).map(lambda code: code.ljust(-(-len(code) // 8) * 8, b"."))
"""nvcc pads what it writes to 8 bytes."""
KINDS = st.tuples(st.sampled_from([fatbin.PTX, fatbin.CUBIN]), st.sampled_from([75, 80, 90, 100]), CODE)
FILES = st.lists(st.lists(KINDS, min_size=1, max_size=6), min_size=1, max_size=4)
Files = list[list[tuple[int, int, bytes]]]


def elf(files: Files, name: bytes = b".nv_fatbin") -> bytearray:
    """An ELF file with one section of code and one of names, and padding between the files of code."""
    code = b""
    for file in files:
        inner = b"".join(
            struct.pack("<HHIQ", kind, 257, 64, len(data)) + bytes(12) + struct.pack("<I", sm) + bytes(32) + data
            for kind, sm, data in file
        )
        code += struct.pack("<IHHQ", fatbin.MAGIC, 1, 16, len(inner)) + inner
        code += bytes(8)
    names = b"\0" + name + b"\0.shstrtab\0"
    table = 64 + len(code) + len(names)
    head = bytearray(64)
    struct.pack_into("<Q", head, 0x28, table)
    struct.pack_into("<HHH", head, 0x3A, 64, 2, 1)
    sections = struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, len(code), 0, 0, 8, 0)
    sections += struct.pack("<IIQQQQIIQQ", 2 + len(name), 3, 0, 0, 64 + len(code), len(names), 0, 0, 1, 0)
    return bytearray(head + code + names + sections)


@given(FILES)
def test_what_one_card_runs_stays_and_the_rest_is_blank(files: Files):
    library = elf(files)
    before = bytes(library)
    kept = fatbin.keep_one(library, 90)
    assert len(library) == len(before)
    found = list(fatbin.fat_files(before))
    assert [[(e.kind, e.architecture, e.size) for e in file] for file in found] == [
        [(k, s, len(d)) for k, s, d in f] for f in files
    ]
    chosen = [entry for file in found for entry in fatbin.used_by(file, 90)]
    assert kept == sum(entry.size for entry in chosen)
    for entry in (entry for file in found for entry in file):
        code = slice(entry.start, entry.start + entry.size)
        assert library[code] == (before[code] if entry in chosen else bytes(entry.size))
        library[code] = before[code]
    assert library == before  # nothing else was touched


@pytest.mark.parametrize(
    ("held", "run"),
    [
        ([(2, 80), (2, 90), (1, 90)], [(2, 90)]),
        ([(2, 80), (1, 75), (1, 80), (1, 100)], [(1, 80)]),
        ([(2, 100), (1, 100)], []),
    ],
)
def test_a_card_runs_its_own_binary_or_else_the_newest_text(held, run):
    (file,) = fatbin.fat_files(elf([[(kind, sm, b"codecode") for kind, sm in held]]))
    assert [(entry.kind, entry.architecture) for entry in fatbin.used_by(file, 90)] == run


def test_a_library_without_gpu_code_is_refused():
    with pytest.raises(ValueError, match="no GPU code"):
        fatbin.keep_one(elf([[(2, 90, b"codecode")]], b".text"), 90)
