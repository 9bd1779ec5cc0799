"""docs/pretrained.md: what GRPO and AsymGRPO do to a pretrained model, written from the results of config/smollm2-words.yaml.

python -m evals.report.pretrained_page --results rebuilt --out docs/pretrained.md --images docs/images/smollm2
"""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from evals.cli import run
from evals.io import replace_atomically, write_text
from evals.report.results import Results, read_results
from evals.report.results_page import drawn, figures, table_1
from evals.report.sections import overview

HEAD = """# A pretrained model

Written from `artifacts/smollm2.zip` by `make pages`. The tables and figures alone:

    snakemake tables figures --config artifacts=artifacts/smollm2.zip results=rebuilt

SmolLM2-135M-Instruct learns one addition, subtraction or multiplication in words (`config/smollm2-words.yaml` says how the task
was chosen). The page shows whether everything here works on real weights, text and tokenizer, and whether reward rises; two seeds
and few steps tell nothing about differences between arms.
"""
SHOWN = ("training_curves", "probe_effects", "probe_accuracy")


class Rise(NamedTuple):
    """Mean of a curve over its first and its last third, and the slope of the whole with its standard error, per step."""

    first: float
    last: float
    slope: float
    error: float

    @property
    def is_clear(self) -> bool:
        """Whether the slope lies above 0 by more than two standard errors."""
        return self.slope > 2 * self.error


def rise(curve: NDArray[np.float64]) -> Rise:
    """How a curve [steps >= 3] goes: least squares on the step, residuals taken as independent.

    >>> rise(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    Rise(first=0.5, last=4.5, slope=1.0, error=0.0)
    """
    third, steps = len(curve) // 3, np.arange(len(curve)) - (len(curve) - 1) / 2
    slope = steps @ curve / (steps @ steps)
    residuals = curve - curve.mean() - slope * steps
    error = np.sqrt(residuals @ residuals / (len(curve) - 2) / (steps @ steps))
    return Rise(*(round(float(x), 12) for x in (curve[:third].mean(), curve[-third:].mean(), slope, error)))


def rises(results: Results) -> Iterator[str]:
    """A table of the runs: reward and entropy at both ends, and one sentence."""
    yield "| run | steps | reward (%), first third | last third | slope (points per step) | entropy (nats), first third | last |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    found = []
    for item in results.finished:
        metrics = item.table("metrics")
        reward, entropy = (rise(metrics[name].to_numpy()) for name in ("reward_mean", "entropy"))
        found.append(reward)
        yield (
            f"| {results.name(item)} | {len(metrics)} | {100 * reward.first:.1f} | {100 * reward.last:.1f} "
            f"| {100 * reward.slope:+.2f} ± {100 * reward.error:.2f} | {entropy.first:.2f} | {entropy.last:.2f} |"
        )
    clear = sum(one.is_clear for one in found)
    yield f"\nReward rises by more than two standard errors of its slope in {clear} of {len(found)} runs.\n"


def page(results: Results, images: str) -> str:
    """The whole page; pictures are linked below `images`.

    Raises:
        DataError: a table or figure that the page shows has not been made.
    """
    names = [name for name in drawn(results) if name in SHOWN]
    run_of = "\n".join(f"- **{term}:** {meaning}" for term, meaning in overview(results))
    parts = [HEAD, f"## What was run\n\n{run_of}\n", "## Reward\n", "\n".join(rises(results))]
    parts += ["## Table 1\n", *table_1(results), "## Figures\n", *figures(results, images, names)]
    return "\n".join(parts).rstrip("\n") + "\n"


def main(
    results: Annotated[Path, typer.Option(help="folder of the study's results, with tables and figures")],
    out: Annotated[Path, typer.Option(help="page to write (Markdown)")],
    images: Annotated[Path, typer.Option(help="folder to copy the pictures to")],
) -> None:
    """Write the page of the pretrained model."""
    found = read_results(results)
    text = page(found, Path(os.path.relpath(images, out.parent)).as_posix())
    for name in drawn(found):
        if name in SHOWN:
            replace_atomically(images / f"{name}.png", partial(shutil.copyfile, results / "figures" / f"{name}.png"))
    write_text(text, out)


if __name__ == "__main__":
    run(main)
