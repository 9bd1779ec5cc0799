"""A training run is wired here: model, engine, sampler, grader and trainer, then resumed, trained and published."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS
from asymgrpo.training.inputs import Inputs, longest_sequence, read_problems, run_identity
from asymgrpo.training.live import Live

if TYPE_CHECKING:
    from asymgrpo.method.arm import Arm
    from asymgrpo.rollout import Rollout
    from asymgrpo.study.sections.train import Train
    from asymgrpo.study.settings import Settings
    from asymgrpo.training.time_limit import TimeLimit
    from asymgrpo.verifier import Verdict


def run_training(
    arm: Arm,
    train: Train,
    asked: Settings,
    inputs: Inputs,
    checkpoints: Path,
    out: Path,
    threads: int,
    live: Live,
    time_limit: TimeLimit | None,
    lock_patience: float,
) -> None:
    """Build the parts, resume if there is something to resume, train, publish."""
    import torch

    from asymgrpo.devices import own_device
    from asymgrpo.files import write_json
    from asymgrpo.lean import arrow_alone, transformers_alone
    from asymgrpo.models.checks import check_model
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model
    from asymgrpo.progress import Progress
    from asymgrpo.provenance import provenance
    from asymgrpo.training import checkpoint as ck
    from asymgrpo.training.engine import Engine, naming_lost_ranks, start_process_group
    from asymgrpo.training.live import open_live
    from asymgrpo.training.rendezvous import RendezvousError
    from asymgrpo.training.run import Run
    from asymgrpo.training.trainer import Trainer

    own_device()  # refuses here if it must
    transformers_alone()
    arrow_alone()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    rank, world_size = start_process_group()
    if world_size != train.world_size:
        raise RendezvousError(
            f"train: nodes x ranks_per_node = {train.nodes} x {train.ranks_per_node}, but the number of ranks started is "
            f"{world_size}; start {train.world_size} by torchrun or srun, as python -m workflow.slurm.launch does."
        )
    model, template, seed = inputs.model, asked["template"], asked["seed"]
    check_model(model, template, train.rollout_engine)
    tokenizer = load_tokenizer(model)
    identity = run_identity(arm, train, asked, model, list(inputs.problems.values()))
    inputs.require_whole(identity["model_sha256"])
    problems = dict(inputs.problems)
    training_set = read_problems(problems.pop("train"), template, tokenizer, train.max_prompt_tokens)
    sets = {name: read_problems(path, template, tokenizer, None) for name, path in problems.items()}
    engine = Engine(load_model(model, train.dtype), train, micro_batches_per_update(train))
    longest = longest_sequence(train, training_set, sets.values(), engine.hf_config.max_position_embeddings)
    reference = reference_policy(arm, train, model, engine.device)
    sampler = sampler_of(train, model, engine, tokenizer, longest)
    trainer = Trainer(
        arm, train, engine, sampler, make_grader(tokenizer, workers=threads), training_set, seed, reference
    )
    workspace = ck.workspace_of(checkpoints, asked["model"], arm.name, seed, identity["sha256"])
    run = Run(
        trainer,
        train,
        workspace,
        sets,
        lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
        tokenizer,
    )
    run.install_signal_handlers()
    run.time_limit = time_limit
    with ck.exclusive(workspace, lock_patience, _say) if rank == 0 else _nothing(), naming_lost_ranks():
        engine.barrier()  # no rank looks for checkpoints before the lock is held
        done = run.resume(_say)
        run.live = open_live(live, workspace, _say) if rank == 0 else None
        progress = Progress(f"{arm.name} seed {seed}", train.steps, done, enabled=rank == 0)
        run.train_to_the_end(done + 1, progress)
        progress.close()
        if rank == 0:
            if run.outcome:
                _say(f"{arm.name} seed {seed} diverged: {run.outcome.reason}; this is its result")
            with ck.writing(out):
                write_json(conventions_of(arm, train), out / "conventions.json")
                run.publish(out, identity | provenance())
        engine.barrier()
    torch.distributed.destroy_process_group()


def micro_batches_per_update(train: Train) -> int:
    """On one rank; the most that there can be, where lengths decide it (train.micro_batch_tokens)."""
    sequences = train.prompts_per_step * train.group_size // (train.updates_per_rollout * train.world_size)
    return sequences // (train.micro_batch if train.micro_batch_tokens is None else 1)


def conventions_of(arm: Arm, train: Train) -> dict[str, Any]:
    """The listing of `python -m asymgrpo.method`, with the training section that all arms share."""
    from asymgrpo.method.conventions import describe

    return {"arm": describe(arm), "train": train.model_dump(mode="json", exclude=set(NO_EFFECT_ON_RESULTS))}


def make_grader(tokenizer, workers: int) -> Callable[[Sequence[Rollout], Sequence[str]], list[Verdict]]:
    """Verdicts by the grader that evaluation uses, from `workers` processes."""
    from asymgrpo.verifier import grade_many, was_cut

    def grade(rollouts: Sequence[Rollout], reference_answers: Sequence[str]) -> list[Verdict]:
        texts = tokenizer.batch_decode([list(r.response_ids) for r in rollouts], skip_special_tokens=True)
        cut = [was_cut(r.finish_reason) for r in rollouts]
        return grade_many(zip(texts, reference_answers, cut, strict=True), workers=workers)

    return grade


def sampler_of(train: Train, model: Path, engine, tokenizer, longest: int):
    """The rollout engine that the configuration names, on the trainer's weights, for sequences of `longest` tokens."""
    from asymgrpo.rollout.base import Limits
    from asymgrpo.rollout.samplers import make_sampler

    limits = Limits(
        longest, train.engine_memory_fraction, train.verify_weights_every or 0, sleeps=True, head_dtype=train.head_dtype
    )
    return make_sampler(train.rollout_engine, model, engine.hf_config, engine.weights(), tokenizer, train.dtype, limits)


def reference_policy(arm: Arm, train: Train, model: Path, device):
    """The frozen base model, only for arms with a KL penalty."""
    from asymgrpo.models.load import load_model
    from asymgrpo.training.policy import Policy

    if arm.kl_coef == 0:
        return None
    return (
        Policy(load_model(model, train.dtype), train.temperature, train.logits_chunk, train.head_dtype)
        .to(device)
        .requires_grad_(False)
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _nothing():
    from contextlib import nullcontext

    return nullcontext()
