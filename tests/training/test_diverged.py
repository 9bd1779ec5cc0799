"""A number that is not finite ends a run before it spoils the weights, and the run says so as its outcome."""

import json
import math
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from asymgrpo.method.arms import get_arm
from asymgrpo.method.losses import active_entropy_coef, next_entropy_coef
from asymgrpo.method.reduce import reduce
from asymgrpo.models.tiny import SpecError, make, parse_spec
from asymgrpo.rollout import Rollout
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.study import outcome
from asymgrpo.study.config import ConfigError, parse_section
from asymgrpo.study.outcome import Diverged, DivergedError
from asymgrpo.training import trainer as trainer_module
from asymgrpo.training.finite import need_finite_row
from asymgrpo.training.policy import Policy
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.verifier import Verdict
from evals.select import SelectionError, select_step
from tests.helpers import runs
from tests.helpers.tiny_trainer import distance, join, make_trainer, settings, steps, tiny_model, weights

BAD = (math.nan, math.inf, -math.inf)


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


class Sampler(TorchSampler):
    """A sampler whose first log-probability is `bad`."""

    def __init__(self, bad: float):
        model = tiny_model()
        super().__init__(model.config, model.named_parameters(), (1, 2))
        self.bad = bad

    def generate(self, *arguments) -> list[list[Rollout]]:
        groups = super().generate(*arguments)
        r = groups[0][0]
        groups[0][0] = Rollout(r.prompt_ids, r.response_ids, (self.bad, *r.logprobs[1:]), r.finish_reason, r.seed)
        return groups


def spoil(trainer, what: str, bad: float, monkeypatch) -> None:
    """Let one quantity of the trainer be `bad`."""
    score = trainer.engine.score

    def spoilt(grids, which):
        return tuple(grid * torch.tensor(bad) if i == which else grid for i, grid in enumerate(grids))

    if what == "sampler":
        trainer.sampler = Sampler(bad)
    elif what in ("logp", "entropy"):
        trainer.engine.score = lambda batch: spoilt(score(batch), ("logp", "entropy").index(what))
    elif what == "loss":  # the sum over tokens: a ratio is clamped, and would give a finite one
        monkeypatch.setattr(trainer_module, "reduce", lambda *grids, **sizes: reduce(*grids, **sizes) * bad)
    elif what == "gradient":  # as a backward pass that overflows: the loss itself is finite
        backward = trainer.engine._ds.backward
        trainer.engine._ds.backward = lambda loss, **more: backward(loss * bad, **more)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("sampler", "the log probabilities of the sampler are not finite in step 1"),
        ("logp", "the log probabilities of the trainer are not finite in step 1"),
        ("entropy", "the entropy is not finite in step 1"),
        ("loss", "the loss is not finite in update 1 of step 1"),
        ("gradient", "the gradient norm is not finite in update 1 of step 1"),
    ],
)
def test_each_quantity_ends_the_step_before_an_update(what, said, bad, monkeypatch):
    trainer = make_trainer(train=settings(mismatch_gate=None))
    spoil(trainer, what, bad, monkeypatch)
    before = weights(trainer.engine)
    with pytest.raises(DivergedError) as raised:
        trainer.step(1, Stopwatch())
    assert raised.value.outcome == Diverged(1, said)
    assert distance(weights(trainer.engine), before) == 0
    assert trainer.engine.updates == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"zero_stage": 1}, {"zero_stage": 2}, {"zero_stage": 3}, {"dtype": "bfloat16", "zero_stage": 2}]
)
def test_no_stage_of_zero_updates_with_a_gradient_that_is_not_finite(changes):
    """DeepSpeed leaves such an update out and says nothing."""
    dtype = torch.bfloat16 if "dtype" in changes else torch.float32
    trainer = make_trainer(train=settings(mismatch_gate=None, **changes), model=tiny_model().to(dtype))
    spoil(trainer, "gradient", math.inf, None)
    before = weights(trainer.engine)
    with pytest.raises(DivergedError, match="the gradient norm is not finite in update 1 of step 1"):
        trainer.step(1, Stopwatch())
    assert distance(weights(trainer.engine), before) == 0
    assert trainer.engine.updates == 0


