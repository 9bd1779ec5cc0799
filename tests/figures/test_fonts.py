"""A font cut down to the tables that a PDF needs draws the same letters, as wide as before."""

from pathlib import Path
from typing import Any

import pytest
from fontTools import subset
from fontTools.pens.recordingPen import DecomposingRecordingPen
from matplotlib.backends._backend_pdf_ps import get_glyphs_subset
from matplotlib.font_manager import FontPath, FontProperties, findfont, get_font

from evals.figures.fonts import NEEDED, letters_alone

LETTERS = "AsymGRPO fi ffl 0123456789 −–τ²"


def drawn(found: Any, glyph: int) -> tuple[list[Any], int]:
    """The outline of a glyph of a cut font, and how wide it is."""
    name, letters = found.font.getGlyphName(found.glyph_index_map[glyph]), found.font.getGlyphSet()
    pen = DecomposingRecordingPen(letters)
    letters[name].draw(pen)
    return pen.value, letters[name].width


@pytest.mark.parametrize("style", ["normal", "italic"])
def test_each_letter_keeps_its_outline_and_width(style: str) -> None:
    path = findfont(FontProperties(family="DejaVu Sans", style=style))
    found = get_font(path)
    glyphs = {found.get_char_index(ord(letter)) for letter in LETTERS}
    file = FontPath(Path(path), 0)
    with get_glyphs_subset(file, glyphs) as whole, letters_alone(), get_glyphs_subset(file, glyphs) as cut:
        assert {*cut.font.keys()} - {"GlyphOrder"} <= NEEDED < {*whole.font.keys()}
        assert {glyph: drawn(cut, glyph) for glyph in glyphs} == {glyph: drawn(whole, glyph) for glyph in glyphs}
        assert any(drawn(cut, glyph)[0] for glyph in glyphs)


def test_other_users_of_fonttools_get_whole_fonts() -> None:
    before = subset.load_font
    with letters_alone():
        assert subset.load_font is not before
    assert subset.load_font is before
