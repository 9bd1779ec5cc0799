"""The shell around the trainer: steps, candidates for selection, checkpoints, signals. One `Run` is one arm and one seed."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from asymgrpo.errors import Preempted
from asymgrpo.files import write_json, write_table
from asymgrpo.progress import Progress
from asymgrpo.rollout import Rollout
from asymgrpo.study.outcome import Diverged, DivergedError, read, stated
from asymgrpo.study.sections.train import Train
from asymgrpo.training import checkpoint as ck
from asymgrpo.training.candidates import accuracy, selectable
from asymgrpo.training.results import History, rollout_rows, write_results
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.training.time_limit import TimeLimit
from asymgrpo.training.trainer import Problem, Trainer

SHOWN_STEPS = 10
"""Steps whose token_mult_prob_error is printed."""


class Run:
    """`workspace` holds everything unfinished: resumable checkpoints, candidate models, stored rollouts."""

    def __init__(
        self,
        trainer: Trainer,
        train: Train,
        workspace: Path,
        evaluation_sets: Mapping[str, Sequence[Problem]],
        decode: Callable[[Sequence[int]], str],
        tokenizer: Any,
    ):
        self.trainer, self.train, self.workspace = trainer, train, workspace
        self.evaluation_sets, self.decode, self.tokenizer = evaluation_sets, decode, tokenizer
        self.engine, self.history = trainer.engine, History()
        self.outcome: Diverged | None = None
        self.metadata: dict | None = None  # of the results, once the run is concluded
        self.waiting: list[str] = []  # checkpoint.WAITING
        self.stop_requested = False
        self.time_limit: TimeLimit | None = None
        self.live: Callable[[History], None] | None = None  # asymgrpo.training.live

    def resume(self, warn) -> int:
        """Load the newest whole checkpoint -> the last step done (0: from the beginning, train.steps: nothing is left to do).

        One that is whole and cannot be loaded is named and skipped, too. Raises CheckpointError when no other one can.
        """
        if (concluded := self.workspace / ck.CONCLUDED).exists():
            try:
                told = json.loads(concluded.read_text(encoding="utf-8"))
                self.history, self.outcome, self.metadata = History(**told["history"]), read(told), told["metadata"]
                self.waiting = ck.waiting_for(self.workspace)
                return self.train.steps
            except (OSError, ValueError, KeyError, TypeError) as error:
                warn(
                    f"{concluded} is skipped, it cannot be read ({error}); the run continues from its last checkpoint."
                )
                self.history, self.outcome, self.metadata = History(), None, None
        folder = self.workspace / "checkpoints"
        failure: ck.CheckpointError | None = None
        for directory, info in ck.whole_ones(folder, self.engine.world_size, warn):
            try:
                self.load(directory)
            except ck.CheckpointError as error:
                failure = error
                if self.engine.world_size > 1:  # the others may have loaded theirs
                    break
                warn(f"checkpoint {directory.name} is skipped: {error}")
                continue
            self.trainer.sampler.update_weights(self.engine.weights())
            return info["step"]
        if failure:
            # The engine may hold half of what could not be loaded.
            raise ck.CheckpointError(
                f"{failure}; use the versions that wrote it, or delete it to continue from an older one (without any, from the "
                "beginning)."
            ) from failure
        self.trainer.sampler.update_weights(self.engine.weights())
        return 0

    def load(self, checkpoint: Path) -> None:
        """Engine, history, entropy coefficient and spent tokens of a checkpoint. Raises CheckpointError."""
        self.engine.load_state(checkpoint / "engine")
        try:
            state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
            self.history, self.trainer.entropy_coef = History(**state["history"]), state["entropy_coef"]
            self.trainer.sampled_tokens = sum(row["sampled_tokens"] for row in self.history.metrics)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ck.CheckpointError(f"{checkpoint} cannot be loaded (state.json: {error})") from error

    def train_to_the_end(self, first: int, progress: Progress) -> None:
        """`train_steps` until the run finishes or diverges, which `outcome` then tells. Raises Preempted after a signal."""
        try:
            self.train_steps(first, progress)
        except DivergedError as error:
            self.outcome = error.outcome
            self.forget_from(self.outcome.step)

    def forget_from(self, step: int) -> None:
        """Leave nothing of a step that could not be completed, nor of later ones: rows, candidates, rollouts."""
        for rows in (self.history.metrics, self.history.timings, self.history.evaluations):
            rows[:] = [row for row in rows if row["step"] < step]
        if self.engine.rank == 0:
            for path in ck.all_steps(self.workspace / "candidates"):
                if ck.step_of(path) >= step:
                    shutil.rmtree(path)
            for path in (self.workspace / "rollouts").glob("step*.parquet"):
                if int(path.stem.removeprefix("step")) >= step:
                    path.unlink()
        self.engine.barrier()

    def train_steps(self, first: int, progress: Progress) -> None:
        """Steps from `first` to the last, with candidates and checkpoints on their way.

        Raises:
            Preempted: after a signal. DivergedError: a number is not finite; the last good checkpoint stays.
        """
        for step in range(first, self.train.steps + 1):
            clock, began = Stopwatch(), time.monotonic()
            row, groups, rewards = self.trainer.step(step, clock)
            self.history.metrics.append(row)
            self.show_mismatch(step, row["token_mult_prob_error"])
            if step % self.train.rollouts_every == 0 or step == 1:
                self.store_rollouts(step, groups, rewards)
            last = self.is_last(step)
            if step % self.train.evaluate_every == 0 or last:
                with clock("evaluate"):
                    self.candidate(step)
            stop = self.stop_wanted(time.monotonic() - began)
            self.history.timings.append({**clock.row(step), "response_tokens": row["sampled_tokens"]})
            if not last and (stop or step % self.train.checkpoint_every == 0):
                self.save(step)
            if self.live:
                self.live(self.history)
            progress.update(reward=row["reward_mean"], entropy=row["entropy"])
            if last:
                return
            if stop:
                raise Preempted(
                    f"stopped after step {step} of {self.train.steps}; the same command continues from there."
                )

    def is_last(self, step: int) -> bool:
        """Whether the run ends with this step: it was planned so, or the step reached train.token_budget."""
        budget, sampled = self.train.token_budget, self.trainer.sampled_tokens
        spent = budget is not None and sampled >= budget
        if spent and self.engine.rank == 0:
            print(
                f"the run ends with step {step} of {self.train.steps}: {sampled} response tokens were sampled, of "
                f"train.token_budget = {budget}",
                file=sys.stderr,
            )
        return spent or step == self.train.steps

    def show_mismatch(self, step: int, error: float) -> None:
        """The first steps say how far sampler and trainer are apart: what is wrong in a new place shows there."""
        if self.engine.rank == 0 and step <= SHOWN_STEPS:
            gate = self.train.mismatch_gate
            limit = "not gated" if gate is None else f"train.mismatch_gate {gate:g}"
            print(f"step {step}: token_mult_prob_error {error:.6f} ({limit})", file=sys.stderr)

    def candidate(self, step: int) -> None:
        """Keep this step's model and measure it on the sets that checkpoint selection may look at."""
        target = self.workspace / "candidates" / f"step{step:06d}"
        with self.staged(target) as staging:
            self.engine.save_pretrained(staging)
            if self.engine.rank == 0:
                self.tokenizer.save_pretrained(staging)
            self.seal(staging, target, {"step": step})
        for name, problems in self.evaluation_sets.items():
            value = accuracy(self.trainer, problems, name, step)
            self.history.evaluations.append(
                {
                    "step": step,
                    "set": name,
                    "n_problems": len(problems),
                    "n_samples": self.train.evaluate_samples,
                    "accuracy": value,
                }
            )

    def save(self, step: int) -> None:
        """Write a resumable checkpoint, then forget the oldest."""
        folder = self.workspace / "checkpoints"
        target = folder / f"step{step:06d}"
        with self.staged(target) as staging:
            self.engine.save_state(staging / "engine")
            if self.engine.rank == 0:
                state = {"history": vars(self.history), "entropy_coef": self.trainer.entropy_coef}
                (staging / "state.json").write_text(json.dumps(state), encoding="utf-8")
            self.seal(staging, target, {"step": step, "world_size": self.engine.world_size})
        if self.engine.rank == 0:
            ck.prune(folder, self.train.keep_checkpoints)
            # Up to the oldest step from which the run may resume: later ones, done again on a GPU, are not the same to the bit.
            for old in self.unselectable(until=min(ck.step_of(path) for path in ck.all_steps(folder))):
                shutil.rmtree(old)
        self.engine.barrier()

    def seal(self, staging: Path, target: Path, info: Mapping[str, Any]) -> None:
        """Turn what all ranks wrote into `staging` into `target`, with the sum of every file; call on all ranks."""
        self.engine.barrier()
        parts = self.engine.gather_objects(ck.checksums(staging, self.engine.rank, self.engine.world_size))
        if self.engine.rank == 0:
            ck.seal(staging, target, info, {name: digest for part in parts for name, digest in part.items()})

    @contextmanager
    def staged(self, target: Path) -> Iterator[Path]:
        """A folder beside `target` for all ranks to write into; rank 0 moves it. What a failure leaves there is deleted.

        Raises CheckpointError when the disk takes no more.
        """
        staging = target.with_name(f".staging-{target.name}")
        with ck.writing(target):
            if self.engine.rank == 0:
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir(parents=True)
            self.engine.barrier()
            try:
                yield staging
            finally:
                if self.engine.rank == 0:
                    shutil.rmtree(staging, ignore_errors=True)

    def unselectable(self, until: int) -> list[Path]:
        """Candidates up to a step that no selection rule can choose any more, if the configuration wants them gone."""
        if self.train.candidates == "all":
            return []
        keep = selectable(self.history.evaluations, until)
        candidates = ck.all_steps(self.workspace / "candidates")
        return [path for path in candidates if ck.step_of(path) <= until and ck.step_of(path) not in keep]

    def store_rollouts(self, step: int, groups: Sequence[Sequence[Rollout]], rewards: np.ndarray) -> None:
        """This step's rollouts as text, for reading."""
        rows = rollout_rows(step, groups, rewards, self.decode)
        gathered = [row for part in self.engine.gather_objects(rows) for row in part]
        if self.engine.rank == 0:
            path = self.workspace / "rollouts" / f"step{step:06d}.parquet"
            with ck.writing(path):
                write_table(pa.Table.from_pylist(gathered), path, {})

    def install_signal_handlers(self) -> None:
        """SIGTERM and SIGUSR1 (preemption, time limit) stop the run at the next step boundary."""

        def request_stop(*_) -> None:
            self.stop_requested = True

        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, request_stop)

    def stop_wanted(self, seconds: float) -> bool:
        """Whether any rank was asked to stop or runs out of time, after a step of so many seconds.

        All must agree, or they would wait for each other.
        """
        no_time = self.time_limit is not None and not self.time_limit.allows_another(seconds)
        return any(self.engine.gather_objects(self.stop_requested or no_time))

    def conclude(self, out: Path, metadata: dict) -> None:
        """Write down that no step is left, with all that the results say: a repeated job publishes them again and trains nothing.

        `out` waits for them until it has them for good. `metadata` says which code trained; of a run that was concluded before it
        stays what it was then.
        """
        if self.metadata is None or ck.place_of(out) not in self.waiting:
            self.metadata = metadata if self.metadata is None else self.metadata
            self.waiting = sorted({*self.waiting, ck.place_of(out)})
            told = {"history": vars(self.history), "metadata": self.metadata, ck.WAITING: self.waiting}
            write_json(told | stated(self.outcome), self.workspace / ck.CONCLUDED)

    def publish(self, out: Path, metadata: dict) -> None:
        """Turn the workspace into the declared outputs; done.json comes last, and then the checkpoints go.

        What the outputs are made of stays, linked, until they are accepted (checkpoint.forget): Snakemake deletes outputs that it
        refuses, for a skewed clock or a slow file system. Of a diverged run the last good checkpoint stays too.
        """
        self.conclude(out, metadata)
        leave = [path.name for path in self.unselectable(until=self.train.steps)]
        write_results(self.workspace, out, self.history, self.outcome, self.metadata or metadata, leave)
        if not self.outcome:
            shutil.rmtree(self.workspace / "checkpoints", ignore_errors=True)
