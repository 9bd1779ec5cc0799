"""Protocols as files: written once, read with every check."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from asymgrpo.errors import InputError
from asymgrpo.files import write_text
from asymgrpo.readers import parse_json, read_text
from asymgrpo.study.stored import document
from evals.protocol.content import FORMAT

PARTS = ("claims", "analysis", "endpoint", "arms", "seeds", "models", "problems", "code")


class ProtocolError(InputError):
    """A file is no protocol, or not the one that was declared; the message names it and the remedy."""


def read(path: str | Path) -> dict[str, Any]:
    """The protocol in a file.

    Raises:
        DataError: the file cannot be read. ProtocolError: it is not what `asymgrpo prereg` writes, to the byte.
    """
    text = read_text(path, "name the file that `asymgrpo prereg` wrote")
    found = parse_json(text, str(path), "name the file that `asymgrpo prereg` wrote")
    parts = found if isinstance(found, dict) else {}
    if parts.get("format") != FORMAT or not all(isinstance(parts.get(part), dict) for part in PARTS):
        raise ProtocolError(f"{path} is no protocol; `asymgrpo prereg --configfile FILE --out {path}` writes one.")
    if text != document(found):
        raise ProtocolError(f"{path} was changed by hand; take the file that `asymgrpo prereg` wrote.")
    return parts


def write(protocol: dict[str, Any], path: Path) -> None:
    """Write a protocol, never over another one. Raises ProtocolError."""
    text = document(protocol)
    if path.exists() and path.read_bytes() != text.encode():
        raise ProtocolError(f"{path} holds something else; a protocol is declared once: name another file.")
    write_text(text, path)


def sha256(protocol: dict[str, Any]) -> str:
    """The hash by which runs name a protocol: of its file's bytes."""
    return hashlib.sha256(document(protocol).encode()).hexdigest()
