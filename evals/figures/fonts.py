"""Fonts in a PDF: its letters, and no more.

matplotlib has fontTools cut each font down to the letters of a figure, with the tables by which a program would set new text in
that font. Nobody does so with the font in a PDF, where every letter has its place already; and these tables take half of the
time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fontTools import subset

TYPESETTING = ("GDEF", "GPOS", "GSUB")
"""Classes of letters, kerning, ligatures."""


class Letters(subset.Options):  # type: ignore[misc]
    """Options of fontTools by which the tables of TYPESETTING are left out."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.drop_tables += TYPESETTING


@contextmanager
def letters_alone() -> Iterator[None]:
    """Within the block fonts are cut down by `Letters`: matplotlib has no setting for it, and looks the options up by name."""
    before, subset.Options = subset.Options, Letters
    try:
        yield
    finally:
        subset.Options = before
