"""Fonts in a PDF: its letters, and no more.

matplotlib has fontTools cut each font down to the letters of a figure, with the names of its letters and the tables by which a
program would set new text in that font. In a PDF every letter has its place already and is named by number; these tables take
half of the time. What a PDF needs of a font that is named by number is listed in ISO 32000-1, 9.9.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fontTools import subset

NEEDED = frozenset({"head", "hhea", "hmtx", "maxp", "loca", "glyf", "cvt ", "fpgm", "prep"})
"""Tables with outlines and widths, and with the instructions for small sizes."""

_load = subset.load_font


def _needed_alone(*arguments: Any, **options: Any) -> Any:
    """The font as fontTools reads it, without other tables."""
    font = _load(*arguments, **options)
    for table in {*font.keys()} - NEEDED - {"GlyphOrder"}:  # the order of the letters is no table of the file
        del font[table]
    return font


@contextmanager
def letters_alone() -> Iterator[None]:
    """Within the block fonts are cut down to NEEDED: matplotlib has no setting for it, and looks the function up by name."""
    before, subset.load_font = subset.load_font, _needed_alone
    try:
        yield
    finally:
        subset.load_font = before