def test_infinite_advantages_end_the_step():
    arm = get_arm("asymgrpo", {"beta_pos": 400.0, "beta_neg": 0.5})
    trainer = make_trainer(arm, settings(group_size=8, micro_batch=16), grade=one_is_correct)
    before = weights(trainer.engine)
    with pytest.raises(DivergedError, match="the advantages are not finite in step 1"):
        trainer.step(1, Stopwatch())
    assert distance(weights(trainer.engine), before) == 0


def one_is_correct(rollouts, reference_answers):
    return [Verdict.correct if i % 8 == 0 else Verdict.wrong for i in range(len(rollouts))]


def test_a_reference_that_gives_no_probabilities_ends_the_step():
    broken = tiny_model()
    with torch.no_grad():
        broken.lm_head.weight.fill_(math.nan)
    reference = Policy(broken, 1.0, None).requires_grad_(False)
    trainer = make_trainer(get_arm("grpo", {"kl_coef": 0.1}), reference=reference)
    with pytest.raises(DivergedError, match="the log probabilities of the reference are not finite in step 1"):
        trainer.step(1, Stopwatch())


@pytest.mark.parametrize("gate", [None, 1.05])
def test_probabilities_too_far_apart_for_a_number_are_no_mismatch(gate):
    """exp of a gap of 800 nats is not a number; a gap of half a nat is a mismatch (test_trainer.py)."""
    trainer = make_trainer(train=settings(mismatch_gate=gate))
    trainer.sampler = Sampler(-800.0)
    with pytest.raises(DivergedError, match="token_mult_prob_error is not finite in step 1"):
        trainer.step(1, Stopwatch())


def test_a_metric_that_is_not_finite_is_named():
    with pytest.raises(DivergedError, match="kl_k3 is not finite in step 7"):
        need_finite_row({"step": 7, "kl_k3": math.nan, "loss": 0.0})
    with pytest.raises(DivergedError, match="cov_by_correct, loss are not finite in step 7"):
        need_finite_row({"step": 7, "cov_by_correct": [None, math.inf], "loss": -math.inf})


def test_weights_that_the_last_update_of_a_step_spoilt_end_that_step():
    """The norm of the gradient was finite, the rate was not: the measurement after the updates sees it."""
    trainer = make_trainer(train=settings(learning_rate=1e18, updates_per_rollout=1, displacement_every=1))
    with pytest.raises(DivergedError, match=r"logp_change_\w+.* not finite in step 1"):
        steps(trainer, 1, 1)


@pytest.mark.parametrize("bad", BAD)
def test_the_entropy_controller_refuses_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="mean entropy is"):
        next_entropy_coef(0.0, bad, target=0.2, delta=0.005, low=0.0, high=1.0)
    with pytest.raises(ValueError, match="mean entropy is"):
        active_entropy_coef(0.1, bad, target=0.2)


@pytest.mark.parametrize(
    "key", ["learning_rate", "adam_eps", "weight_decay", "max_grad_norm", "temperature", "mismatch_gate"]
)
@pytest.mark.parametrize("bad", [".nan", ".inf", "1.0e+999"])
def test_a_configuration_has_finite_numbers(key, bad):
    with pytest.raises(ConfigError, match=rf"train\.{key} = (nan|inf) is not allowed"):
        parse_section("train", runs.TRAIN | {key: yaml.safe_load(bad)})


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_no_checkpoint_is_chosen_by_an_accuracy_that_is_none(bad):
    table = pa.table({"step": [1, 2], "set": ["validation"] * 2, "accuracy": [0.5, bad]})
    with pytest.raises(SelectionError, match="the accuracy of step 2 on 'validation' is"):
        select_step(table, "validation")


