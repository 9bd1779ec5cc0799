"""From graded samples to cells: counts per (training seed, problem), the input of every estimate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evals.estimates.passk import avg_at_n, maj_at_k, normalise_answer, pass_at_k
from evals.io import DataError, check_table, concatenated, read_table

RUN = ("model", "arm", "train_seed", "step", "benchmark")
CELL = (*RUN, "problem_id")
GRADED = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("train_seed", pa.int32()),
        ("step", pa.int32()),
        ("benchmark", pa.string()),
        ("problem_id", pa.string()),
        ("sample_id", pa.int32()),
        ("correct", pa.bool_()),
        ("second_correct", pa.bool_()),
        ("verdict", pa.string()),
        ("extracted", pa.string()),
        ("n_tokens", pa.int32()),
    ]
)
COLUMNS = tuple(GRADED.names)
COUNTED = ("n", "correct", "truncated", "unparsed", "disagreed", "timeout", "second_correct", "tokens")
"""Of each cell: samples; how many of them are correct, truncated, unparsed, judged otherwise by the second grader, not judged in
time, or correct by the second grader; and the tokens of all of them. The rest of the samples have a wrong answer."""
CountsOf = Mapping[tuple[str, str, str], "Counts"]
"""(model, arm, benchmark) -> counts."""


@dataclass(frozen=True)
class Counts:
    """All samples of one arm at its selected checkpoints on one benchmark; arrays are [S seeds, P problems].

    second: correct by the second grader. votes and verdicts are [S, P, n], or None where n differs between cells or no vote was
    asked for. `elsewhere` are ids of problems that an average over benchmarks counts in another one (evals.tables.shared).
    """

    train_seeds: tuple[int, ...]
    problem_ids: tuple[str, ...]
    n: NDArray[np.int64]
    c: NDArray[np.int64]
    truncated: NDArray[np.int64]
    unparsed: NDArray[np.int64]
    disagreed: NDArray[np.int64]
    timeout: NDArray[np.int64]
    second: NDArray[np.int64]
    tokens: NDArray[np.int64]
    votes: NDArray[np.int64] | None
    verdicts: NDArray[np.bool_] | None
    elsewhere: frozenset[str] = frozenset()

    def once(self) -> Counts:
        """Without the problems that are counted elsewhere."""
        kept = np.array([problem not in self.elsewhere for problem in self.problem_ids], bool)
        if kept.all():
            return self
        found: dict[str, Any] = {
            name: array[:, kept] for name, array in vars(self).items() if isinstance(array, np.ndarray)
        }
        ids = tuple(problem for problem in self.problem_ids if problem not in self.elsewhere)
        return replace(self, problem_ids=ids, elsewhere=frozenset(), **found)

    def metric(self, name: str, k: int | None) -> NDArray[np.float64]:
        """[S, P] values of avg_at_n, pass_at_k or maj_at_k."""
        if name == "avg_at_n":
            return avg_at_n(self.n, self.c)
        if name == "pass_at_k":
            return pass_at_k(self.n, self.c, k or 0)
        if self.votes is None or self.verdicts is None:
            raise DataError("maj@k needs the same number of samples for every problem; sample the missing ones")
        return maj_at_k(self.votes, self.verdicts, k or 0)


def averaged(items: Sequence[Counts]) -> list[Counts]:
    """The counts that a number of these benchmarks is of: a benchmark's own, or for an average each problem once.

    A benchmark whose every problem is counted elsewhere has no part in the average.
    """
    if len(items) == 1:
        return list(items)
    return [item for item in (one.once() for one in items) if item.problem_ids]


def counting_elsewhere(counts: CountsOf, elsewhere: Mapping[str, Sequence[str]]) -> CountsOf:
    """The counts, each with the ids of its problems that an average counts in another benchmark (benchmark -> ids)."""
    return {
        key: replace(item, elsewhere=frozenset(elsewhere[key[2]])) if key[2] in elsewhere else item
        for key, item in counts.items()
    }


def read_graded(paths: Sequence[str | Path]) -> pa.Table:
    """The columns of graded tables that estimates use.

    Raises:
        DataError: a file is missing, empty or not a graded table, or a sample occurs twice.
    """
    table = concatenated(paths, [_graded(path) for path in paths])
    if len(np.unique(codes(table, [*CELL, "sample_id"]))) != table.num_rows:
        raise DataError("the graded tables hold the same sample twice; pass each file once")
    return table


def _graded(path: str | Path) -> pa.Table:
    table = read_table(path, COLUMNS)
    check_table(table, path, GRADED, nullable=["extracted"])
    return table


def count_graded(paths: Sequence[str | Path]) -> pa.Table:
    """CELL and COUNTED of all samples of graded tables, which are read one by one: a study of any size fits into memory.

    Raises:
        DataError: as `read_graded`.
    """
    cells = concatenated(paths, [cells_of(_graded(path)) for path in paths])
    if len(np.unique(codes(cells, CELL))) == cells.num_rows:
        return cells
    return cells_of(read_graded(paths))  # by hand: the samples of one cell are in several files, or twice in them


def cells_of(samples: pa.Table) -> pa.Table:
    """CELL and COUNTED of graded samples, cells in the order of their first samples.

    Raises:
        DataError: a sample occurs twice.
    """
    if len(np.unique(codes(samples, [*CELL, "sample_id"]))) != samples.num_rows:
        raise DataError("the graded tables hold the same sample twice; pass each file once")
    _, first, cell = np.unique(codes(samples, CELL), return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    flags = {
        "n": np.ones(samples.num_rows, bool),
        "correct": numbers(samples["correct"]),
        "truncated": numbers(pc.equal(samples["verdict"], "truncated")),
        "unparsed": numbers(pc.equal(samples["verdict"], "unparsed")),
        "disagreed": numbers(pc.not_equal(samples["correct"], samples["second_correct"])),
        "timeout": numbers(pc.equal(samples["verdict"], "timeout")),
        "second_correct": numbers(samples["second_correct"]),
        "tokens": numbers(samples["n_tokens"]),
    }
    table = take(samples.select(CELL), first[order])
    for name in COUNTED:
        sums = np.bincount(cell, weights=flags[name], minlength=len(first))[order]
        table = table.append_column(name, pa.array(sums, pa.int32()))
    return table


def codes(table: pa.Table, columns: Sequence[str]) -> NDArray[np.int64]:
    """[rows] one number per row, equal for rows with the same values in `columns`; far faster than grouping by strings."""
    found = np.zeros(table.num_rows, np.int64)
    for name in columns:
        index, values = encoded(table[name])
        found = found * max(1, len(values)) + index
    return found


def encoded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[Any]]:
    """[rows] the index of each value, and the distinct values, null among them."""
    values = pa.chunked_array(column).combine_chunks().dictionary_encode(null_encoding="encode")
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.indices.to_numpy(zero_copy_only=False), values.dictionary.to_pylist()


def numbers(column: pa.ChunkedArray) -> NDArray:
    """The values of a column without nulls."""
    return column.combine_chunks().to_numpy(zero_copy_only=False)


def take(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Some rows of a table, in this order."""
    return table.take(pa.array(rows, pa.int64()))


