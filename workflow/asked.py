"""Print the settings that a study asks of one result, for commands by hand:

    python -m workflow.asked results --model tiny --arm grpo --seed 0                       # of the training run
    python -m workflow.asked results --model tiny --arm base --benchmark chain2             # of samples
    python -m workflow.asked results --model tiny --arm base --graded                       # of all graded samples of a run
    python -m workflow.asked results --theory                                               # of the table of the theory
    python -m workflow.asked results --probe --model tiny --seed 0                          # of the probes along one GRPO run

`results` is the folder of results of a study; its config/study.json is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.errors import DataError
from asymgrpo.study import settings
from asymgrpo.study.stored import study_of_results
from evals.cli import run


def main(
    results: Annotated[Path, typer.Argument(help="folder of results of a study")],
    model: Annotated[str, typer.Option(help="name of the model")] = "",
    arm: Annotated[str, typer.Option(help="name of the arm, base, or base@TEMPLATE")] = "",
    seed: Annotated[int, typer.Option(help="training seed; 0 for base")] = 0,
    benchmark: Annotated[str | None, typer.Option(help="print the settings of samples of this benchmark")] = None,
    graded: Annotated[bool, typer.Option(help="print the settings of all graded samples of the run")] = False,
    theory: Annotated[
        bool, typer.Option(help="print the settings of the table of the theory; no model, no arm")
    ] = False,
    probe: Annotated[bool, typer.Option(help="print the settings of the probes along a GRPO run; no arm")] = False,
) -> None:
    """Print the settings of one result as JSON."""
    study = study_of_results(results)
    plan = settings.plan_of(study)
    try:
        if theory:
            found = settings.theory(study)
        elif probe:
            found = settings.probe(study, model, seed)
        else:
            whole = settings.graded(plan, model, arm, seed)
            one = settings.samples(whole, benchmark) if benchmark else whole["source"]
            found = whole if graded else one
    except KeyError as unknown:
        raise DataError(
            f"{results}: its configuration names no {unknown.args[0]!r}; give --model and --arm of a run, or --theory"
        ) from None
    typer.echo(settings.dumps(found))


if __name__ == "__main__":
    run(main, frames=False)
