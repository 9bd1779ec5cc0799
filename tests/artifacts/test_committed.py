"""Each committed bundle gives the tables and figures whose hashes were committed with it."""

import json

import pytest
from bundled import COMMITTED, MOST_BYTES, snakemake
from stated_numbers import collapsed, stated

from evals.artifacts.bundle import content_hashes
from evals.artifacts.bundle_files import open_bundle

pytestmark = pytest.mark.slow

BUNDLES = sorted(COMMITTED.parent.glob("*.zip"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.stem)
def test_it_is_whole_and_small_enough(bundle):
    open_bundle(bundle).check()
    assert bundle.stat().st_size < MOST_BYTES[bundle.stem]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.stem)
def test_tables_and_pixels_are_those_committed(bundle, tmp_path):
    """The page of the minimum standard, which is written from the study's bundle, is as it was committed too; and what the page
    of evaluation says of this study is so."""
    targets = ["figures", "tables", *(["standard"] if bundle == COMMITTED else [])]
    done = snakemake(*targets, "--config", f"artifacts={bundle}", f"results={tmp_path / 'out'}", light=True)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = json.loads(bundle.with_name(f"{bundle.stem}.sha256.json").read_text())
    found = content_hashes(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    if bundle == COMMITTED:
        docs = COMMITTED.parents[1] / "docs"
        page = (docs / "standard.md").read_text()
        assert (tmp_path / "out/standard.md").read_text() == page, "snakemake standard, and copy standard.md to docs"
        told = collapsed(docs / "evaluation.md")
        assert [sentence for sentence in stated(tmp_path / "out") if sentence not in told] == []
