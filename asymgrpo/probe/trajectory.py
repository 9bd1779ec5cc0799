"""One trajectory: the reference arm trains on, and in every state that is asked for and not there yet, probes are made."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable

from asymgrpo.probe.measure import Probes
from asymgrpo.probe.states import States
from asymgrpo.progress import Progress
from asymgrpo.provenance import provenance
from asymgrpo.study.outcome import DivergedError
from asymgrpo.training import checkpoint as ck
from asymgrpo.training.run import Run
from asymgrpo.training.stopwatch import Stopwatch


def say(text: str) -> None:
    print(text, file=sys.stderr)


def follow(run: Run, probes: Probes, states: States, steps: Iterable[int]) -> list[int]:
    """Make the states that are missing -> all states that there are; a trajectory that diverges has none from there on.

    The trajectory is the run that a study trains with this arm and seed, step by step, without its candidates. A checkpoint is
    written in each state, before its probes, and only the newest is kept: a job that was killed goes on from there.
    """
    wanted = sorted(steps)
    missing = states.missing(wanted, say)
    if missing:
        done = resume(run, missing[0])
        progress = Progress(f"probes of seed {probes.trainer.run_seed}", missing[-1], done)
        try:
            while missing:
                done = train_until(run, done, missing[0], progress.update)
                checkpoint = run.workspace / "checkpoints" / f"step{done:06d}"
                states.write(done, probes.rows(checkpoint, done), provenance())
                missing.pop(0)
        except DivergedError as error:
            say(f"the trajectory ends: {error}; states from there on do not exist.")
        progress.close()
    return [step for step in wanted if states.fault(step) is None]


def resume(run: Run, first: int) -> int:
    """Load the newest checkpoint that is not later than the first missing state -> its step; 0: from the beginning."""
    folder = run.workspace / "checkpoints"
    for later in ck.all_steps(folder):
        if ck.step_of(later) > first:
            shutil.rmtree(later)
    return run.resume(say)


def train_until(run: Run, done: int, step: int, tell: Callable[[], None]) -> int:
    """Train from the step `done` to `step`, and write a checkpoint there unless that is where it was loaded."""
    for now in range(done + 1, step + 1):
        run.trainer.step(now, Stopwatch())
        tell()
    if done < step:
        run.save(step)
    return step
