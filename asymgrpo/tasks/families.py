"""Generated tasks by name: modules of this folder that make rows (`rows`), say which problems are one in another order or
wording (`key_of`) and, for tiny models, make texts (`sft_texts`, STYLES)."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

Family = Literal["chain_sum", "lcm", "words"]


def family(name: Family) -> Any:
    """The module of a family.

    >>> family("lcm").BENCHMARKS
    ('lcm2', 'lcm3')
    """
    return import_module(f"asymgrpo.tasks.{name}")
