"""Probes with a real engine and sampler: real steps from one state, and states that resume."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from asymgrpo.method.arm import WReinforce
from asymgrpo.method.arms import ARMS, GRPO
from asymgrpo.probe.measure import Probes
from asymgrpo.probe.states import States
from asymgrpo.probe.steps import Weights, advantages_of, update
from asymgrpo.probe.trajectory import follow
from asymgrpo.study.config import parse_section
from asymgrpo.training.run import Run
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.training.trainer import Trainer
from tests.helpers.tiny_trainer import PROBLEMS, distance, join, make_trainer, settings, weights

NOTHING = GRPO.but(name="nothing", advantage=WReinforce(positive_weight=0.0, negative_weight=0.0))
TRAINED = [GRPO, ARMS["asymgrpo"], ARMS["grpo_entropy_0p01"], ARMS["reinforce"], NOTHING]
PROBE = {"seeds": [0], "states": [1, 3], "batches": 1, "arms": [], "responses": 3, "prompts": 2, "linear_prompts": 3}
TRAIN = {"keep_checkpoints": 1, "candidates": "all", "evaluate_every": 1}
ABOUT = {"settings": {"of": "probe", "seed": 0}, "identity": "abc"}


class Tokenizer:
    """Nothing of it is used: no candidate is written."""


def trajectory(workspace: Path, change: dict | None = None) -> tuple[Run, Probes]:
    join()
    trainer = make_trainer(train=settings(**TRAIN), problems=PROBLEMS[:8])
    trainers = {
        arm.name: trainer
        if arm is GRPO
        else Trainer(arm, trainer.train, trainer.engine, trainer.sampler, trainer.grade, trainer.problems, 0)
        for arm in TRAINED
    }
    workspace.mkdir(parents=True, exist_ok=True)
    run = Run(trainer, trainer.train, workspace, {}, str, Tokenizer())
    probe = parse_section("probe", PROBE | (change or {}))
    return run, Probes(trainers, "grpo", probe, PROBLEMS[8:], workspace)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> States:
    folder = tmp_path_factory.mktemp("probe")
    run, probes = trajectory(folder / "work")
    states = States(folder / "seed0.parquet", ABOUT)
    assert follow(run, probes, states, [3, 1]) == [1, 3]
    states.join([1, 3], states=[1, 3])
    return states


@pytest.fixture(scope="module")
def rows(made) -> pd.DataFrame:
    return pd.read_parquet(made.out)


def of(rows: pd.DataFrame, arm: str, scale: str = "rate") -> pd.DataFrame:
    found = rows[(rows["part"] == "step") & (rows["arm"] == arm) & (rows["scale"] == scale)]
    return found.drop(columns=["arm", "scale"]).reset_index(drop=True)


def test_an_arm_without_advantages_changes_nothing_beyond_the_momentum(rows):
    moved = of(rows, "none")
    pd.testing.assert_frame_equal(of(rows, "nothing"), moved, check_exact=True)
    assembled = of(rows, "nothing", "size")  # weights put together again, hence rounded
    pd.testing.assert_frame_equal(assembled, moved, rtol=0, atol=1e-4)
    assert (moved.loc[moved["quantity"] == "own_norm", "value"] == 0).all()
    assert (moved.loc[moved["quantity"] == "norm", "value"] > 0).all()
    effects = rows[(rows["part"] == "linear") & (rows["arm"] == "nothing")]
    assert (effects["value"] == 0).all()
    assert len(effects) > 0


def test_steps_of_equal_size_have_the_size_of_the_reference(rows):
    sizes = rows[(rows["quantity"] == "own_norm") & (rows["scale"] == "size")].pivot_table("value", "step", "arm")
    for arm in ("asymgrpo", "grpo_entropy_0p01", "reinforce"):
        assert sizes[arm].tolist() == pytest.approx(sizes["grpo"].tolist(), rel=1e-4)
        assert not of(rows, arm)["value"].equals(of(rows, "grpo")["value"])
    linear = rows[(rows["part"] == "linear") & (rows["quantity"] == "norm") & (rows["scale"] == "size")]
    norms = linear.pivot_table("value", "step", "arm")
    assert norms["reinforce"].tolist() == pytest.approx(norms["grpo"].tolist(), rel=1e-9)


def test_every_state_has_both_sets_of_prompts(rows):
    before = rows[(rows["part"] == "before") & (rows["quantity"] == "success")]
    assert before.groupby(["step", "prompts"]).size().to_dict() == {
        (step, name): n for step in (1, 3) for name, n in (("own", 4), ("other", 2))
    }
    assert before["value"].between(0, 1).all()


def test_the_update_is_the_one_that_the_run_goes_on_with(tmp_path):
    run, _ = trajectory(tmp_path / "work")
    trainer = run.trainer
    trainer.step(1, Stopwatch())
    run.save(1)
    checkpoint = run.workspace / "checkpoints" / "step000001"
    start = weights(trainer.engine)
    drawn = trainer.sample(trainer.draw(2), 2, Stopwatch())
    update(trainer, drawn, advantages_of(trainer, drawn, 2), 2)
    probed = weights(trainer.engine)
    trainer.engine.load_state(checkpoint / "engine")
    assert distance(weights(trainer.engine), start) == 0
    trainer.step(2, Stopwatch())
    assert distance(weights(trainer.engine), probed) == 0 < distance(probed, start)


def test_probes_leave_the_engine_in_the_state(tmp_path):
    run, probes = trajectory(tmp_path / "work")
    run.trainer.step(1, Stopwatch())
    run.save(1)
    start = weights(run.trainer.engine)
    assert len(list(probes.rows(run.workspace / "checkpoints" / "step000001", 1))) > 100
    assert distance(weights(run.trainer.engine), start) == 0


def test_weights_are_put_where_a_step_leads(tmp_path):
    run, _ = trajectory(tmp_path / "work")
    engine = run.trainer.engine
    run.trainer.step(1, Stopwatch())
    there = Weights(engine)
    run.trainer.step(2, Stopwatch())
    moved = there.moved()
    assert there.norm(moved) > 0
    there.put((0.5, moved))
    assert there.norm(there.moved()) == pytest.approx(there.norm(moved) / 2, rel=1e-3)
    there.put()
    assert there.norm(there.moved()) == 0


def test_a_state_that_is_there_is_kept_and_a_lost_one_is_made_the_same(made, tmp_path, capsys):
    """From the beginning and from a checkpoint: the same bytes; a corrupt table is named."""
    states = States(tmp_path / "seed0.parquet", ABOUT)
    for step in (1, 3):
        states.path(step).parent.mkdir(exist_ok=True)
        states.path(step).write_bytes(made.path(step).read_bytes())
    kept, whole = states.path(1).stat().st_mtime_ns, made.path(3).read_bytes()
    states.path(3).write_bytes(whole[:-40] + b"0" * 40)
    run, probes = trajectory(tmp_path / "work")
    assert follow(run, probes, states, [1, 3]) == [1, 3]
    assert str(states.path(3)) in capsys.readouterr().err
    assert states.path(3).read_bytes() == whole
    assert states.path(1).stat().st_mtime_ns == kept
    states.join([1, 3], states=[1, 3])
    assert states.out.read_bytes() == made.out.read_bytes()
    states.path(1).unlink()  # the checkpoint of step 3 is too late for it
    run, probes = trajectory(tmp_path / "work")
    assert follow(run, probes, states, [1, 3]) == [1, 3]
    assert states.path(1).read_bytes() == made.path(1).read_bytes()


def test_a_further_state_goes_on_from_the_checkpoint(made, tmp_path, monkeypatch):
    states = States(tmp_path / "seed0.parquet", ABOUT)
    follow(*trajectory(tmp_path / "work"), states, [1])
    run, probes = trajectory(tmp_path / "work")
    trained: list[int] = []
    whole = run.trainer.step
    monkeypatch.setattr(run.trainer, "step", lambda step, clock: (trained.append(step), whole(step, clock))[1])
    follow(run, probes, states, [1, 3])
    assert trained == [2, 3]
    assert states.path(3).read_bytes() == made.path(3).read_bytes()


def test_tables_of_other_settings_or_another_run_are_not_kept(made):
    other = States(made.out, ABOUT | {"settings": {"of": "probe", "seed": 1}})
    assert "seed is 0, not 1" in str(other.fault(1))
    assert "another run" in str(States(made.out, ABOUT | {"identity": "abd"}).fault(1))
    assert made.fault(1) is None
    assert made.fault(2) == "missing"
