"""What would be submitted, without a SLURM: resources of every job of the paper's study, and the time of planning."""

import json
import os
import re
import resource
import subprocess
import sys

import pytest
import yaml
from cluster import ROOT
from snakemake.utils import update_config

from asymgrpo.study import layout
from workflow.checks import load

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LONG = {"train", "sample", "grade", "base_model"}
"""Rules whose jobs are worth a place of their own in the queue."""
LOCAL = {"study", "problems", "select", "all"}
"""Rules that run on the head node."""


def planned(*arguments: str, tmp_path) -> tuple[str, float]:
    """Output of a dry run through the SLURM profile, and the processor seconds that it took."""
    command = [sys.executable, "-m", "snakemake", "-n", "--profile", "slurm", "all", "--nolock", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, seconds


def jobs(text: str) -> list[tuple[str, bool, dict[str, str]]]:
    """Rule, whether it travels in a group, and resources of each job of a dry run."""
    found = []
    for block in re.split(r"\n(?=\[| {4}\[)", text):
        rule = re.search(r"^( *)(?:local)?rule (\w+):", block, re.MULTILINE)
        asked = re.search(r"^ *resources: (.*)$", block, re.MULTILINE)
        if rule and asked:
            pairs = (pair.split("=", 1) for pair in asked[1].split(", "))
            found.append((rule[2], bool(rule[1]), dict(pairs)))
    return found


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    arguments = ("--configfile", "config/paper.yaml", "--config", f"results={folder}/results")
    return planned(*arguments, tmp_path=folder)


def test_the_paper_is_planned_in_ten_seconds(paper):
    text, seconds = paper
    config = yaml.safe_load((ROOT / "config/default.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / "config/paper.yaml").read_text()))
    study = load(config)
    counts = [rule for rule, _, _ in jobs(text)]
    assert counts.count("train") == len(layout.trained_runs(study)) >= 7 * 3
    assert counts.count("sample") >= counts.count("train") + len(study.study.models), "the base models, too"
    assert seconds < 10


def test_every_job_says_what_it_needs(paper):
    for rule, _, asked in jobs(paper[0]):
        if rule != "all":
            assert int(asked["mem_mb"]) >= 1000, rule
            assert int(asked["runtime"]) >= 10, rule
            assert asked["slurm_account"], rule
            assert asked["slurm_partition"] == ("gpu" if rule in ("train", "sample") else "cpu"), rule


def test_training_and_sampling_ask_for_gpus_and_nothing_else_does(paper):
    for rule, _, asked in jobs(paper[0]):
        assert asked.get("gpu") == {"train": "4", "sample": "1"}.get(rule), rule
        if rule == "train":
            assert asked["nodes"] == "1"
            assert asked["tasks_per_node"] == "4"


def test_only_long_jobs_stand_in_the_queue_alone(paper):
    alone = {rule for rule, grouped, _ in jobs(paper[0]) if not grouped}
    assert alone == LONG | LOCAL, "put a light rule into a group of workflow/profiles/slurm/config.yaml"


def test_a_cpu_study_asks_for_no_gpu(tmp_path):
    arguments = ("--configfile", "tests/cluster/study.yaml", "--config", f"results={tmp_path}/results")
    text, _ = planned(*arguments, tmp_path=tmp_path)
    assert jobs(text)
    assert not any("gpu" in asked for _, _, asked in jobs(text))


def test_a_thousand_jobs_are_planned_in_thirty_seconds(tmp_path):
    study = {"arms": ["grpo", "dr_grpo"], "seeds": list(range(150))}
    changes = (f"results={tmp_path}/results", f"study={json.dumps(study)}")
    text, seconds = planned("--configfile", "tests/cluster/study.yaml", "--config", *changes, tmp_path=tmp_path)
    assert len(jobs(text)) > 1000
    assert seconds < 30