def count_cells(samples: pa.Table, votes: bool) -> CountsOf:
    """(model, arm, benchmark) -> Counts of samples, sorted by key; one checkpoint per training seed.

    Raises:
        DataError: a seed has several checkpoints, or a seed or an arm lacks a problem that another one has.
    """
    return counts_of(cells_of(samples), samples if votes else None)


def counts_of(cells: pa.Table, voting: pa.Table | None = None) -> CountsOf:
    """The same of cells; `voting` are the samples of majority votes, if there are to be some.

    Raises:
        DataError: as `count_cells`.
    """
    result: dict[tuple[str, str, str], Counts] = {}
    ballots = dict(_groups(_with_votes(voting), "sample_id")) if voting is not None else {}
    for key, rows in _groups(cells):
        result[key] = _counts(key, rows, ballots.get(key))
    _need_same_problems(result)
    return result


Rows = dict[str, Any]
"""Columns as arrays, of one model, arm and benchmark, sorted by training seed and problem."""


def _groups(table: pa.Table, *then: str) -> Iterable[tuple[tuple[str, str, str], Rows]]:
    """(model, arm, benchmark), sorted -> its rows."""
    if not table.num_rows:
        return
    by = ("model", "arm", "benchmark", "train_seed", "problem_id", *then)
    ranks = {name: _ranks(table[name]) for name in by}
    order = np.lexsort([ranks[name][0] for name in reversed(by)])
    group = np.stack([ranks[name][0][order] for name in by[:3]])
    starts = np.flatnonzero(np.r_[True, (group[:, 1:] != group[:, :-1]).any(axis=0)])
    rest = {name: numbers(table[name]) for name in table.column_names if name not in by}
    for start, stop in zip(starts, [*starts[1:], table.num_rows], strict=True):
        chosen = order[start:stop]
        first = [ranks[name][1][ranks[name][0][chosen[0]]] for name in by[:3]]
        found = {name: np.asarray(ranks[name][1], object)[ranks[name][0][chosen]] for name in by[3:]}
        yield (first[0], first[1], first[2]), found | {name: values[chosen] for name, values in rest.items()}


