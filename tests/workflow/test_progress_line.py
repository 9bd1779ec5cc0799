"""`make reproduce` shows how far the study is, and every error, but no descriptions of jobs."""

import logging
import os
import re
import subprocess
import sys
from collections import Counter

import dry
import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from workflow.progress import Line, cost, is_shown


def record(event: LogEvent | None, message: str = "", **more: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "event": event, "levelno": logging.INFO, **more})


def test_the_line_counts_runs_and_foresees_the_end():
    """Half of the work in 200 seconds leaves 200."""
    rules = {0: "train", 1: "train", 2: "sample", 3: "sample", 4: "figure", 5: "figure"}
    said, now = [], [0.0]
    line = Line(rules, said.append, clock=lambda: now[0], pause=15)
    now[0] = 100.0
    line.emit(record(LogEvent.JOB_FINISHED, job_id=0))
    now[0] = 110.0
    line.emit(record(LogEvent.JOB_FINISHED, job_id=2))
    line.emit(record(LogEvent.JOB_INFO, job_id=4))
    line.emit(record(LogEvent.JOB_FINISHED, job_id=99))
    now[0] = 200.0
    line.emit(record(LogEvent.JOB_FINISHED, job_id=4))
    assert len(said) == 2, "a line is no flood"
    assert said[0].startswith("trained 1 of 2 runs, sampled 0 of 2 runs, 0 of 2 other jobs; 1.7 min gone, about ")
    assert said[1] == "trained 1 of 2 runs, sampled 1 of 2 runs, 1 of 2 other jobs; 3.3 min gone, about 3.3 min left"
    for number in (1, 3, 5):
        line.emit(record(LogEvent.JOB_FINISHED, job_id=number))
    assert said[-1].endswith("2 of 2 other jobs; 3.3 min gone"), "the last one is always said"
    assert cost(Counter(train=1)) > cost(Counter(sample=1)) > cost(Counter(figure=1)) > 0


def test_a_job_at_work_is_half_done():
    """A training and half of another in 99 seconds leave 33 for the other half."""
    said, now = [], [0.0]
    line = Line({0: "train", 1: "train"}, said.append, clock=lambda: now[0], pause=0)
    line.emit(record(LogEvent.JOB_STARTED, jobs=[0, 1, 99]))
    now[0] = 99.0
    line.emit(record(LogEvent.JOB_FINISHED, job_id=0))
    assert said == ["trained 1 of 2 runs; 1.6 min gone, about 33 s left"]
    line.emit(record(LogEvent.JOB_FINISHED, job_id=1))
    assert said[-1] == "trained 2 of 2 runs; 1.6 min gone"


@pytest.mark.parametrize("event", [LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR, None])
def test_errors_and_other_messages_are_shown(event):
    assert is_shown(record(event, "Error in rule train"))


def test_descriptions_are_not():
    assert not is_shown(record(LogEvent.JOB_INFO))
    assert not is_shown(record(None, "Execute 2 jobs..."))
    assert not is_shown(record(LogEvent.WORKFLOW_STARTED))
    assert is_shown(record(None, "Config file x.yaml is not there", levelno=logging.WARNING))
    assert is_shown(record(None, "Nothing to be done (all requested files are present and up to date)."))


def test_nothing_is_foreseen_before_the_first_job_has_ended():
    assert Line({0: "train", 1: "figure"}, print).text() == "trained 0 of 1 runs, 0 of 1 other jobs; 0 s gone"


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_snakemake_with_the_line(tmp_path, fails):
    """A failed job is shown in full: its rule, the path of its log and what is in it."""
    results = tmp_path / "results"
    if fails:
        (results / "data/chain2.parquet/full").mkdir(parents=True)  # a folder where the table should be
    command = [sys.executable, "-m", "snakemake", "data", *dry.arguments(results)]
    environment = os.environ | {"ASYMGRPO_PROGRESS": "1"}
    done = subprocess.run(command, cwd=dry.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stderr
    said = done.stderr.splitlines()
    assert said[0].startswith("Using workflow specific profile"), (
        "by a print, before Snakemake has read any file of ours"
    )
    told = said if fails else said[1:2]  # a failing call says before why a result that is there is made again
    begun = next(filter(None, (re.fullmatch(r"0 of (\d+) other jobs; 0 s gone", line) for line in told)), None)
    assert begun, said
    assert "Finished jobid" not in done.stderr
    assert "localrule problems:" not in done.stderr
    if not fails:
        assert re.match(rf"{begun[1]} of {begun[1]} other jobs; .* gone$", said[-1]), said
        assert len(said) <= 2 + int(begun[1]), said
    assert ("Error in rule problems" in done.stderr) == fails
    assert (f"{results}/logs/problems/chain2.log" in done.stderr) == fails
