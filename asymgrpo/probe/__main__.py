"""`asymgrpo probe`: in the states of one GRPO run every arm makes one update, and held-out responses are scored again.

    python -m asymgrpo.probe --settings probe.json --model BASE --problems train.parquet --held-out validation.parquet
        --checkpoints checkpoints --out seed0.parquet

Run it again after any interruption: states that are there and good are kept. docs/probe.md says what the table holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asymgrpo.console import run


def main(
    settings: Annotated[str, typer.Option(help="JSON or a file with it (asymgrpo.study.settings.probe).")],
    model: Annotated[Path, typer.Option(help="Directory of the base model.")],
    problems: Annotated[Path, typer.Option(help="Training problems (Parquet).")],
    held_out: Annotated[Path, typer.Option(help="Problems that are not trained on (Parquet).")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of resumable checkpoints.")],
    out: Annotated[
        Path, typer.Option(help="Table of the trajectory (Parquet); its states lie in a folder of that name.")
    ],
    threads: Annotated[int, typer.Option(help="CPU threads of this process.")] = 1,
) -> None:
    """Probe the states of one GRPO run."""
    from asymgrpo.probe.build import probe_trajectory
    from asymgrpo.study.settings import loads

    probe_trajectory(loads(settings), model, {"train": problems, "validation": held_out}, checkpoints, out, threads)


if __name__ == "__main__":
    run(main)
