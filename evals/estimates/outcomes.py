"""Which training runs of a study diverged, for tables, figures, claims and the report. What one file says is
asymgrpo.study.outcome.

A diverged run has no scores: it is not sampled, whatever candidates it left. Estimates use the runs that finished; tables name
the diverged runs beside them, neither as a missing row nor as a zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from asymgrpo.study.outcome import Diverged, read
from evals.io import DataError, read_metadata

if TYPE_CHECKING:
    import pandas as pd

Lost = Mapping[tuple[str, str], Mapping[int, int]]
"""(model, arm) -> training seed -> the step at which it diverged."""
RUN = ("model", "arm", "train_seed")
AT = "diverged_at"
"""Column: the step at which a run diverged, null if it finished; in tables of arms the list of these steps."""

STEPS = pa.list_(pa.field("element", pa.int32()))
"""Type of that list. The name is the one that Parquet gives it, so that a table has the same hash before and after."""


def outcome_of(where: str | Path, about: Mapping[str, Any]) -> Diverged | None:
    """What a file says of its run's end; None: it finished.

    Raises:
        DataError: the entry is not one of asymgrpo.study.outcome.
    """
    try:
        return read(about)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: its outcome cannot be read ({error}); make it again with this version") from None


def of_files(paths: Iterable[str | Path]) -> dict[tuple[str, str], dict[int, int]]:
    """The diverged runs among Parquet files of one run each (metrics, graded samples).

    Raises:
        DataError: a file is missing, or of a diverged run and does not say of which.
    """
    lost: dict[tuple[str, str], dict[int, int]] = {}
    for path in paths:
        about = read_metadata(path)
        if ended := outcome_of(path, about):
            if missing := [key for key in RUN if key not in about]:
                raise DataError(f"{path}: its metadata lack {', '.join(missing)}; write it with this version")
            lost.setdefault((about["model"], about["arm"]), {})[about["train_seed"]] = ended.step
    return lost


def of_frame(frame: pd.DataFrame) -> dict[tuple[str, str], dict[int, int]]:
    """The diverged runs of a table with a row per run (scores of runs, measures).

    >>> import pandas as pd
    >>> rows = [{"model": "m", "arm": "a", "train_seed": seed, "diverged_at": at} for seed, at in ((0, None), (1, 3))]
    >>> of_frame(pd.DataFrame(rows))
    {('m', 'a'): {1: 3}}
    """
    lost: dict[tuple[str, str], dict[int, int]] = {}
    if AT in frame:
        for row in frame[frame[AT].notna()].sort_values([*RUN]).itertuples():
            lost.setdefault((str(row.model), str(row.arm)), {})[int(row.train_seed)] = int(row.diverged_at)  # type: ignore
    return lost


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that finished."""
    return frame[frame[AT].isna()] if AT in frame else frame


def in_words(n_finished: int, steps: Sequence[int]) -> str:
    """Diverged runs of an arm beside its estimate.

    >>> in_words(1, [3]), in_words(0, [3, 2]), in_words(3, [])
    ('diverged (1 of 2 seeds, step 3)', 'diverged (2 of 2 seeds, steps 2, 3)', '')
    """
    if not len(steps):
        return ""
    distinct = sorted({int(step) for step in steps})
    at = f"step{'s' if len(distinct) > 1 else ''} {', '.join(map(str, distinct))}"
    return f"diverged ({len(steps)} of {n_finished + len(steps)} seeds, {at})"


def sentence(lost: Lost) -> str:
    """All diverged runs in a sentence, empty if there is none.

    >>> sentence({("tiny", "grpo"): {0: 3, 2: 5}})
    'Diverged: GRPO (seed 0 at step 3, seed 2 at step 5).'
    """
    from evals.names import title  # which reads every arm; most tables need none

    models = {model for model, _ in lost}
    parts = []
    for (model, arm), seeds in lost.items():
        at = ", ".join(f"seed {seed} at step {step}" for seed, step in sorted(seeds.items()))
        parts.append(f"{f'{model}: ' if len(models) > 1 else ''}{title(arm)} ({at})")
    return f"Diverged: {'; '.join(parts)}." if parts else ""