def test_a_base_model_that_diverges_is_refused(tmp_path):
    spec = yaml.safe_load((runs.ROOT / "config/default.yaml").read_text())["models"]["tiny"]["spec"]
    mini = {"hidden_size": 32, "intermediate_size": 64, "head_dim": 8, "examples": 256, "probe_problems": 1}
    with pytest.raises(SpecError, match=r"supervised training diverged in update \d+ .* lower learning_rate"):
        make(parse_spec(spec | mini | {"learning_rate": 1e30}), tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_a_learning_rate_is_one_that_float32_can_hold():
    with pytest.raises(ConfigError, match=r"train\.learning_rate = 1e\+38 is not allowed"):
        parse_section("train", runs.TRAIN | {"learning_rate": 1e38})


def of(out: Path, name: str) -> list[dict]:
    return pq.read_table(out / f"{name}.parquet").to_pylist()


@pytest.mark.slow
def test_a_run_that_diverges_is_done_and_says_so(tmp_path, model_directory):
    """Candidates, rows and the last good checkpoint of the steps before stay; the same command says the same."""
    train = {"learning_rate": 1e25, "warmup_updates": 3, "steps": 6, "evaluate_every": 1, "rollouts_every": 1}
    command = runs.prepare(tmp_path, model_directory, arm="reinforce", **train)
    said = runs.finish(command)
    out = runs.out_of(command)
    ended = outcome.read(json.loads((out / "done.json").read_text()))
    assert ended is not None
    assert f"reinforce seed 0 diverged: {ended.reason}" in said
    assert f"step {ended.step}" in ended.reason
    for name in ("metrics", "timings", "eval", "rollouts"):
        assert {row["step"] for row in of(out, name)} == set(range(1, ended.step)), name
        about = json.loads(pq.read_schema(out / f"{name}.parquet").metadata[b"asymgrpo"])
        assert outcome.read(about) == ended, name
    assert all(math.isfinite(row["entropy"]) for row in of(out, "metrics"))
    assert sorted(p.name for p in (out / "candidates").iterdir()) == [f"step{s:06d}" for s in range(1, ended.step)]
    kept = {int(p.name[4:]) for p in (runs.workspace_of(command) / "checkpoints").glob("step*")}
    assert kept <= set(range(1, ended.step))
    before = runs.digests(out)
    runs.finish(command)
    assert runs.digests(out) == before


LATE = """
import math
import asymgrpo.console
import asymgrpo.training.__main__ as command
import asymgrpo.training.trainer as t
score = t.Trainer.score
def late(self, batch, parts):
    scores = score(self, batch, parts)
    if self.engine.updates >= 6 and self.engine.rank == self.engine.world_size - 1:
        scores.entropy.mul_(math.nan)
    return scores
t.Trainer.score = late
asymgrpo.console.run(command.main)
"""
"""`python -m asymgrpo.training`, with an entropy that is spoilt from the fourth step on, on the last rank only."""


def spoilt_late(monkeypatch, folder: Path, model: Path, **train) -> list[str]:
    """The command of such a run of six steps."""
    monkeypatch.setenv("PYTHONPATH", str(folder))
    command = runs.prepare(folder, model, steps=6, evaluate_every=2, rollouts_every=2, **train)
    (folder / "late.py").write_text(LATE)
    return [*command[:3], "-m", "late", *command[5:]]


@pytest.mark.slow
def test_a_run_that_diverges_late_goes_on_from_its_checkpoint_to_the_same_end(tmp_path, model_directory, monkeypatch):
    """Killed before it could say that it is done, and started again."""
    command = spoilt_late(monkeypatch, tmp_path, model_directory)
    runs.finish(command)
    out = runs.out_of(command)
    ended = outcome.read(json.loads((out / "done.json").read_text()))
    assert ended == Diverged(4, "the entropy is not finite in step 4")
    kept = sorted(p.name for p in (runs.workspace_of(command) / "checkpoints").iterdir())
    assert kept[-1] == "step000003", "the last good checkpoint"
    assert [row["step"] for row in of(out, "metrics")] == [1, 2, 3]
    assert sorted(p.name for p in (out / "candidates").iterdir()) == ["step000002"]
    before = runs.digests(out)
    (out / "done.json").unlink()
    assert "diverged: the entropy is not finite in step 4" in runs.finish(command)
    assert runs.digests(out) == before


@pytest.mark.slow
def test_both_ranks_end_where_one_diverges(tmp_path, model_directory, monkeypatch):
    command = spoilt_late(monkeypatch, tmp_path, model_directory, ranks_per_node=2, micro_batch=2, zero_stage=2)
    operation = next(part.split("=", 1)[1] for part in command if part.startswith("--operation="))
    runs.finish(
        [
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
    )
    ended = outcome.read(json.loads((runs.out_of(command) / "done.json").read_text()))
    assert ended == Diverged(4, "the entropy is not finite in step 4 (on rank 1)")
