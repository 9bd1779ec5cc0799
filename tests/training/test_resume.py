"""A run that was killed and started again ends with the same bytes as one that was left alone."""

import json
import random
import shutil
import signal
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.errors import EXIT_PREEMPTED
from asymgrpo.training.candidates import selectable
from evals.select import select_step
from tests.helpers import runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, model_directory):
    command = runs.prepare(tmp_path_factory.mktemp("undisturbed"), model_directory)
    runs.finish(command)
    return runs.digests(runs.out_of(command))


def test_same_bytes_again(tmp_path, model_directory, undisturbed):
    command = runs.prepare(tmp_path, model_directory)
    runs.finish(command)
    assert runs.digests(runs.out_of(command)) == undisturbed
    assert not (runs.workspace_of(command) / "checkpoints").exists(), "a finished run leaves no checkpoints"


@pytest.mark.parametrize("point", range(3))
def test_killed_and_resumed(tmp_path, model_directory, undisturbed, point):
    """SIGKILL at an arbitrary moment after a random step, several times over."""
    rng = random.Random(point)
    command = runs.prepare(tmp_path, model_directory)
    for step in sorted(rng.sample(range(1, 5), 2)):
        process = runs.start(command)
        runs.wait_for_steps(process, command, step)
        time.sleep(rng.random() * 0.3)
        process.kill()
        process.communicate()
    runs.finish(command)
    assert runs.digests(runs.out_of(command)) == undisturbed


def test_killed_with_dynamic_sampling_and_a_budget_of_tokens(tmp_path, model_directory):
    """The budget ends the run before its last step; what a killed process spent is not forgotten, what it lost is not counted."""
    changes, sizes = {"dynamic_sampling": 2}, {"token_budget": 1500, "steps": 50, "evaluate_every": 50}
    commands = [runs.prepare(tmp_path / name, model_directory, "grpo", changes, **sizes) for name in ("one", "two")]
    assert "response tokens were sampled, of train.token_budget = 1500" in runs.finish(commands[0])
    process = runs.start(commands[1])
    runs.wait_for_steps(process, commands[1], 2)
    process.kill()
    process.communicate()
    runs.finish(commands[1])
    one, two = map(runs.out_of, commands)
    assert runs.digests(one) == runs.digests(two)
    rows = pq.read_table(one / "metrics.parquet").to_pylist()
    assert rows[-2]["sampled_tokens_total"] < 1500 <= rows[-1]["sampled_tokens_total"]
    assert 2 < len(rows) < 50
    assert rows[-1]["discarded_share"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_says_so(tmp_path, model_directory, undisturbed, number):
    command = runs.prepare(tmp_path, model_directory, checkpoint_every=100)
    quiet = runs.prepare(tmp_path, model_directory, checkpoint_every=1)
    process = runs.start(quiet)
    runs.wait_for_steps(process, quiet, 2)
    process.send_signal(number)
    _, said = process.communicate(timeout=runs.PATIENCE)
    assert process.returncode == EXIT_PREEMPTED, said
    assert "the same command continues" in said
    runs.prepare(tmp_path, model_directory, checkpoint_every=100)
    runs.finish(command)
    assert runs.digests(runs.out_of(command)) == undisturbed


def test_a_time_limit_stops_the_run_which_then_continues(tmp_path, model_directory, undisturbed):
    """The limit has no room for a second step: each start does one, saves and says so."""
    command = runs.prepare(tmp_path, model_directory, checkpoint_every=100)
    process = runs.start([*command, "--stop-after=0.01"])
    _, said = process.communicate(timeout=runs.PATIENCE)
    assert process.returncode == EXIT_PREEMPTED
    assert "stopped after step 1 of 6; the same command continues" in said
    runs.finish([*command, "--stop-after=600"])
    assert runs.digests(runs.out_of(command)) == undisturbed


@pytest.mark.parametrize("damage", ["truncate", "flip", "missing", "manifest"])
def test_a_broken_checkpoint_is_named_and_skipped(tmp_path, model_directory, undisturbed, damage):
    command = runs.prepare(tmp_path, model_directory)
    process = runs.start(command)
    runs.wait_for_steps(process, command, 3)
    process.kill()
    process.communicate()
    newest = sorted((runs.workspace_of(command) / "checkpoints").glob("step*"))[-1]
    victim = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    if damage == "truncate":
        victim.write_bytes(victim.read_bytes()[:-100])
    elif damage == "flip":
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(bytes(content))
    elif damage == "missing":
        victim.unlink()
    else:
        (newest / "manifest.json").write_text("{")
    said = runs.finish(command)
    assert f"checkpoint {newest.name} is skipped" in said
    assert damage == "manifest" or victim.name in said
    assert runs.digests(runs.out_of(command)) == undisturbed


def test_only_candidates_that_a_rule_can_choose_are_kept(tmp_path, model_directory):
    """Killed and continued too: the same selected steps, the same weights of them, the same measurements."""
    sizes = {"evaluate_every": 1, "learning_rate": 3e-2}
    everything = runs.prepare(tmp_path / "all", model_directory, **sizes)
    runs.finish(everything)
    fewer = runs.prepare(tmp_path / "selectable", model_directory, candidates="selectable", **sizes)
    process = runs.start(fewer)
    runs.wait_for_steps(process, fewer, 4)
    process.kill()
    process.communicate()
    runs.finish(fewer)
    whole, kept = (runs.digests(runs.out_of(command)) for command in (everything, fewer))
    assert kept == {name: whole[name] for name in kept}
    table = pq.read_table(runs.out_of(everything) / "eval.parquet")
    chosen = {f"step{select_step(table, rule):06d}" for rule in ("last", "best_on:chain2")}
    kept_all, kept_few = ({p.name for p in (runs.out_of(c) / "candidates").iterdir()} for c in (everything, fewer))
    assert len(kept_all) == 6
    assert kept_few == chosen


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12), st.integers(0, 11))
def test_what_a_rule_can_choose_later_is_never_given_up(accuracies, until):
    """Whatever is measured after `until`: each rule's choice is later than that, or was kept."""
    rows = [
        {"step": step, "set": name, "accuracy": accuracy}
        for step, pair in enumerate(accuracies, start=1)
        for name, accuracy in zip(("validation", "chain4"), pair, strict=True)
    ]
    kept = selectable(rows, until)
    for rule in ("last", "validation", "best_on:chain4"):
        chosen = select_step(pa.Table.from_pylist(rows), rule)
        assert chosen > until or chosen in kept
    assert len(kept) <= 3


