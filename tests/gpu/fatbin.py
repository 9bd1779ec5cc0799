"""Machine code for one GPU architecture, out of a shared library that holds it for many.

nvcc puts the code of each source file into the section `.nv_fatbin`: a header, then one entry per architecture, each a binary
(cubin) or an intermediate text (PTX). The driver takes the binary of its own architecture, else the newest PTX that it may
compile. The bytes of every other entry are never read: they become zeros, which compress to nothing. No offset changes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = 0xBA55ED50
PTX, CUBIN = 1, 2


@dataclass(frozen=True)
class Entry:
    kind: int
    """PTX or CUBIN."""
    architecture: int
    """Compute capability times ten, as nvcc writes it: 90 for an H100."""
    start: int
    """Of its code, in the file."""
    size: int


def keep_one(library: bytearray, architecture: int) -> int:
    """Blank in place the code that a card of `architecture` never runs; returns the bytes of code that stay.

    Raises ValueError when the library holds no GPU code.
    """
    kept = 0
    for file in fat_files(library):
        chosen = used_by(file, architecture)
        kept += sum(entry.size for entry in chosen)
        for entry in file:
            if entry not in chosen:
                library[entry.start : entry.start + entry.size] = bytes(entry.size)
    return kept


def used_by(file: list[Entry], architecture: int) -> list[Entry]:
    """Binaries of the architecture itself; without one, the newest PTX that is not newer than it."""
    binaries = [entry for entry in file if entry.kind == CUBIN and entry.architecture == architecture]
    texts = [entry for entry in file if entry.kind == PTX and entry.architecture <= architecture]
    newest = max((entry.architecture for entry in texts), default=None)
    return binaries or [entry for entry in texts if entry.architecture == newest]


def fat_files(library: bytes | bytearray) -> Iterator[list[Entry]]:
    """The entries of each source file's code."""
    start, size = section(library, b".nv_fatbin")
    end = start + size
    while start < end:
        if struct.unpack_from("<I", library, start)[0] != MAGIC:  # padding
            start += 8
            continue
        header, length = struct.unpack_from("<HQ", library, start + 6)
        start += header
        yield list(entries(library, start, start + length))
        start += length


def entries(library: bytes | bytearray, start: int, end: int) -> Iterator[Entry]:
    while start < end:
        kind, _, header, size = struct.unpack_from("<HHIQ", library, start)
        (architecture,) = struct.unpack_from("<I", library, start + 28)
        yield Entry(kind, architecture, start + header, size)
        start += header + size


def section(library: bytes | bytearray, wanted: bytes) -> tuple[int, int]:
    """(offset, size) of a section of a 64-bit ELF file. Raises ValueError when it has none of that name."""
    (table,) = struct.unpack_from("<Q", library, 0x28)
    count, names = struct.unpack_from("<HH", library, 0x3C)
    headers = [struct.unpack_from("<IIQQQQIIQQ", library, table + 64 * i) for i in range(count)]
    for name, _, _, _, offset, size, *_ in headers:
        at = headers[names][4] + name
        if library[at : library.index(b"\0", at)] == wanted:
            return offset, size
    raise ValueError(f"no section {wanted.decode()}: the library holds no GPU code")
