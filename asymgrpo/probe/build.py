"""The probes of one trajectory are wired here: model, engine, sampler and grader of training, and a trainer for every arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.errors import DataError, InputError
from asymgrpo.study.settings import Settings

if TYPE_CHECKING:
    from asymgrpo.method.arm import Arm
    from asymgrpo.study.sections.probe import Probe
    from asymgrpo.study.sections.train import Train

OPERATION: dict[str, Any] = {
    **{"steps": 1, "evaluate_every": 1, "evaluate_samples": 1, "evaluate_temperature": 1.0, "evaluate_max_tokens": 1},
    **{
        "displacement_every": 10**9,
        "rollouts_every": 1,
        "checkpoint_every": 1,
        "keep_checkpoints": 1,
        "candidates": "all",
    },
    **{"token_budget": None, "verify_weights_every": None, "nodes": 1, "ranks_per_node": 1},
}
"""Fields of `train` that are no matter of a trajectory's states, with values that a probe is carried out with."""


def read(asked: Settings) -> tuple[Train, Probe, dict[str, Arm]]:
    """The section `train`, the section `probe` and the arms, the trajectory's first. Raises InputError."""
    from asymgrpo.method.arm import Arm
    from asymgrpo.study.config import parse_section

    if asked.get("of") != "probe" or (missing := {"arm", "arms", "train", "probe", "states"} - asked.keys()):
        told = f"{sorted(missing)[0]} is missing" if asked.get("of") == "probe" else "they are not those of a probe"
        raise InputError(f"--settings: {told}; `asymgrpo settings RESULTS --probe --model NAME --seed N` prints them.")
    train = parse_section("train", OPERATION | asked["train"])
    probe = parse_section("probe", asked["probe"] | {"states": asked["states"], "seeds": [asked["seed"]], "arms": []})
    reference = Arm.model_validate(asked["arm"])
    others = {name: Arm.model_validate(fields) for name, fields in asked["arms"].items()}
    return train, probe, {reference.name: reference} | others


def probe_trajectory(
    asked: Settings, model: Path, problems: Mapping[str, Path], checkpoints: Path, out: Path, threads: int
) -> None:
    """Build the parts, follow the trajectory through its states, write its table.

    problems: `train`, and `validation`, of which responses are held out.
    """
    import torch

    from asymgrpo.devices import own_device
    from asymgrpo.lean import arrow_alone, transformers_alone
    from asymgrpo.models.checks import check_model
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model
    from asymgrpo.probe.measure import Probes
    from asymgrpo.probe.states import States
    from asymgrpo.probe.trajectory import follow, say
    from asymgrpo.training import checkpoint as ck
    from asymgrpo.training.build import make_grader, micro_batches_per_update, reference_policy, sampler_of
    from asymgrpo.training.engine import Engine, start_process_group
    from asymgrpo.training.inputs import Inputs, longest_sequence, read_problems, run_identity
    from asymgrpo.training.run import Run
    from asymgrpo.training.trainer import Trainer

    train, probe, arms = read(asked)
    inputs = Inputs(model, problems)
    inputs.require(asked)
    own_device()
    transformers_alone()
    arrow_alone()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    check_model(model, asked["template"], train.rollout_engine)
    tokenizer = load_tokenizer(model)
    reference = next(iter(arms))
    identity = run_identity(arms[reference], train, asked, model, list(problems.values()))
    inputs.require_whole(identity["model_sha256"])
    trained, others = (
        read_problems(problems[name], asked["template"], tokenizer, train.max_prompt_tokens)
        for name in ("train", "validation")
    )
    start_process_group()
    engine = Engine(load_model(model, train.dtype), train, micro_batches_per_update(train))
    longest = longest_sequence(train, trained, [others], engine.hf_config.max_position_embeddings)
    sampler = sampler_of(train, model, engine, tokenizer, longest)
    grade = make_grader(tokenizer, workers=threads)
    trainers = {
        name: Trainer(
            arm,
            train,
            engine,
            sampler,
            grade,
            trained,
            asked["seed"],
            reference_policy(arm, train, model, engine.device),
        )
        for name, arm in arms.items()
    }
    workspace = ck.workspace_of(checkpoints, asked["model"], f"probe-{reference}", asked["seed"], identity["sha256"])
    run = Run(trainers[reference], train, workspace, {}, lambda ids: str(tokenizer.decode(list(ids))), tokenizer)
    of_state = {key: value for key, value in asked.items() if key != "states"}
    states = States(out, {"settings": of_state, "identity": identity["sha256"]})
    with ck.exclusive(workspace, 300, say):
        probes = Probes(trainers, reference, probe, others, workspace)
        done = follow(run, probes, states, probe.states)
        if not done:
            raise DataError(
                f"{out}: the trajectory diverged before its first state, so that there is nothing to probe."
            )
        states.join(done, states=asked["states"])
    torch.distributed.destroy_process_group()
