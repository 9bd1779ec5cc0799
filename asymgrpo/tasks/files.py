"""Whole files or none: everything here is written beside its place and moved there in one step."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_directory(out: Path) -> Iterator[Path]:
    """A temporary directory beside `out` that becomes `out` when the block succeeds, and vanishes when it does not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield work
        work.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_whole(out: Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary path) and move what it wrote to `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    work = Path(name)
    try:
        write(work)
        work.chmod(0o644)
        os.replace(work, out)
    finally:
        work.unlink(missing_ok=True)


def write_json(out: Path, content: Any) -> None:
    """Sorted keys, so that equal content gives equal bytes."""
    write_whole(out, lambda path: path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n"))
