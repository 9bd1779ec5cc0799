"""`python -m asymgrpo.training`: train one arm with one seed, from a base model directory to metrics and candidate models.

Run it again after any interruption: it continues from its newest whole checkpoint. Exit codes: 0 done, also when the run
diverged, which is a result (asymgrpo/study/outcome.py); 75 stopped by a signal with its state saved (run the same command again);
2 wrong input; 1 anything else.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.console import run
from asymgrpo.training.live import VARIABLE as LIVE_VARIABLE
from asymgrpo.training.live import Live


def main(
    settings: Annotated[
        str, typer.Option(help="JSON or a file with it: all that the results depend on (asymgrpo.study.settings.run).")
    ],
    operation: Annotated[
        str, typer.Option(help="JSON or a file with it: how it is carried out (asymgrpo.study.sections.train).")
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
    from asymgrpo.method.arm import Arm, UserFunction
    from asymgrpo.method.arms import check_arm
    from asymgrpo.method.user_function import check_function
    from asymgrpo.study.config import ConfigError, parse_section
    from asymgrpo.study.sections.train import indivisible
    from asymgrpo.study.settings import loads
    from asymgrpo.training.build import run_training
    from asymgrpo.training.inputs import Inputs
    from asymgrpo.training.time_limit import TimeLimit

    asked = loads(settings)
    train = parse_section("train", asked["train"] | loads(operation))
    if problems_found := indivisible(train, "train"):
        raise ConfigError("\n".join(problems_found))
    arm = Arm.model_validate(asked["arm"])
    check_arm(arm, train.updates_per_rollout, train.group_size)
    if isinstance(arm.advantage, UserFunction):
        check_function(arm.advantage, arm.name, train.group_size)
    sets = dict(item.split("=", 1) for item in evaluate)
    limit = None if stop_after is None else TimeLimit(60 * stop_after - (time.monotonic() - began))
    inputs = Inputs(model, {"train": problems} | {name: Path(file) for name, file in sets.items()})
    inputs.require(asked)
    run_training(arm, train, asked, inputs, checkpoints, out, threads, live, limit, lock_patience)


if __name__ == "__main__":
    run(main)