def test_two_jobs_cannot_train_one_run(tmp_path, model_directory):
    command = runs.prepare(tmp_path, model_directory, steps=500)
    first = runs.start(command)
    runs.wait_for_steps(first, command, 1)
    second = runs.start([*command, "--lock-patience=1"])
    _, said = second.communicate(timeout=runs.PATIENCE)
    first.kill()
    first.communicate()
    assert second.returncode == 1
    assert "is in use by another job" in said


def test_a_changed_configuration_does_not_resume_from_the_old_state(tmp_path, model_directory, undisturbed):
    command = runs.prepare(tmp_path, model_directory, learning_rate=1e-5)
    process = runs.start(command)
    runs.wait_for_steps(process, command, 2)
    process.kill()
    process.communicate()
    runs.finish(runs.prepare(tmp_path, model_directory))
    assert runs.digests(runs.out_of(command)) == undisturbed


def test_retention_is_bounded(tmp_path, model_directory):
    command = runs.prepare(tmp_path, model_directory, steps=500, keep_checkpoints=2)
    process = runs.start(command)
    runs.wait_for_steps(process, command, 5)
    process.kill()
    process.communicate()
    kept = sorted((runs.workspace_of(command) / "checkpoints").glob("step*"))
    assert 2 <= len(kept) <= 3, "the newest two, and one more between sealing and pruning"
    assert json.loads((kept[-1] / "manifest.json").read_text())["step"] >= 5
    shutil.rmtree(tmp_path / "checkpoints")
