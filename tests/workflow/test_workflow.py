"""The real workflow, small: all of it runs, then nothing is to be done, and only what changed is made again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dry
import pyarrow.parquet as pq
import pytest
from dry import run_mini

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def planned(done) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    return dry.planned(done.stdout + done.stderr)


def test_table_1_has_every_arm_benchmark_and_metric(results):
    table = pq.read_table(results / "table1.parquet").to_pandas()
    assert set(table["arm"]) == {"base", "grpo", "asymgrpo_clip_higher"}
    assert set(table["benchmark"]) == {"chain2", "chain4", "average"}
    assert set(table["metric"]) == {"avg_at_n", "pass_at_k"}
    assert set(table["selection"]) == {"best_on:chain4", "validation"}
    passed = table[table["metric"] == "pass_at_k"]
    assert set(passed.loc[passed["arm"] != "base", "k"]) == {1, 2}
    assert set(passed.loc[passed["arm"] == "base", "k"]) == {1, 2, 8}, "of more samples"
    assert (table["ci_low"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["ci_high"]).all()
    single = table[table["benchmark"] != "average"]
    assert (single["n_problems"] == 8).all()


def test_table_1_says_where_it_comes_from(results):
    """Its own making, and by hash the counts, which name weights, problems and verifier of every run."""
    told = stated(results / "table1.parquet")
    for word in ("settings", "git_commit", "torch", "math-verify"):
        assert word in json.dumps(told), word
    counts = stated(results / "counts/main.parquet")
    assert told["inputs"]["scores"]["inputs"]["main.parquet"]["data_hash"] == counts["data_hash"]
    assert len(counts["inputs"]) == 3
    for run in counts["inputs"].values():
        assert run["verifier_version"]
        assert run["samples"]["weights_sha256"]
        assert run["samples"]["problems_sha256"]


def stated(path: Path) -> dict:
    return json.loads(pq.read_schema(path).metadata[b"asymgrpo"])


def test_figures_are_pictures(results):
    for name in ("training_curves", "passk_curves"):
        assert (results / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_a_second_call_has_nothing_to_do(results):
    assert "Nothing to be done" in (done := run_mini("all", results=results)).stdout + done.stderr


def test_only_what_changed_is_planned(results):
    """An arm's change trains its runs; a touched file or an edited comment of the code trains nothing."""
    os.utime(results / "models" / "tiny" / "base" / "manifest.json")
    os.utime(ROOT / "asymgrpo" / "training" / "trainer.py")
    assert not planned(run_mini("-n", "all", results=results))
    change = ("arms={asymgrpo_clip_higher: {clip_high: 0.3}}",)
    counts = planned(run_mini("-n", "all", results=results, changes=change))
    assert counts["train"] == 1
    assert counts["sample"] == 1, "both benchmarks of the one run"
    assert not planned(run_mini("-n", "all", results=results)), "the old configuration still has its results"


def test_the_table_needs_no_figures(results, tmp_path):
    counts = planned(run_mini("-n", f"{tmp_path}/table1.parquet", results=tmp_path))
    assert counts["train"] == 2
    assert counts["sample"] == 3
    assert "figure" not in counts


def test_a_lost_figure_is_drawn_from_what_is_there(results):
    png = results / "figures" / "passk_curves.png"
    bytes_before = png.read_bytes()
    png.unlink()
    counts = planned(run_mini("-n", "figures", results=results))
    assert set(counts) <= {"figure", "figures"}
    run_mini("figures", results=results)
    assert png.read_bytes() == bytes_before


def test_the_report_is_made_of_what_is_there(results):
    """The study's page; with it there, Snakemake's own report of the jobs, which holds pictures and tables too."""
    counts = planned(run_mini("-n", "report", results=results))
    assert set(counts) <= {"page", "report"}, "nothing else is made again"
    run_mini("report", results=results)
    page = (results / "report.html").read_text()
    assert "GRPO" in page
    assert "is not made yet" not in page
    jobs = results.parent / "jobs.html"
    run_mini("all", "--report", str(jobs), results=results)
    text = jobs.read_text()
    for name in ("training_curves.png", "table1.md", "contamination.md"):
        assert name in text, name


def test_bad_input_stops_before_any_job(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "all", "--nolock", "--config", f"results={tmp_path}", "train={top_p: 0.9}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "config: train.top_p = 0.9" in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_an_altered_data_file_stops_before_training(tmp_path):
    """A benchmark file with one changed answer is refused by name, although only evaluation would read it."""
    data = tmp_path / "data"
    data.mkdir()
    source = Path(os.environ.get("ASYMGRPO_DATA", ROOT.parent / "shared" / "datasets"))
    for name in ("math_train.parquet", "math500.jsonl"):
        (data / name).write_bytes((source / name).read_bytes())
    lines = (data / "math500.jsonl").read_text().splitlines()
    row = json.loads(lines[7])
    lines[7] = json.dumps(row | {"answer": row["answer"] + "0"})
    (data / "math500.jsonl").write_text("\n".join(lines) + "\n")
    results = tmp_path / "results"
    command = [
        *(sys.executable, "-m", "snakemake", "trained", "--configfile", "config/smollm2.yaml", "--nolock"),
        *("--config", f"results={results}", f"data={{dir: {data}}}"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode != 0
    assert "math500" in done.stdout + done.stderr
    assert "sha256" in done.stdout + done.stderr
    assert not (results / "runs").exists()
    assert not (results / "models").exists(), "nothing expensive may have started"
