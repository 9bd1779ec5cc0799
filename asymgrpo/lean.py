"""Libraries without the packages that they import whenever these are installed, and that no job needs through them.

transformers' module for generation imports scikit-learn for one curve of assisted decoding, and with it scipy; pyarrow imports
pandas when it makes its first array. They are installed for lm-eval and for our tables, and cost more than a second of every job.
Both libraries ask once whether a package is there, and remember the answer. Beside these, settings by which many small tables and
figures take less time. For programs, at their start.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

OF_TRANSFORMERS = ("sklearn", "scipy", "pandas", "accelerate")
"""accelerate serves device maps and DeepSpeed under the Trainer of transformers, neither of which is used here."""


def transformers_alone() -> None:
    """Have transformers, in this process, take the packages in OF_TRANSFORMERS for absent; others can import them."""
    hidden = [name for name in OF_TRANSFORMERS if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python says that there is no such module
    try:
        asked = importlib.import_module("transformers.utils.import_utils")
        for name in OF_TRANSFORMERS:
            getattr(asked, f"is_{name}_available")()
    finally:
        for name in hidden:
            del sys.modules[name]


def arrow_alone() -> None:
    """Have pyarrow, in this process, take pandas for absent: for programs that never turn a table into a frame."""
    import pyarrow as pa

    with not_found("pandas"):
        pa.array([None])


def frames_alone() -> None:
    """Have pandas, in this process, keep texts as Python's own: our frames have few rows, and are taken apart a thousand times,
    where texts of pyarrow take twice as long."""
    import pandas as pd

    pd.set_option("mode.string_storage", "python")


BETWEEN_COLLECTIONS = 200_000
"""New objects after which Python looks for garbage that refers to itself; its own default is 700."""


def seldom_collected() -> None:
    """Have Python look for such garbage seldom, in this process: a figure, or a graph of jobs, is tens of thousands of small
    objects that live on, and looking through them again and again takes up to a tenth of the time."""
    gc.set_threshold(BETWEEN_COLLECTIONS)


def memory_kept() -> None:
    """Have the C library, in this process, keep memory that is freed: a bootstrap makes and drops arrays of megabytes a thousand
    times, and a tenth of its time the kernel clears their pages. Where the library has no such setting, nothing changes."""
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is not None:
        setting(LARGEST_FROM_HEAP, 32 << 20)
        setting(LARGEST_FREE_TOP, 1 << 30)


LARGEST_FROM_HEAP, LARGEST_FREE_TOP = -3, -1
"""M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h."""


class NotFound(MetaPathFinder):
    """Finds nothing, and says so of one name before others are asked. (A None in sys.modules misleads pyarrow.)"""

    def __init__(self, name: str):
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self.name:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


@contextmanager
def not_found(name: str) -> Iterator[None]:
    """Nobody finds this package within the block, unless it is imported already."""
    finder = NotFound(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
