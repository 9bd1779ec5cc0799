"""The study through `snakemake --profile slurm` on a real SLURM ends with the same bytes, however its trainings are disturbed."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from cluster import PATIENCE, ROOT, STUDY, Cluster, Snakemake, digests, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]

PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
AWAY_FROM_NODE_2 = (
    "--set-resources",
    "train:slurm_partition=gpu",
    "train:slurm_extra='--nodelist=gpu1'",
)
RUNS = {
    "requeued": ("random_reward", 0),
    "retried": ("random_reward", 1),
    "node_died": ("reinforce", 0),
    "snakemake_killed": ("reinforce", 1),
}
"""What happens to the training of which arm and seed."""


def folder_of(name: str) -> str:
    arm, seed = RUNS[name]
    return f"runs/tiny/{arm}/seed{seed}"


def comment_of(name: str) -> str:
    """What squeue and sacct call the training job."""
    arm, seed = RUNS[name]
    return f"rule_train_wildcards_tiny_{arm}_{seed}"


@dataclass
class Storm:
    """One call of Snakemake for each run, and what is done to their jobs."""

    slurm: Cluster
    results: Path

    def start(self, name: str, *options: str, log: str = "", study: str = STUDY) -> Snakemake:
        return Snakemake(
            f"{self.results}/{folder_of(name)}/done.json",
            *(*PROFILE, *options),
            results=self.results,
            environment=self.slurm.environment,
            log=self.results.parent / f"{log or name}.log",
            study=study,
        )

    def job(self, name: str) -> str:
        """Number of the run's training job, once it has two checkpoints."""
        arm, seed = RUNS[name]
        folder = Path(f"{self.results}-checkpoints/tiny/{arm}")
        wait_for(
            f"a checkpoint of {name}", lambda: list(folder.glob(f"seed{seed}-*/checkpoints/step000002")), every=0.05
        )
        return self.slurm.job(comment_of(name))

    def requeued(self) -> str:
        """As after a preemption: SLURM ends the job and queues it again under the same number.

        Meanwhile somebody edits the configuration file for another study: the job reads it again and must not take it.
        """
        study = self.results.parent / "study.yaml"
        study.write_text((ROOT / STUDY).read_text())
        call = self.start("requeued", *AWAY_FROM_NODE_2, study=str(study))
        number = self.job("requeued")
        study.write_text(study.read_text().replace("  steps: 30", "  steps: 29\n  learning_rate: 0.5"))
        self.slurm.run("scontrol", "requeue", number)
        self.release(call)
        return call.ended()

    def retried(self) -> str:
        """Four starts: a stop at a step's end (as before a time limit), a time limit while it hangs, scancel by hand, the end."""
        call = self.start("retried", *AWAY_FROM_NODE_2)
        stopped = self.job("retried")
        self.slurm.training(stopped).send_signal(signal.SIGUSR1)
        hangs = self.next_job("retried", stopped)
        self.slurm.stall(hangs)
        self.slurm.run("scontrol", "update", f"jobid={hangs}", "TimeLimit=1")
        self.slurm.run("scancel", self.next_job("retried", hangs))
        return call.ended()

    def next_job(self, name: str, last: str) -> str:
        """The job that follows another, once it trains."""
        number = wait_for("another job", lambda: self.slurm.job(comment_of(name), after=last))
        wait_for("training", lambda: self.slurm.training(number))
        return number

    def node_died(self) -> str:
        call = self.start("node_died")
        assert self.slurm.fields(self.job("node_died"))["NodeList"] == "gpu2"
        self.slurm.kill_node("gpu2")
        self.release(call)
        return call.ended()

    def snakemake_killed(self) -> str:
        """The job goes on without Snakemake; the next call cancels it and has it continued."""
        call = self.start("snakemake_killed", *AWAY_FROM_NODE_2)
        number = self.job("snakemake_killed")
        self.slurm.stall(number)
        os.killpg(call.process.pid, signal.SIGKILL)
        call.process.wait()
        assert self.slurm.fields(number)["JobState"] == "RUNNING"
        said = self.start("snakemake_killed", *AWAY_FROM_NODE_2, log="again").ended()
        assert f"Cancelling jobs {number}, left in the queue" in said
        return said

    def release(self, call: Snakemake) -> None:
        """Shorten SLURM's hold of requeued jobs for as long as the call runs."""
        end = time.monotonic() + 2 * PATIENCE
        while call.process.poll() is None and time.monotonic() < end:
            self.slurm.release()
            time.sleep(1)


