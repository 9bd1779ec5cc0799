"""Samples to read: the responses of every run to the same few problems, with their verdicts."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from evals.artifacts.reading import PROBLEMS, SAMPLES, read_samples
from evals.io import read_table
from evals.names import title
from evals.report.results import Results

LEVELS = ("model", "arm", "benchmark", "problem_id", "verdict")
"""Columns of few distinct values, each of which stands on the page once."""
LONGEST = 8000
"""Characters of a response that are shown; of a longer one the middle is left out."""


def texts(results: Results, budget: int) -> dict[str, Any]:
    """{problems, columns, levels, rows, titles, rule}: `rows` are values of `columns`, or indices where the column has `levels`;
    `rule` says which samples these are.

    Args:
        budget: characters of all responses together. Over it, later training seeds are left out first, then later problems.
    """
    paths = results.graded()
    if not paths:
        return {
            "problems": {},
            "columns": [],
            "levels": {},
            "rows": [],
            "rule": "There are no graded samples in these results.",
        }
    frame = read_samples(paths).to_pandas()
    if frame.empty:
        rule = "The licences of these benchmarks do not let their texts be passed on."
        return {"problems": {}, "columns": [], "levels": {}, "rows": [], "rule": rule}
    frame["response"] = [shortened(text) for text in frame["response"]]
    kept = within(frame, budget)
    order = {arm: i for i, arm in enumerate(["base", *results.arms])}
    kept = kept.assign(_arm=kept["arm"].map(order))
    kept = kept.sort_values(
        ["model", "benchmark", "_problem", "_arm", "train_seed", "step", "sample_id"], kind="stable"
    )
    columns = ["model", "arm", "train_seed", "step", "benchmark", "problem_id", "sample_id", "verdict"]
    columns += ["second_correct", "extracted", "n_tokens", "response"]
    seeds, problems = kept.groupby(["model", "arm"])["train_seed"].nunique().max(), kept["_problem"].max() + 1
    levels = {name: sorted(kept[name].unique().tolist()) for name in LEVELS}
    coded = kept.assign(**{name: kept[name].map({v: i for i, v in enumerate(levels[name])}) for name in LEVELS})
    every = "every training seed" if len(kept) == len(frame) else f"the first {seeds} training seed(s) of an arm"
    return {
        "problems": _problems(results, kept),
        "columns": columns,
        "levels": levels,
        "rows": [list(row) for row in coded[columns].astype(object).itertuples(index=False)],
        "titles": {name: title(name) for name in [*order, *kept["benchmark"].unique()]},
        "rule": f"Not chosen by hand: the first {SAMPLES} samples of the first {min(PROBLEMS, problems)} problems of each "
        f"benchmark, for each selected checkpoint of {every}: {len(kept):,} samples.",
    }


def within(frame: pd.DataFrame, budget: int) -> pd.DataFrame:
    """The rows within `budget` characters of responses: all, or those of the first seeds, or of the first problems of one seed.

    >>> rows = [{"model": "m", "arm": "a", "train_seed": s, "step": 1, "benchmark": "b", "problem_id": p, "response": "xy"}
    ...         for s in (3, 5) for p in "pqr"]
    >>> [within(pd.DataFrame(rows), n)["problem_id"].str.cat() for n in (12, 11, 4, 0)]
    ['pqrpqr', 'pqr', 'pq', 'p']
    """
    groups = {"_seed": (["model", "arm"], "train_seed"), "_problem": (["model", "benchmark"], "problem_id")}
    for name, (keys, column) in groups.items():
        distinct = frame.drop_duplicates([*keys, column])
        ranks = distinct.assign(**{name: distinct.groupby(keys, sort=False).cumcount()})[[*keys, column, name]]
        frame = frame.merge(ranks, how="left", on=[*keys, column])
    for name in groups:
        lengths = frame["response"].str.len().groupby(frame[name]).sum().cumsum()
        fitting = lengths.index[lengths <= budget]
        frame = frame[frame[name] <= (fitting.max() if len(fitting) else 0)]
    return frame


def shortened(text: str) -> str:
    """At most LONGEST characters.

    >>> shortened("x" * 9000).count("x"), shortened("ab")
    (8000, 'ab')
    """
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[… {len(text) - LONGEST} characters left out …]\n{text[-half:]}"


def _problems(results: Results, kept: pd.DataFrame) -> Mapping[str, Mapping[str, str]]:
    """problem_id -> its text and reference answer, of the problems that occur."""
    wanted, found = set(kept["problem_id"]), {}
    for benchmark in sorted(kept["benchmark"].unique()):
        path = results.folder / "data" / f"{benchmark}.parquet"
        if path.exists():
            table: pa.Table = read_table(path, ["problem_id", "problem", "answer"])
            for row in table.to_pylist():
                if row["problem_id"] in wanted:
                    found[row["problem_id"]] = {"problem": row["problem"], "answer": row["answer"]}
    return found
