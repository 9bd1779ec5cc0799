"""The committed bundle gives the tables and figures whose hashes were committed with it."""

import json

import pytest
from bundled import COMMITTED, snakemake

from evals.artifacts.bundle import content_hashes
from evals.artifacts.bundle_files import open_bundle

pytestmark = pytest.mark.slow


def test_it_is_whole_and_small_enough():
    open_bundle(COMMITTED).check()
    assert COMMITTED.stat().st_size < 20e6


def test_tables_and_pixels_are_those_committed(tmp_path):
    done = snakemake(
        "figures", "tables", "standard", "--config", f"artifacts={COMMITTED}", f"results={tmp_path / 'out'}", light=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    expected = json.loads(COMMITTED.with_name("study.sha256.json").read_text())
    found = content_hashes(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    page = COMMITTED.parents[1] / "docs/standard.md"
    assert (tmp_path / "out/standard.md").read_text() == page.read_text(), (
        "snakemake standard, and copy standard.md to docs"
    )
