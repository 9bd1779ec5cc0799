"""Everything that is measured in one state, as rows of one table (docs/probe.md says what each part holds)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asymgrpo.probe.first_order import Row, linear_rows, over_prompts, sources
from asymgrpo.probe.held_out import changes, levels
from asymgrpo.probe.responses import respond
from asymgrpo.probe.steps import engine_state, real_steps
from asymgrpo.seeds import prompt_order
from asymgrpo.study.sections.probe import Probe
from asymgrpo.training.dynamic import Problem
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.training.trainer import Trainer

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Probes:
    """What the probes of all states of a trajectory share."""

    trainers: Mapping[str, Trainer]
    """Arm -> its trainer; all have one engine and one sampler."""
    reference: str
    """The arm of the trajectory, which steps are scaled to."""
    probe: Probe
    others: Sequence[Problem]
    """Problems that are not trained on."""
    scratch: Path
    """Folder of temporary files."""

    @property
    def trainer(self) -> Trainer:
        return self.trainers[self.reference]

    def rows(self, checkpoint: Path, step: int) -> Iterator[Row]:
        """Rows of the state after `step`, which the checkpoint holds and whose weights the sampler has. The engine ends in it."""
        for number in range(self.probe.batches):
            for row in self.of_batch(checkpoint, step + 1 + number):
                yield {"batch": number} | row

    def of_batch(self, checkpoint: Path, step: int) -> Iterator[Row]:
        """Rows of the batch of a step, sampled in this state: with the next step it is the batch that the run goes on with."""
        trainer, probe = self.trainer, self.probe
        engine, restore = trainer.engine, engine_state(trainer.engine, checkpoint)
        restore()
        drawn = trainer.sample(trainer.draw(step), step, Stopwatch())
        accuracy = drawn.rewards.double().mean(dim=1).numpy()
        held = {"own": respond(trainer, drawn.problems, probe.responses, "own", step)}
        if probe.prompts:
            number = min(probe.prompts, len(self.others))
            order = prompt_order(trainer.run_seed, step, number, len(self.others))
            held["other"] = respond(trainer, [self.others[i] for i in order], probe.responses, "other", step)
        before = {name: responses.scores(engine.score, engine.device) for name, responses in held.items()}
        for name, responses in held.items():
            of_prompt = accuracy if name == "own" else None
            for quantity, values in levels(responses.facts, before[name]).items():
                yield from over_prompts({"part": "before", "prompts": name, "quantity": quantity}, values, of_prompt)
        if probe.linear_prompts:
            found = sources(trainer, drawn, min(probe.linear_prompts, len(accuracy)), held, before, self.scratch)
            yield from linear_rows(self.trainers, self.reference, drawn, step, found, accuracy)
        for made in real_steps(self.trainers, self.reference, drawn, step, restore, held):
            about: Row = {"part": "step", "arm": made.arm, "scale": made.scale}
            yield about | {"quantity": "norm", "value": made.norm}
            yield about | {"quantity": "own_norm", "value": made.own}
            for name, after in made.after.items():
                of_prompt = accuracy if name == "own" else None
                for quantity, values in changes(held[name].facts, before[name], after).items():
                    yield from over_prompts(about | {"prompts": name, "quantity": quantity}, values, of_prompt)


def as_table(rows: Iterable[Row]) -> pa.Table:
    """Rows as a table of one layout; what a row does not have is null."""
    import pyarrow as pa

    fields = [("batch", pa.int32()), *((name, pa.string()) for name in ("part", "arm", "scale", "prompts", "quantity"))]
    fields += [("prompt", pa.int32()), ("channel", pa.string()), ("other_prompt", pa.int32())]
    fields += [("other_channel", pa.string()), ("accuracy", pa.float64()), ("value", pa.float64())]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