def _ranks(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[Any]]:
    """[rows] the rank of each value, and the distinct values in order."""
    index, values = encoded(column)
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return rank[index], [values[i] for i in order]


def _need_same_problems(counts: CountsOf) -> None:
    """Arms that stand in one table answer the same problems, or their numbers cannot be compared."""
    first: dict[tuple[str, str], tuple[str, Counts]] = {}
    for (model, arm, benchmark), item in counts.items():
        other, theirs = first.setdefault((model, benchmark), (arm, item))
        if theirs.problem_ids != item.problem_ids:
            odd = sorted(set(theirs.problem_ids) ^ set(item.problem_ids))[0]
            raise DataError(
                f"{other} and {arm} on {benchmark} ({model}) have other problems (for one, {odd}); sample the missing ones"
            )


def check_ks(ks: Sequence[int], name: str = "k") -> None:
    """Refuse a k that no number of samples can serve, and one that stands twice. Raises DataError before anything is read."""
    small = [k for k in ks if k < 1]
    if small:
        raise DataError(f"--{name} {small[0]}: k counts samples; give whole numbers from 1")
    double = [k for i, k in enumerate(ks) if k in ks[:i]]
    if double:
        raise DataError(f"--{name} {double[0]} stands twice; give each k once")


def need_samples(ks: Sequence[int], counts: Iterable[Counts]) -> None:
    """Refuse a k that none of `counts` has the samples for; where every run diverged there are none. Raises DataError."""
    most = [int(item.n.min()) for item in counts]
    for k in ks if most else ():
        if k > (largest := max(most)):
            raise DataError(f"k = {k}: no benchmark has that many samples per problem (largest n = {largest})")


def _counts(key: tuple[str, str, str], rows: Rows, ballots: Rows | None) -> Counts:
    where = f"{key[1]} on {key[2]} ({key[0]})"
    seeds, problems = sorted(set(rows["train_seed"])), sorted(set(rows["problem_id"]))
    if len(set(zip(rows["train_seed"], rows["step"].tolist(), strict=True))) > len(seeds):
        raise DataError(f"{where}: samples of several checkpoints of one seed; select one (evals.select)")
    if len(rows["n"]) != len(seeds) * len(problems):
        raise DataError(f"{where}: not every training seed has samples for every problem; sample the missing ones")
    shape = (len(seeds), len(problems))
    n, *others = (rows[name].astype(np.int64).reshape(shape) for name in COUNTED)
    c, truncated, unparsed, disagreed, timeout, second, tokens = others
    votes = verdicts = None
    if ballots is not None and n.min() == n.max():
        votes, verdicts = (ballots[name].reshape(*shape, -1) for name in ("vote", "correct"))
    of_cells = (n, c, truncated, unparsed, disagreed, timeout, second, tokens)
    return Counts(tuple(seeds), tuple(problems), *of_cells, votes, verdicts)


def _with_votes(samples: pa.Table) -> pa.Table:
    """Samples with `vote`: a code per distinct normalised answer, -1 for none or a truncated response."""
    index, spelled = encoded(samples["extracted"].fill_null(""))
    texts = [normalise_answer(text) for text in spelled]
    code = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    lookup = np.array([code[text] if text else -1 for text in texts] or [-1], np.int64)
    votes = lookup[index]
    votes[numbers(pc.equal(samples["verdict"], "truncated"))] = -1
    named = samples.select(["model", "arm", "benchmark", "train_seed", "problem_id", "sample_id", "correct"])
    return named.append_column("vote", pa.array(votes))
