"""`python -m asymgrpo.training`: train one arm with one seed, from a base model directory to metrics and candidate models.

Run it again after any interruption: it continues from its newest whole checkpoint. Exit codes: 0 done, also when the run
diverged, which is a result (asymgrpo/study/outcome.py); 75 stopped by a signal with its state saved (run the same command again);
2 wrong input; 1 anything else.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asymgrpo.study.config import NO_EFFECT_ON_RESULTS
from asymgrpo.training.live import VARIABLE as LIVE_VARIABLE
from asymgrpo.training.live import Live

if TYPE_CHECKING:
    from asymgrpo.method.arm import Arm
    from asymgrpo.rollout import Rollout
    from asymgrpo.study.config import Train
    from asymgrpo.study.settings import Settings
    from asymgrpo.training.time_limit import TimeLimit
    from asymgrpo.training.trainer import Problem
    from asymgrpo.verifier import Verdict


def main(
    settings: Annotated[
        str, typer.Option(help="JSON or a file with it: all that the results depend on (asymgrpo.study.settings.run).")
    ],
    operation: Annotated[
        str, typer.Option(help="JSON or a file with it: how it is carried out (config.NO_EFFECT_ON_RESULTS).")
    ],
    model: Annotated[Path, typer.Option(help="Directory of the base model.")],
    problems: Annotated[Path, typer.Option(help="Training problems (Parquet).")],
    evaluate: Annotated[list[str], typer.Option(help="NAME=FILE: sets that checkpoint selection may look at.")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of resumable checkpoints of all runs.")],
    out: Annotated[Path, typer.Option(help="Folder of this run's results.")],
    threads: Annotated[int, typer.Option(help="CPU threads of this process.")] = 1,
    stop_after: Annotated[
        float | None,
        typer.Option(help="Minutes: save and stop (exit code 75) before they are over; for jobs with a time limit."),
    ] = None,
    lock_patience: Annotated[float, typer.Option(help="Seconds to wait for another job that holds this run.")] = 300,
    live: Annotated[
        Live, typer.Option(envvar=LIVE_VARIABLE, help="Curves while it runs; no effect on results.")
    ] = Live.tensorboard,
) -> None:
    began = time.monotonic()
    from asymgrpo.method.arm import Arm
    from asymgrpo.method.arms import check_arm
    from asymgrpo.study.config import ConfigError, indivisible, parse_section
    from asymgrpo.study.settings import loads
    from asymgrpo.training.time_limit import TimeLimit

    asked = loads(settings)
    train = parse_section("train", asked["train"] | loads(operation))
    if problems_found := indivisible(train, "train"):
        raise ConfigError("\n".join(problems_found))
    arm = Arm.model_validate(asked["arm"])
    check_arm(arm, train.updates_per_rollout)
    sets = dict(item.split("=", 1) for item in evaluate)
    limit = None if stop_after is None else TimeLimit(60 * stop_after - (time.monotonic() - began))
    inputs = Inputs(model, {"train": problems} | {name: Path(file) for name, file in sets.items()})
    inputs.require(asked)
    run_training(arm, train, asked, inputs, checkpoints, out, threads, live, limit, lock_patience)


@dataclass(frozen=True)
class Inputs:
    """The files that a run is trained from."""

    model: Path
    problems: Mapping[str, Path]
    """`train`, then the sets that checkpoint selection may look at, in their order."""

    def require(self, asked: Settings) -> None:
        """Refuse a base model or problems that were made with other settings than the run's. Raises SettingsError."""
        from asymgrpo.models.load import MANIFEST, read_manifest
        from asymgrpo.study.settings import require, stated

        if (self.model / MANIFEST).exists():
            told = read_manifest(self.model, verify=False).get("settings")
            require(told, asked["base"], self.model, "make it again: snakemake --forcerun base_model")
        for name, path in self.problems.items():
            require(stated(path), asked["problems"][name], path, "make it again: snakemake --forcerun problems")

    def require_whole(self, weights_sha256: Mapping[str, str]) -> None:
        """Refuse a base model whose files are not those of its manifest, by their sha256. Raises ModelError."""
        from asymgrpo.models.load import MANIFEST, check_files, read_manifest

        if (self.model / MANIFEST).exists():
            check_files(self.model, read_manifest(self.model, verify=False), weights_sha256)


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


