"""Training curves for the page's chart: every run and scalar metric, with few enough points to mail."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asymgrpo.training.metrics import DESCRIPTIONS
from evals.figures.style import look
from evals.names import title
from evals.report.results import Results, RunResults

DIGITS = 4
"""Significant digits of a value on the page; the Parquet files have all of them."""
FIRST = ("entropy", "reward_mean")


def curves(results: Results, points: int) -> dict[str, Any]:
    """{arms, metrics, steps, series}: `series` rows are [metric, arm, model, seed, index into steps, values].

    Args:
        points: longest series; longer ones are averaged over bins of neighbouring steps.
    """
    rows, steps = [], _Distinct()
    found = {run: list(_series(run, points)) for run in results.runs}
    varying = _varying(found.values())
    for run, series in found.items():
        for metric, where, values in series:
            if metric in varying:
                rows.append([metric, run.arm, run.model, run.seed, steps.index(where), [rounded(v) for v in values]])
    names = sorted(varying, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), _place(name), name))
    return {
        "arms": [
            {
                "name": arm,
                "title": title(arm),
                "main": arm in results.study["study"]["arms"],
                **_stroke(arm, results),
            }
            for arm in results.arms
        ],
        "models": results.models,
        "metrics": {name: describe(name) for name in names},
        "constant": sorted({metric for series in found.values() for metric, _, _ in series} - varying),
        "steps": steps.values,
        "series": rows,
    }


def _series(run: RunResults, points: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """(metric, steps, values) without the steps at which it was not measured."""
    metrics = run.table("metrics")
    for name in metrics.column_names:
        if name not in ("step", "updates") and not pa.types.is_list(metrics.schema.field(name).type):
            yield name, *thinned(*_measured(metrics, name), points)
    checks = run.table("eval")
    for name in dict.fromkeys(checks["set"].to_pylist()):
        mine = checks.filter(np.array([found == name for found in checks["set"].to_pylist()]))
        yield f"accuracy: {name}", *thinned(*_measured(mine, "accuracy"), points)


def _measured(table: pa.Table, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.array([np.nan if v is None else v for v in table[name].to_pylist()], float)
    return table["step"].to_numpy().astype(float)[np.isfinite(values)], values[np.isfinite(values)]


def thinned(steps: NDArray[np.float64], values: NDArray[np.float64], points: int) -> tuple[list[float], list[float]]:
    """At most `points` values: means over bins of equally many neighbours, at their mean step.

    >>> thinned(np.array([1.0, 2, 3, 4, 5]), np.array([0.0, 1, 2, 3, 7]), 3)
    ([1.5, 3.5, 5.0], [0.5, 2.5, 7.0])
    >>> thinned(np.array([1.0, 2]), np.array([0.0, 1]), 3)
    ([1.0, 2.0], [0.0, 1.0])
    """
    width = -(-len(steps) // points) or 1
    starts = np.arange(0, len(steps), width)
    if not len(starts):
        return [], []
    sizes = np.diff([*starts, len(steps)])
    return (np.add.reduceat(steps, starts) / sizes).tolist(), (np.add.reduceat(values, starts) / sizes).tolist()


def _varying(found: Any) -> set[str]:
    """Metrics that are not one and the same number everywhere."""
    values: dict[str, set[float]] = {}
    for series in found:
        for name, _, numbers in series:
            values.setdefault(name, set()).update(numbers)
    return {name for name, distinct in values.items() if len(distinct) > 1}


def rounded(value: float) -> float | int:
    """To DIGITS significant digits, whole numbers as such.

    >>> rounded(0.123456), rounded(2.0)
    (0.1235, 2)
    """
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


def describe(name: str) -> str:
    """What a metric is, in words."""
    if name.startswith("accuracy: "):
        return f"avg@n of the candidates on {name.removeprefix('accuracy: ')}, which checkpoint selection looks at"
    return DESCRIPTIONS[name][1] if name in DESCRIPTIONS else ""


def _place(name: str) -> int:
    names = list(DESCRIPTIONS)
    return names.index(name) if name in names else -1


def _stroke(arm: str, results: Results) -> Mapping[str, str]:
    """The colour and dashes that the arm has in the figures, for SVG."""
    style = look(arm, results.arms)
    named = {"solid": "", "dashed": "5 2", "dashdot": "5 2 1 2", "dotted": "1 2"}
    dashes = style["linestyle"]
    return {
        "color": style["color"],
        "dash": named[dashes] if isinstance(dashes, str) else " ".join(str(2 * n) for n in dashes[1]),
    }


class _Distinct:
    """Lists, each stored once."""

    def __init__(self) -> None:
        self.values: list[list[float | int]] = []
        self._known: dict[tuple[float, ...], int] = {}

    def index(self, steps: list[float]) -> int:
        if (key := tuple(steps)) not in self._known:
            self._known[key] = len(self.values)
            self.values.append([rounded(step) for step in steps])
        return self._known[key]
