"""Two evaluations of the same checkpoints on the same problems: changed texts, flipped verdicts, difference of scores."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evals.grade import KEY
from evals.io import DataError

ALL = "all"
"""Of the rows over all benchmarks: every sample counts once."""
SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("n_samples", pa.int64()),
        ("n_texts", pa.int64()),  # samples whose texts are in both files
        ("changed_texts", pa.int64()),
        ("changed_share", pa.float64()),  # of n_texts; null where no text is there
        ("gained", pa.int64()),  # correct in the second file only; null of samples that were not graded, as all below
        ("lost", pa.int64()),  # correct in the first file only
        ("flip_share", pa.float64()),
        *((name, pa.float64()) for name in ("first_score", "second_score", "difference")),
    ]
)


def compare(
    first: pa.Table, second: pa.Table, names: tuple[str, str] = ("the first", "the second")
) -> list[dict[str, Any]]:
    """Rows of SCHEMA: each benchmark, then all of them where there are several.

    Args:
        first, second: sampled or graded tables of the same samples, in any order. names: what messages call them.

    Raises:
        DataError: the tables hold other samples, or were drawn with other random numbers: these are no repetitions.
    """
    first, second = (_in_order(table, name) for table, name in zip((first, second), names, strict=True))
    ours, theirs = (list(zip(*(table[name].to_pylist() for name in KEY), strict=True)) for table in (first, second))
    if ours != theirs:
        odd = sorted(set(ours) ^ set(theirs))[0]
        raise DataError(
            f"{names[0]} and {names[1]} hold other samples (for one, {_said(odd)}); repeat the same evaluation"
        )
    both = set(first.column_names) & set(second.column_names)
    if "sample_seed" in both and first["sample_seed"].to_pylist() != second["sample_seed"].to_pylist():
        raise DataError(
            f"{names[0]} and {names[1]} were drawn with other random numbers, so their texts differ anyway; repeat with the "
            "same training seed and step"
        )
    there, changed = _texts(first, second, both)
    right = [np.array(table["correct"].to_pylist(), bool) for table in (first, second)] if "correct" in both else None
    benchmark = np.array(first["benchmark"].to_pylist(), object)
    parts = {name: benchmark == name for name in sorted(set(benchmark))}
    if len(parts) > 1:
        parts[ALL] = np.ones(len(benchmark), bool)
    return [_row(name, mine, there, changed, right) for name, mine in parts.items()]


def _in_order(table: pa.Table, name: str) -> pa.Table:
    if missing := [column for column in KEY if column not in table.column_names]:
        raise DataError(
            f"{name}: no sampled or graded table, since it lacks {', '.join(missing)}; name one of evals.sample"
        )
    return table.sort_by([(column, "ascending") for column in KEY])


def _texts(first: pa.Table, second: pa.Table, both: set[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which samples have a text on both sides, and of which it differs. (A bundle keeps few texts.)"""
    if "response" not in both:
        nothing = np.zeros(first.num_rows, bool)
        return nothing, nothing
    pairs = list(zip(first["response"].to_pylist(), second["response"].to_pylist(), strict=True))
    there = np.array([None not in pair for pair in pairs], bool)
    return there, there & np.array([one != other for one, other in pairs], bool)


def _row(
    name: str,
    mine: NDArray[np.bool_],
    there: NDArray[np.bool_],
    changed: NDArray[np.bool_],
    right: list[NDArray[np.bool_]] | None,
) -> dict[str, Any]:
    n, texts = int(mine.sum()), int((mine & there).sum())
    found: dict[str, Any] = {"benchmark": name, "n_samples": n, "n_texts": texts}
    found["changed_texts"] = int((mine & changed).sum())
    found["changed_share"] = found["changed_texts"] / texts if texts else None
    if right is None:
        return found
    one, other = (values[mine] for values in right)
    gained, lost = int((other & ~one).sum()), int((one & ~other).sum())
    scores = {"first_score": float(one.mean()), "second_score": float(other.mean()), "difference": (gained - lost) / n}
    return found | {"gained": gained, "lost": lost, "flip_share": (gained + lost) / n} | scores


def _said(key: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(KEY, key, strict=True))
