"""Snakemake looks for the next job when one has ended, and then only: on Snakemake itself, with a row of short jobs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOBS = 8
SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from workflow import scheduling

looks = []

onstart:
    if config["asked"]:
        scheduling.only_when_a_job_ends(workflow.scheduler)
    select = workflow.scheduler.job_selector
    workflow.scheduler.job_selector = lambda jobs: looks.append(len(jobs)) or select(jobs)

onsuccess:
    print("looked", len(looks), "times")

rule all:
    input: [f"{{i}}.txt" for i in range({JOBS})]

rule one:
    output: "{{i}}.txt"
    shell: "sleep 0.5; touch {{output}}"
"""


def looks(folder: Path, asked: bool, *options: str) -> int:
    """How often Snakemake looked for jobs to start in a call that runs all of them one after the other."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", f"asked={asked}", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    assert len(list(folder.glob("*.txt"))) == JOBS
    return int((done.stdout + done.stderr).split("looked ")[1].split()[0])


def test_once_for_each_job(tmp_path):
    assert looks(tmp_path, True) == JOBS + 1  # and once for the target, `all`


@pytest.mark.parametrize(("asked", "options"), [(False, ()), (True, ("--max-jobs-per-timespan", "50/1s"))])
def test_more_often_by_its_own_timers_and_a_rate_that_was_set_stays(tmp_path, asked, options):
    assert looks(tmp_path, asked, *options) > JOBS + 1