@pytest.fixture(scope="module")
def disturbed(slurm, undisturbed, results):
    """Results of the study whose four trainings were all disturbed, and what Snakemake said of each."""
    storm = Storm(slurm, results)
    first, too_little = storm.results.parent / "models.log", ("--set-resources", "base_model:mem_mb=500*attempt")
    Snakemake("base_models", *PROFILE, *too_little, results=results, environment=slurm.environment, log=first).ended()
    with ThreadPoolExecutor() as pool:
        futures = {name: pool.submit(getattr(storm, name)) for name in RUNS}
        said = {name: future.result() for name, future in futures.items()}
    slurm.revive_node("gpu2")
    last = storm.results.parent / "all.log"
    said["all"] = Snakemake("all", *PROFILE, results=results, environment=slurm.environment, log=last).ended()
    return results, said


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("requeued", ["REQUEUED"]),
        ("retried", ["FAILED", "TIMEOUT", "CANCELLED"]),
        ("node_died", ["NODE_FAIL"]),
        ("snakemake_killed", ["CANCELLED"]),
    ],
)
def test_a_disturbed_training_ends_with_the_same_bytes(name, states, slurm, disturbed, undisturbed):
    results, _ = disturbed
    run, (arm, seed) = folder_of(name), RUNS[name]
    assert slurm.states("train", results, model="tiny", arm=arm, seed=str(seed)) == [*states, "COMPLETED"]
    assert digests(results / run) == digests(undisturbed / run)
    metrics = pq.read_table(undisturbed / run / "metrics.parquet").to_pandas()
    assert (metrics["grad_norm"] > 0).sum() > len(metrics) // 2, "equal because nothing was learned?"


def test_a_training_that_is_told_to_stop_saves_first(disturbed):
    """Exit code 75, not a kill: what the failed job said stands in Snakemake's log."""
    assert "the same command continues from there" in disturbed[1]["retried"]


def test_after_out_of_memory_there_is_more(slurm, disturbed):
    """The base model takes more than 500 MB; that its job is then FAILED or OUT_OF_MEMORY depends on who notices first."""
    first, second = slurm.states("base_model", disturbed[0], model="tiny")
    assert first in ("OUT_OF_MEMORY", "FAILED")
    assert second == "COMPLETED"


def test_the_whole_study_has_the_same_bytes_as_without_slurm(disturbed, undisturbed):
    assert digests(disturbed[0]) == digests(undisturbed)


def test_a_second_call_has_nothing_to_do(slurm, disturbed):
    results, _ = disturbed
    log = results.parent / "second.log"
    said = Snakemake("all", *PROFILE, results=results, environment=slurm.environment, log=log).ended()
    assert "Nothing to be done" in said


def test_light_jobs_travel_together(slurm, disturbed):
    """One submission for all tables and figures; data sets and the choice of checkpoints are made on the head node."""
    comments = [line for line in slurm.run("sacct", "-X", "-n", "-P", "--format=Comment").splitlines() if line]
    rules = [comment.removeprefix("rule_").split("_wildcards_")[0] for comment in comments]
    assert sum(rule.startswith("report_") for rule in rules) == 1
    assert not {"select", "table1", "score", "figure", "problems"} & set(rules)


def test_accounting_knows_every_job_and_what_was_lost(slurm, disturbed):
    results, _ = disturbed
    log = results.parent / "cost.log"
    Snakemake("cost", *PROFILE, results=results, environment=slurm.environment, log=log).ended()
    jobs = pq.read_table(results / "cost.parquet").to_pandas()
    assert set(jobs["source"]) == {"slurm"}
    training = jobs[jobs["rule"] == "train"]
    assert set(zip(training["arm"], training["train_seed"], strict=True)) == set(RUNS.values())
    starts = training.groupby(["arm", "train_seed"]).size()
    assert (starts == [2, 4, 2, 2]).all(), "each disturbed start and the one that finished"
    assert np.allclose(training["cpu_hours"] * 3600, training["seconds"]), "one CPU each"
    assert (jobs.loc[jobs["state"] == "COMPLETED", "max_rss_gb"] > 0.05).all()
    assert {"score", "table1", "figure", "grade", "sample", "base_model"} <= set(jobs["rule"])
    arms = pq.read_table(results / "cost_by_arm.parquet").to_pandas().set_index("arm")
    table1 = pq.read_table(results / "table1.parquet").to_pandas()
    assert set(table1["arm"]) <= set(arms.index), "every row of Table 1 has its cost"
    assert (arms.loc[["reinforce", "random_reward"], "lost_hours"] > 0).all()
