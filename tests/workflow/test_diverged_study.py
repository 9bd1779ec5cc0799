"""A study of which one arm diverges is finished, and every file made of it says so."""

import json
import re
import subprocess
import sys

import pandas as pd
import pyarrow.parquet as pq
import pytest
from dry import ROOT, run_mini

from asymgrpo.study.outcome import read
from evals.artifacts.bundle import make
from evals.artifacts.bundle_files import open_bundle
from evals.artifacts.trace import trace

pytestmark = pytest.mark.slow
CHANGES = (
    'study={"arms":["grpo","reinforce"]}',
    'train={"learning_rate":1e25}',
)
"""No group of the mini study has a right answer, so that GRPO has no gradient and stays; REINFORCE has one, and does not."""
LOST = "runs/tiny/reinforce/seed0"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diverged") / "results"
    run_mini("all", "report", results=folder, changes=CHANGES)
    return folder


def about(results, name: str) -> dict:
    return json.loads(pq.read_schema(results / name).metadata[b"asymgrpo"])


def test_every_file_of_the_run_says_that_it_diverged(results):
    ended = read(json.loads((results / LOST / "done.json").read_text()))
    assert ended is not None
    assert ended.step == 1
    assert "not finite" in ended.reason
    assert "step 1" in ended.reason
    named = [f"{LOST}/{name}.parquet" for name in ("metrics", "timings", "eval", "rollouts")]
    named += [f"samples/tiny/reinforce/seed0/{name}.parquet" for name in ("chain2", "chain4")]
    for name in [*named, "graded/tiny/reinforce/seed0.parquet"]:
        assert read(about(results, name)) == ended, name
        assert pq.read_metadata(results / name).num_rows == 0, name
    for row in json.loads((results / LOST / "selection.json").read_text()):
        assert row["step"] is None
        assert read(row) == ended
    assert not list((results / LOST / "candidates").glob("step*"))
    done = json.loads((results / "runs/tiny/grpo/seed0/done.json").read_text())
    assert done["outcome"] == {"outcome": "finished"}
    assert "outcome" not in about(results, "runs/tiny/grpo/seed0/metrics.parquet")


def test_table_1_and_claims_have_it(results):
    table = pq.read_table(results / "table1.parquet").to_pandas()
    lost = table[table["arm"] == "reinforce"]
    assert len(lost) == len(table[table["arm"] == "grpo"]) > 0
    assert lost["estimate"].isna().all()
    assert set(lost["n_diverged"]) == {1}
    assert set(table[table["arm"] == "grpo"]["n_diverged"]) == {0}
    assert "| REINFORCE | 0 | diverged (1 of 1 seeds, step 1) |" in (results / "table1.md").read_text()
    claims = pq.read_table(results / "claims.parquet").to_pandas().set_index("id")
    assert claims.loc["grpo_reinforce", "why_not"] == "diverged: REINFORCE (seed 0 at step 1)"
    runs = pq.read_table(results / "run_scores.parquet").to_pandas()
    assert runs.loc[runs["arm"] == "reinforce", "value"].isna().all()
    assert pd.unique(runs.loc[runs["arm"] == "reinforce", "diverged_at"]).tolist() == [1]


def test_the_report_has_it(results):
    page = (results / "report.html").read_text()
    assert "REINFORCE, seed 0: the" in page
    assert "1 finished of 2 planned" in page
    assert "diverged (1 of 1 seeds, step 1)" in page
    text = re.sub(r"base64,[^\"')]*", "", page.split("<script")[0])  # a picture's letters may spell anything
    assert "NaN" not in text


def test_it_is_done(results):
    again = run_mini("all", results=results, changes=CHANGES)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize("arm", ["reinforce", "grpo"])
def test_it_can_be_traced(results, arm):
    wanted = {"arm": arm, "benchmark": "average", "metric": "avg_at_n", "k": None}
    found = trace(results, results / "table1.parquet", wanted | {"selection": "validation", "model": "tiny"})
    assert found.faults == []
    assert any("seed 0 diverged at step 1" in line for line in found.lines) == (arm == "reinforce")


def test_a_bundle_of_it_gives_the_same_tables(results, tmp_path):
    make(results, tmp_path / "study.zip")
    open_bundle(tmp_path / "study.zip").check()
    command = [sys.executable, "-m", "snakemake", "tables", "figures", "--nolock", "--cores", "2", "--config"]
    command += [f"artifacts={tmp_path / 'study.zip'}", f"results={tmp_path / 'again'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("table1.md", "claims.md", "table1.parquet", "run_scores.parquet", "claims.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (results / name).read_bytes(), name
