"""The study through `snakemake --profile slurm` on a real SLURM ends with the same bytes, however its trainings are disturbed."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cluster import PATIENCE, Cluster, Snakemake, digests, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]

PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
ARMS = {
    "requeued": "grpo",
    "time_limit": "asymgrpo_clip_higher",
    "node_died": "dr_grpo",
    "snakemake_killed": "reinforce",
}
"""What happens to the training of which arm."""


@dataclass
class Storm:
    """Calls of Snakemake for one arm each, and what is done to their jobs."""

    slurm: Cluster
    results: Path

    def start(self, arm: str, name: str, *options: str) -> Snakemake:
        return Snakemake(
            f"{self.results}/runs/tiny/{arm}/seed0/done.json",
            *(*PROFILE, *options),
            results=self.results,
            environment=self.slurm.environment,
            log=self.results.parent / f"{name}.log",
        )

    def started_job(self, arm: str) -> str:
        """Number of the arm's training job, once it has two checkpoints."""
        folder = Path(f"{self.results}-checkpoints/tiny/{arm}")
        wait_for(f"a checkpoint of {arm}", lambda: list(folder.glob("seed0-*/checkpoints/step000002")), every=0.05)
        return self.slurm.job(f"rule_train_wildcards_tiny_{arm}_0")

    def away_from_node_2(self) -> tuple[str, ...]:
        return "--set-resources", "train:slurm_partition=gpu", "train:slurm_extra=--nodelist=gpu1"

    def requeued(self, arm: str) -> str:
        """As after a preemption: SLURM ends the job and queues it again under the same number."""
        call = self.start(arm, "requeued", *self.away_from_node_2())
        number = self.started_job(arm)
        self.slurm.run("scontrol", "requeue", number)
        self.released(call)
        return call.ended()

    def time_limit(self, arm: str) -> str:
        call = self.start(arm, "time_limit", *self.away_from_node_2())
        soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 2))
        self.slurm.run("scontrol", "update", f"jobid={self.started_job(arm)}", f"EndTime={soon}")
        return call.ended()

    def node_died(self, arm: str) -> str:
        call = self.start(arm, "node_died")
        number = self.started_job(arm)
        assert self.slurm.fields(number)["NodeList"] == "gpu2"
        self.slurm.kill_node("gpu2")
        self.released(call)
        return call.ended()

    def snakemake_killed(self, arm: str) -> str:
        """The job goes on without Snakemake; the next call cancels it and has it continued."""
        call = self.start(arm, "killed", *self.away_from_node_2())
        number = self.started_job(arm)
        os.killpg(call.process.pid, signal.SIGKILL)
        call.process.wait()
        assert self.slurm.fields(number)["JobState"] == "RUNNING"
        said = self.start(arm, "again", *self.away_from_node_2()).ended()
        assert f"Cancelling jobs {number}, left in the queue" in said
        return said

    def released(self, call: Snakemake) -> None:
        """Shorten SLURM's hold of requeued jobs for as long as the call runs."""
        end = time.monotonic() + 2 * PATIENCE
        while call.process.poll() is None and time.monotonic() < end:
            self.slurm.release()
            time.sleep(1)


@pytest.fixture(scope="module")
def disturbed(slurm, undisturbed, tmp_path_factory):
    """Results of the study whose four trainings were all disturbed, and what Snakemake said of each."""
    results = tmp_path_factory.mktemp("disturbed") / "results"
    storm = Storm(slurm, results)
    first, too_little = storm.results.parent / "models.log", ("--set-resources", "base_model:mem_mb=500*attempt")
    Snakemake("base_models", *PROFILE, *too_little, results=results, environment=slurm.environment, log=first).ended()
    with ThreadPoolExecutor() as pool:
        futures = {name: pool.submit(getattr(storm, name), arm) for name, arm in ARMS.items()}
        said = {name: future.result() for name, future in futures.items()}
    slurm.revive_node("gpu2")
    last = storm.results.parent / "all.log"
    said["all"] = Snakemake("all", *PROFILE, results=results, environment=slurm.environment, log=last).ended()
    return results, said


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("requeued", "REQUEUED"),
        ("time_limit", "TIMEOUT"),
        ("node_died", "NODE_FAIL"),
        ("snakemake_killed", "CANCELLED"),
    ],
)
def test_a_disturbed_training_ends_with_the_same_bytes(name, state, slurm, disturbed, undisturbed):
    results, _ = disturbed
    run = f"runs/tiny/{ARMS[name]}/seed0"
    assert slurm.states(f"rule_train_wildcards_tiny_{ARMS[name]}_0") == [state, "COMPLETED"]
    assert digests(results / run) == digests(undisturbed / run)


def test_after_out_of_memory_there_is_more(slurm, disturbed):
    """The base model takes more than 500 MB. Without limits by cgroup SLURM kills the job by itself and calls it FAILED."""
    first, second = slurm.states("rule_base_model_wildcards_tiny")
    assert first in ("OUT_OF_MEMORY", "FAILED")
    assert second == "COMPLETED"
    asked = slurm.run("sacct", "-X", "-n", "-P", "--format=Comment,ReqMem").splitlines()
    assert [line.split("|")[1] for line in asked if "base_model" in line] == ["500M", "1000M"]


def test_the_whole_study_has_the_same_bytes_as_without_slurm(disturbed, undisturbed):
    assert digests(disturbed[0]) == digests(undisturbed)


def test_a_second_call_has_nothing_to_do(slurm, disturbed):
    results, _ = disturbed
    log = results.parent / "second.log"
    said = Snakemake("all", *PROFILE, results=results, environment=slurm.environment, log=log).ended()
    assert "Nothing to be done" in said


def test_light_jobs_travel_together(slurm, disturbed):
    """One submission for all data sets, one for tables and figures; selecting runs on the head node."""
    comments = [line for line in slurm.run("sacct", "-X", "-n", "-P", "--format=Comment").splitlines() if line]
    rules = [comment.removeprefix("rule_").split("_wildcards_")[0] for comment in comments]
    assert rules.count("data_problems") == 1
    assert sum(rule.startswith("report_") for rule in rules) == 1
    assert not {"select", "table1", "score", "figure", "problems"} & set(rules)


def test_accounting_knows_every_job_and_what_was_lost(slurm, disturbed):
    results, _ = disturbed
    log = results.parent / "cost.log"
    Snakemake("cost", *PROFILE, results=results, environment=slurm.environment, log=log).ended()
    jobs = pq.read_table(results / "cost.parquet").to_pandas()
    assert set(jobs["source"]) == {"slurm"}
    training = jobs[jobs["rule"] == "train"]
    assert set(training["arm"]) == set(ARMS.values())
    assert (training.groupby("arm").size() == 2).all(), "the disturbed start and the one that finished"
    assert (training["cpu_hours"] * 3600 == training["seconds"]).all(), "one CPU each"
    assert (jobs.loc[jobs["state"] == "COMPLETED", "max_rss_gb"] > 0.05).all()
    assert {"problems", "score", "table1", "figure", "grade", "sample", "base_model"} <= set(jobs["rule"])
    arms = pq.read_table(results / "cost_by_arm.parquet").to_pandas().set_index("arm")
    table1 = pq.read_table(results / "table1.parquet").to_pandas()
    assert set(table1["arm"]) <= set(arms.index), "every row of Table 1 has its cost"
    assert (arms.loc[list(ARMS.values()), "lost_hours"] > 0).all()
