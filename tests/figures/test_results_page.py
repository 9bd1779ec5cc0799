"""docs/results.md, docs/pretrained.md and their pictures are what the committed bundles give."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from evals.report import pretrained_page, results_page

ROOT = Path(__file__).parents[2]
EARLIER = [ROOT / "artifacts/exploratory.parquet", ROOT / "artifacts/first_declared.parquet"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bundle", "also", "page", "write"),
    [
        ("study.zip", ["standard"], "results.md", lambda *paths: results_page.main(*paths, EARLIER)),
        ("smollm2.zip", [], "pretrained.md", pretrained_page.main),
    ],
)
def test_a_committed_page_is_what_its_bundle_gives(
    tmp_path: Path, bundle: str, also: list[str], page: str, write: Callable[..., None]
) -> None:
    command = [sys.executable, "-m", "snakemake", "figures", "tables", *also, "--nolock", "--cores", "2"]
    command += ["--config", f"artifacts={ROOT / 'artifacts' / bundle}", f"results={tmp_path / 'rebuilt'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    images = Path("docs/images") / Path(bundle).stem
    write(tmp_path / "rebuilt", tmp_path / "docs" / page, tmp_path / images)
    assert (tmp_path / "docs" / page).read_text() == (ROOT / "docs" / page).read_text()
    assert pixels(tmp_path / images) == pixels(ROOT / images)


def pixels(folder: Path) -> dict[str, bytes]:
    """name -> size and pixels of every picture; a PNG's bytes change with the compression library."""
    found = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            found[path.name] = f"{picture.size}".encode() + picture.convert("RGBA").tobytes()
    return found
