"""From graded samples to cells: counts per (training seed, problem), the input of every estimate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evals import asked
from evals.estimates.outcomes import AT, finished, outcome_of
from evals.estimates.passk import avg_at_n, maj_at_k, normalise_answer, pass_at_k
from evals.io import DataError, check_table, read_json, read_table, read_tables

RUN = ("model", "arm", "train_seed", "step", "benchmark")
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
    ]
)
COLUMNS = tuple(GRADED.names)
SELECTION_COLUMNS = ("model", "arm", "train_seed", "selection", "step")


@dataclass(frozen=True)
class Counts:
    """All samples of one arm at its selected checkpoints on one benchmark; arrays are [S seeds, P problems].

    votes and verdicts are [S, P, n], or None where n differs between cells or no vote was asked for.
    """

    train_seeds: tuple[int, ...]
    problem_ids: tuple[str, ...]
    n: NDArray[np.int64]
    c: NDArray[np.int64]
    truncated: NDArray[np.int64]
    unparsed: NDArray[np.int64]
    disagreed: NDArray[np.int64]
    votes: NDArray[np.int64] | None
    verdicts: NDArray[np.bool_] | None

    def metric(self, name: str, k: int | None) -> NDArray[np.float64]:
        """[S, P] values of avg_at_n, pass_at_k or maj_at_k."""
        if name == "avg_at_n":
            return avg_at_n(self.n, self.c)
        if name == "pass_at_k":
            return pass_at_k(self.n, self.c, k or 0)
        if self.votes is None or self.verdicts is None:
            raise DataError("maj@k needs the same number of samples for every problem; sample the missing ones")
        return maj_at_k(self.votes, self.verdicts, k or 0)


def read_graded(paths: Sequence[str | Path]) -> pa.Table:
    """The columns of graded tables that estimates use.

    Raises:
        DataError: a file is missing, empty or not a graded table, or a sample occurs twice.
    """
    for path in paths:
        check_table(read_table(path, COLUMNS), path, GRADED, nullable=["extracted"])
    table = read_tables(paths, COLUMNS)
    keys = _codes(table, [*RUN, "problem_id", "sample_id"])
    if len(np.unique(keys)) != table.num_rows:
        raise DataError("the graded tables hold the same sample twice; pass each file once")
    return table


def _codes(table: pa.Table, columns: Sequence[str]) -> NDArray[np.int64]:
    """[rows] one number per row, equal for rows with the same values in `columns`; far faster than grouping by strings."""
    codes = np.zeros(table.num_rows, np.int64)
    for name in columns:
        encoded = table[name].combine_chunks().dictionary_encode()
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy(zero_copy_only=False)
    return codes


def read_selection(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Which checkpoint each run reports under each rule: JSON lists or Parquet of (model, arm, train_seed,
    selection, step), as `evals.select` writes them. `diverged_at`: the step at which a run without a checkpoint diverged."""
    if not paths:
        raise DataError("no selection of checkpoints was given; name at least one (evals.select writes them)")
    parts = [_selections(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        missing = set(SELECTION_COLUMNS) - set(part.columns)
        if missing:
            raise DataError(f"{path}: column(s) {', '.join(sorted(missing))} missing; write it with evals.select")
    table = pd.concat(parts, ignore_index=True)[[*SELECTION_COLUMNS, AT]].drop_duplicates()
    double = table.duplicated(["model", "arm", "train_seed", "selection"])
    if double.any():
        raise DataError(f"two checkpoints are selected for {table[double].iloc[0].to_dict()}; keep one")
    return table


def _selections(path: str | Path) -> pd.DataFrame:
    rows = read_table(path).to_pylist() if str(path).endswith(".parquet") else _read_rows(path)
    asked.check_selection(path, rows)
    ends = [outcome_of(path, row) for row in rows]
    for row, ended in zip(rows, ends, strict=True):
        if row.get("step") is None and ended is None and "step" in row:
            raise DataError(f"{path}: no step for a run that did not diverge; write it with evals.select")
    steps = pd.array([pd.NA if ended is None else ended.step for ended in ends], dtype="Int64")
    return pd.DataFrame(rows).assign(**{AT: steps})


def _read_rows(path: str | Path) -> list[dict[str, Any]]:
    rows = read_json(path)
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise DataError(f"{path}: not a list of selected checkpoints; write it with evals.select")
    for i, row in enumerate(rows, start=1):
        whole = [k for k in ("train_seed", "step") if row.get(k) is not None]
        odd = [k for k in whole if isinstance(row[k], bool) or not isinstance(row[k], int)]
        odd += [k for k in ("model", "arm", "selection") if k in row and not isinstance(row[k], str)]
        if odd:
            raise DataError(f"{path}, entry {i}: {odd[0]} is {row[odd[0]]!r}; write it with evals.select")
    return rows


def select_samples(graded: pa.Table, selection: pd.DataFrame) -> dict[str, pa.Table]:
    """selection rule -> the samples of the checkpoints it picks. The base model belongs to every rule, a diverged run to none.

    Raises:
        DataError: a selected checkpoint has no samples.
    """
    chosen = {}
    base = graded.filter(pc.equal(graded["arm"], "base"))
    for rule, rows in selection.groupby("selection", sort=True):
        trained = finished(rows[rows["arm"] != "base"])[[name for name in SELECTION_COLUMNS if name != "selection"]]
        wanted = pa.Table.from_pandas(trained, preserve_index=False)
        wanted = wanted.cast(pa.schema([graded.schema.field(name) for name in wanted.column_names]))
        keys = wanted.column_names
        samples = graded.join(wanted, keys=keys, join_type="inner", use_threads=False)
        found = {tuple(row.values()) for row in samples.group_by(keys).aggregate([]).select(keys).to_pylist()}
        for row in wanted.to_pylist():
            if tuple(row.values()) not in found:
                raise DataError(f"selection {rule!r}: no graded samples for {row}; sample and grade that checkpoint")
        chosen[str(rule)] = pa.concat_tables([samples, base.select(samples.column_names)])
    return chosen


def count_cells(samples: pa.Table, votes: bool) -> Mapping[tuple[str, str, str], Counts]:
    """(model, arm, benchmark) -> Counts, sorted by key; one checkpoint per training seed.

    Raises:
        DataError: a seed has several checkpoints, or a seed or an arm lacks a problem that another one has.
    """
    flags = {
        "c": pc.cast(samples["correct"], pa.int64()),
        "truncated": pc.cast(pc.equal(samples["verdict"], "truncated"), pa.int64()),
        "unparsed": pc.cast(pc.equal(samples["verdict"], "unparsed"), pa.int64()),
        "disagreed": pc.cast(pc.not_equal(samples["correct"], samples["second_correct"]), pa.int64()),
    }
    table = samples.select([*RUN, "problem_id"])
    for name, values in flags.items():
        table = table.append_column(name, values)
    grouped = table.group_by([*RUN, "problem_id"], use_threads=False)
    cells = grouped.aggregate([("c", "count"), *((name, "sum") for name in flags)]).to_pandas()
    long = dict(list(_vote_codes(samples).groupby(["model", "arm", "benchmark"]))) if votes else {}
    result = {}
    for key, frame in cells.groupby(["model", "arm", "benchmark"], sort=True):
        named: tuple[str, str, str] = key  # type: ignore[assignment]
        result[named] = _counts(named, frame, long.get(named))
    _need_same_problems(result)
    return result


def _need_same_problems(counts: Mapping[tuple[str, str, str], Counts]) -> None:
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


def _counts(key: tuple[str, str, str], frame: pd.DataFrame, votes: pd.DataFrame | None) -> Counts:
    where = f"{key[1]} on {key[2]} ({key[0]})"
    seeds, problems = sorted(frame["train_seed"].unique()), sorted(frame["problem_id"].unique())
    if frame.groupby("train_seed")["step"].nunique().max() > 1:
        raise DataError(f"{where}: samples of several checkpoints of one seed; select one (evals.select)")
    if len(frame) != len(seeds) * len(problems):
        raise DataError(f"{where}: not every training seed has samples for every problem; sample the missing ones")
    frame = frame.sort_values(["train_seed", "problem_id"])
    shape = (len(seeds), len(problems))
    arrays = {name: frame[f"{name}_sum"].to_numpy(np.int64).reshape(shape) for name in _SUMS}
    n = frame["c_count"].to_numpy(np.int64).reshape(shape)
    codes = verdicts = None
    if votes is not None and n.min() == n.max():
        votes = votes.sort_values(["train_seed", "problem_id", "sample_id"])
        codes = votes["vote"].to_numpy(np.int64).reshape(*shape, -1)
        verdicts = votes["correct"].to_numpy(bool).reshape(*shape, -1)
    return Counts(tuple(int(s) for s in seeds), tuple(problems), n, votes=codes, verdicts=verdicts, **arrays)


_SUMS = ("c", "truncated", "unparsed", "disagreed")


def _vote_codes(samples: pa.Table) -> pd.DataFrame:
    """Samples with `vote`: a code per distinct normalised answer, -1 for none or a truncated response."""
    spelled = samples["extracted"].combine_chunks().dictionary_encode()
    if isinstance(spelled, pa.ChunkedArray):
        spelled = spelled.combine_chunks()
    texts: list[Any] = [normalise_answer(text or "") for text in spelled.dictionary.to_pylist()]
    code = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    lookup = np.array([code[text] if text else -1 for text in texts] or [-1], np.int64)
    votes = lookup[spelled.indices.to_numpy(zero_copy_only=False)]
    votes[pc.equal(samples["verdict"], "truncated").to_numpy(zero_copy_only=False)] = -1
    frame = samples.select(["model", "arm", "benchmark", "train_seed", "problem_id", "sample_id", "correct"])
    return frame.to_pandas().assign(vote=votes)