def run_identity(arm: Arm, train: Train, asked: Settings, model: Path, data: Sequence[Path]) -> dict[str, Any]:
    """Everything that this run's results depend on, by content, and its hash; with it the settings that were asked for."""
    from asymgrpo.files import sha256_file

    identity = {
        "arm": arm.name,
        "arm_fields": arm.settings(),
        "train": train.model_dump(mode="json", exclude=set(NO_EFFECT_ON_RESULTS)),
        "model": asked["model"],
        "model_sha256": {path.name: sha256_file(path) for path in sorted(model.glob("*.safetensors"))},
        "data_sha256": [sha256_file(path) for path in data],
        "template": asked["template"],
        "train_seed": asked["seed"],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return identity | {"sha256": digest, "settings": asked}


def conventions_of(arm: Arm, train: Train) -> dict[str, Any]:
    """The listing of `python -m asymgrpo.method`, with the training section that all arms share."""
    from asymgrpo.method.conventions import describe

    return {"arm": describe(arm), "train": train.model_dump(mode="json", exclude=set(NO_EFFECT_ON_RESULTS))}


def read_problems(path: Path, template: str, tokenizer, max_tokens: int | None) -> list[Problem]:
    """Problems with their rendered prompts as tokens; those longer than max_tokens are left out, and it is said how many.

    Raises ConfigError when none is left.
    """
    from asymgrpo.study.config import ConfigError
    from asymgrpo.tasks import table
    from asymgrpo.tasks.prompts import render
    from asymgrpo.training.trainer import Problem

    found = [
        Problem(
            row["problem_id"],
            tuple(tokenizer(render(template, row["problem"], tokenizer), add_special_tokens=False)["input_ids"]),
            row["answer"],
        )
        for row in table.read_problems(path)
    ]
    kept = [p for p in found if max_tokens is None or len(p.prompt_ids) <= max_tokens]
    if not kept:
        shortest = min(len(p.prompt_ids) for p in found)
        raise ConfigError(
            f"{path}: none of {len(found)} prompts has at most train.max_prompt_tokens = {max_tokens} tokens (the shortest has "
            f"{shortest}); raise it."
        )
    if len(kept) < len(found):
        print(
            f"{path}: {len(found) - len(kept)} of {len(found)} prompts exceed max_prompt_tokens and are left out",
            file=sys.stderr,
        )
    return kept


def make_grader(tokenizer, workers: int) -> Callable[[Sequence[Rollout], Sequence[str]], list[Verdict]]:
    """Verdicts by the grader that evaluation uses, from `workers` processes."""
    from asymgrpo.verifier import grade_many, was_cut

    def grade(rollouts: Sequence[Rollout], reference_answers: Sequence[str]) -> list[Verdict]:
        texts = tokenizer.batch_decode([list(r.response_ids) for r in rollouts], skip_special_tokens=True)
        cut = [was_cut(r.finish_reason) for r in rollouts]
        return grade_many(zip(texts, reference_answers, cut, strict=True), workers=workers)

    return grade


def longest_sequence(
    train: Train, training_set: Sequence[Problem], sets: Iterable[Sequence[Problem]], positions: int
) -> int:
    """Tokens of the longest prompt and response together. Raises ConfigError when the model has fewer positions."""
    from asymgrpo.study.config import ConfigError

    training = max((len(p.prompt_ids) for p in training_set), default=0) + train.max_tokens
    measuring = max((len(p.prompt_ids) for s in sets for p in s), default=0) + train.evaluate_max_tokens
    longest = max(training, measuring)
    if longest > positions:
        raise ConfigError(
            f"train: the longest prompt and response together are {longest} tokens, the model has {positions} positions; lower "
            "train.max_tokens, train.evaluate_max_tokens or train.max_prompt_tokens."
        )
    return longest


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
