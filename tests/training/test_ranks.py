"""Training on two real ranks, as the workflow starts it: undisturbed, with a rank killed, stopped by a signal, continued."""

import os
import re
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.seeds import derive
from asymgrpo.training.inputs import longest_sequence
from asymgrpo.training.trainer import Problem, Trainer, control_seed
from tests.helpers import runs

SHARDED = {"zero_stage": 2, "ranks_per_node": 2, "micro_batch": 2, "steps": 4, "evaluate_every": 4, "rollouts_every": 4}
BOUND = 300
"""Seconds in which a job must end after a rank has died. A few on a quiet machine; half an hour if ranks waited for the dead."""


def on_ranks(folder, model, **train) -> list[str]:
    """The command of the workflow for this run, with its launcher."""
    command = runs.prepare(folder, model, **train)
    operation = next(part.split("=", 1)[1] for part in command if part.startswith("--operation="))
    return [
        sys.executable,
        "-m",
        "workflow.slurm.launch",
        "--operation",
        operation,
        "--cpus-per-rank",
        "1",
        "--",
        *command,
    ]


def ranks_of(launcher: subprocess.Popen) -> list[int]:
    """Process ids of the training processes below a launcher."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [int(pid) for pid, parent, words in rows if int(parent) == launcher.pid and "asymgrpo.training" in words]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, model_directory):
    command = on_ranks(tmp_path_factory.mktemp("undisturbed"), model_directory, **SHARDED)
    runs.finish(command)
    return runs.out_of(command)


@pytest.mark.slow
def test_two_ranks_sample_and_learn_as_one(tmp_path, model_directory, undisturbed):
    """The same rollouts in the first step, and metrics that differ by rounding only."""
    command = runs.prepare(tmp_path, model_directory, **SHARDED | {"ranks_per_node": 1, "steps": 2})
    runs.finish(command)
    tables = [pq.read_table(out / "rollouts.parquet").to_pylist() for out in (runs.out_of(command), undisturbed)]
    one, two = (sorted(r["response"] for r in rows if r["step"] == 1) for rows in tables)
    assert one == two
    metrics = [pq.read_table(out / "metrics.parquet").to_pylist()[0] for out in (runs.out_of(command), undisturbed)]
    for name in ("reward_mean", "entropy", "loss", "grad_norm", "gap_mean", "response_tokens_mean"):
        assert metrics[0][name] == pytest.approx(metrics[1][name], rel=1e-4, abs=1e-6), name


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_which_then_continues(tmp_path, model_directory, undisturbed):
    command = on_ranks(tmp_path, model_directory, **SHARDED)
    job = runs.start(command)
    runs.wait_for_steps(job, command, 2)
    victim = ranks_of(job)[-1]
    os.kill(victim, signal.SIGKILL)
    start = time.time()
    _, said = job.communicate(timeout=BOUND)
    assert time.time() - start < BOUND
    assert job.returncode not in (0, 75)
    assert re.search(
        r"rank \d: another rank has ended .*; its own message says why\. Start the same command again", said
    )
    alone = runs.start(runs.prepare(tmp_path, model_directory, **SHARDED | {"ranks_per_node": 1}))
    _, said = alone.communicate(timeout=runs.PATIENCE)
    assert alone.returncode == 1
    assert "was written by 2 ranks and cannot be resumed by 1: start with 2 ranks again, or delete" in said
    runs.prepare(tmp_path, model_directory, **SHARDED)
    runs.finish(command)
    assert runs.digests(runs.out_of(command)) == runs.digests(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_all_ranks_which_save(tmp_path, model_directory, undisturbed, number):
    """The launcher becomes torchrun, which passes the signal on and waits; its exit code is its own, the state is there."""
    command = on_ranks(tmp_path, model_directory, **SHARDED)
    job = runs.start(command)
    runs.wait_for_steps(job, command, 2)
    job.send_signal(number)
    _, said = job.communicate(timeout=BOUND)
    assert job.returncode != 0
    assert "the same command continues" in said
    runs.finish(command)
    assert runs.digests(runs.out_of(command)) == runs.digests(undisturbed)


@pytest.mark.slow
def test_another_number_of_ranks_than_configured_is_refused(tmp_path, model_directory):
    alone = runs.start(runs.prepare(tmp_path, model_directory, **SHARDED))
    _, said = alone.communicate(timeout=runs.PATIENCE)
    assert alone.returncode == 2
    assert (
        "train: nodes x ranks_per_node = 1 x 2, but the number of ranks started is 1; start 2 by torchrun or srun"
        in said
    )


class Share:
    """What `Trainer.draw` needs of a trainer: one rank of a world."""

    def __init__(self, train, rank: int, world_size: int, run_seed: int, n_problems: int):
        self.train, self.run_seed = train, run_seed
        self.problems = [Problem(f"p{i}", (1,), "") for i in range(n_problems)]
        self.sampler = Echo()
        self.engine = type("Engine", (), {"rank": rank, "world_size": world_size})


class Echo:
    """A sampler that returns what it was asked for."""

    def wake(self):
        pass

    sleep = wake

    def generate(self, requests, *_):
        return requests


@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(1, 9), st.integers(0, 9), st.integers(1, 48))
def test_the_seeds_of_a_step_are_distinct_for_any_number_of_ranks(world_size, step, run_seed, n_problems):
    """And they are the same seeds: which rank samples a prompt does not matter, nor how often a step draws a problem."""
    fields = {"prompts_per_step": 24, "updates_per_rollout": 2, "group_size": 8}
    train = type("Train", (), fields | dict.fromkeys(("temperature", "top_p", "max_tokens")))

    def seeds(ranks: int) -> list[tuple[list[int], int]]:
        """Per prompt, in the order of updates and ranks: seeds of its rollouts and of its random rewards."""
        found = []
        for rank in range(ranks):
            share = Share(train, rank, ranks, run_seed, n_problems)
            drawn = Trainer.draw(share, step)
            requests = Trainer.rollout(share, drawn, step)
            found += [
                (request.seeds, control_seed(run_seed, step, p.problem_id, p.occurrence))
                for p, request in zip(drawn, requests, strict=True)
            ]
        return sorted(found)

    assert seeds(world_size) == seeds(1)
    assert len({seed for group, _ in seeds(1) for seed in group}) == 24 * 8
    assert len({control for _, control in seeds(1)}) == 24


def test_the_first_time_that_a_step_draws_a_problem_it_has_the_seeds_of_old():
    train = type("Train", (), {"prompts_per_step": 5, "updates_per_rollout": 1, "group_size": 2})
    drawn = Trainer.draw(Share(train, 0, 1, 0, 3), 1)
    assert sorted(p.occurrence for p in drawn) == [0, 0, 0, 1, 1]
    for p in drawn:
        own = derive("control", 0, 1, p.problem_id, *([1] if p.occurrence else []))
        assert control_seed(0, 1, p.problem_id, p.occurrence) == own


def test_a_sequence_longer_than_the_model_is_refused():
    from asymgrpo.study.config import ConfigError
    from tests.helpers.tiny_trainer import settings

    train, problems = settings(max_tokens=12, evaluate_max_tokens=20), [Problem("p", (1,) * 30, "")]
    assert longest_sequence(train, problems, [problems[:0]], 64) == 42
    assert longest_sequence(train, [], [problems], 64) == 50
    with pytest.raises(ConfigError, match="together are 50 tokens, the model has 49 positions; lower"):
        longest_sequence(train, [], [problems], 49)
