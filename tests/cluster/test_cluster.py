"""The SLURM of these tests does what the tests ask of it."""

import pytest
from cluster import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_a_job_that_waits_is_started_and_one_that_runs_is_left_alone(slurm):
    """Two threads look for waiting jobs at once, and SLURM starts them too: what is released twice must not fail."""
    number = slurm.run("sbatch", "--parsable", "--begin=now+1hour", "--output=/dev/null", "--wrap=sleep 600").strip()
    wait_for("its place in the queue", lambda: slurm.fields(number)["Reason"] == "BeginTime")
    slurm.release()
    wait_for("its start", lambda: slurm.fields(number)["JobState"] == "RUNNING")
    slurm.start_now(number)
    assert slurm.fields(number)["JobState"] == "RUNNING"
    slurm.run("scancel", number)


def test_a_job_that_does_not_exist_is_not_taken_for_one_that_runs(slurm):
    with pytest.raises(AssertionError, match="Invalid job id"):
        slurm.start_now("999999")
