"""docs/results.md, docs/standard.md, docs/pretrained.md and their pictures are what the committed bundles give."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_committed_pages_are_what_the_bundles_give(tmp_path: Path) -> None:
    command = [
        "make",
        "pages",
        f"PY={sys.executable}",
        "FLAGS=--nolock",
        f"REBUILT={tmp_path / 'rebuilt'}",
        f"PAGES={tmp_path}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("results.md", "standard.md", "pretrained.md"):
        assert (tmp_path / page).read_text() == (ROOT / "docs" / page).read_text()
    for images in ("study", "smollm2"):
        assert pixels(tmp_path / "images" / images) == pixels(ROOT / "docs/images" / images)


def pixels(folder: Path) -> dict[str, bytes]:
    """name -> size and pixels of every picture; a PNG's bytes change with the compression library."""
    found = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            found[path.name] = f"{picture.size}".encode() + picture.convert("RGBA").tobytes()
    return found
