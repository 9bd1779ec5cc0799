"""docs/results.md and its pictures are what the committed bundle gives."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from evals.report import results_page

ROOT = Path(__file__).parents[2]
EARLIER = [ROOT / "artifacts/exploratory.parquet", ROOT / "artifacts/first_declared.parquet"]
BUNDLE, IMAGES = ROOT / "artifacts" / "study.zip", ROOT / "docs" / "images" / "study"


@pytest.mark.slow
def test_the_committed_page_is_what_the_committed_bundle_gives(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "figures", "tables", "standard", "--nolock", "--cores", "2"]
    command += ["--config", f"artifacts={BUNDLE}", f"results={tmp_path / 'rebuilt'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    out, images = tmp_path / "docs" / "results.md", tmp_path / "docs" / "images" / "study"
    results_page.main(tmp_path / "rebuilt", out, images, EARLIER)
    assert (tmp_path / "docs" / "results.md").read_text() == (ROOT / "docs" / "results.md").read_text()
    made, committed = (pixels(folder) for folder in (tmp_path / "docs" / "images" / "study", IMAGES))
    assert made == committed


def pixels(folder: Path) -> dict[str, bytes]:
    """name -> size and pixels of every picture; a PNG's bytes change with the compression library."""
    found = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            found[path.name] = f"{picture.size}".encode() + picture.convert("RGBA").tobytes()
    return found
