"""Score against tokens: majority votes by the tokens of all votes, and accuracy in training by the tokens sampled for it.

    python -m evals.tables.budget --graded G.parquet ... --selection S.json ... --k 1 2 4 8 --seed-variance pooled \\
        --metrics M.parquet ... --evaluations E.parquet ... --draws 10000 --seed 0 --out budget.parquet --markdown budget.md

Rows of kind `sampling`: maj@k and pass@k of every arm and the base model; `tokens` are k times the mean length of a response.
`gain_at_equal_tokens` at k: maj@k of an arm less that of the base model with k votes, the arm with as many votes as cost no more
tokens than those, paired by problem. Rows of kind `training`: accuracy of each candidate on the sets of eval.parquet
(`accuracy`), and of each arm after as many tokens as the thriftiest run sampled (`at_equal_tokens`, a straight line between
candidates); their intervals are over training seeds alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.cells import Counts, CountsOf, check_ks, need_samples
from evals.estimates.outcomes import AT, RUN, STEPS, Lost, in_words, outcome_of
from evals.estimates.selection import BASE
from evals.estimates.stats import DIGITS, mean_intervals, paired_differences
from evals.io import (
    DataError,
    check_table,
    derived,
    inputs_metadata,
    read_schema,
    read_table,
    table_metadata,
    write_table,
    write_text,
)
from evals.names import TABLE_1, describe_rule, in_order, percent, title
from evals.tables.options import Draws, Markdown, Out, Seed, SeedVarianceFrom, SeedVarianceRule
from evals.tables.score import AVERAGE, groups, metrics_of, seed_variances, with_diverged, with_votes

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "model", "selection", "arm", "benchmark", "metric")),
        ("k", pa.int32()),  # of sampling
        ("step", pa.int32()),  # of training
        *((name, pa.float64()) for name in ("tokens", "estimate", "ci_low", "ci_high")),
        ("n_problems", pa.int32()),
        ("n_samples", pa.int64()),
        ("n_seeds", pa.int32()),
        ("n_diverged", pa.int32()),  # training seeds that are in no estimate
        (AT, STEPS),  # the step of each
    ]
)
NAMES = ("kind", "model", "arm", "benchmark", "metric")
SAMPLING, TRAINING = "sampling", "training"
MAJORITY, PASS, GAIN = "maj_at_k", "pass_at_k", "gain_at_equal_tokens"
ACCURACY, EQUAL = "accuracy", "at_equal_tokens"
TOTAL = "sampled_tokens_total"


# --- tokens of answers ------------------------------------------------------------------------------------------------------


def tokens_per_answer(items: Sequence[Counts]) -> float:
    """Mean tokens of a response, benchmarks weighted equally."""
    return float(np.mean([item.tokens.sum() / item.n.sum() for item in items]))


def sampling_rows(
    counts: CountsOf, ks: Sequence[int], rule: SeedVarianceRule, seed: int, draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA without `selection` and diverged runs, for the counts of one selection rule."""
    for model, benchmark, mine in groups(counts):
        keys, cells, variances = [], [], []
        for metric in metrics_of([item for items in mine.values() for item in items], ks, ks)[1:]:
            values = {arm: [item.metric(*metric) for item in items] for arm, items in mine.items()}
            by_arm = seed_variances(values, rule)
            for arm, blocks in values.items():
                keys.append((arm, metric))
                cells.append(blocks)
                variances.append(by_arm[arm])
        intervals = mean_intervals(cells, variances, seed=seed, draws=draws, level=0.95)
        for (arm, (name, k)), interval in zip(keys, intervals, strict=True):
            yield {
                **{"kind": SAMPLING, "model": model, "benchmark": benchmark, "arm": arm, "metric": name, "k": k},
                "tokens": round((k or 1) * tokens_per_answer(mine[arm]), DIGITS),
                **{
                    name: getattr(interval, name) for name in ("estimate", "ci_low", "ci_high", "n_problems", "n_seeds")
                },
                "n_samples": sum(int(item.n.sum()) for item in mine[arm]),
            }


def gain_rows(
    counts: CountsOf, ks: Sequence[int], rule: SeedVarianceRule, seed: int, draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of GAIN, without `selection` and diverged runs: every k of the base model that buys an arm an answer."""
    for model, benchmark, mine in groups(counts):
        served = [k for name, k in metrics_of([item for items in mine.values() for item in items], [], ks) if k]
        if BASE not in mine:
            continue
        length = {arm: tokens_per_answer(items) for arm, items in mine.items()}
        votes = {k: {arm: [item.metric(MAJORITY, k) for item in items] for arm, items in mine.items()} for k in served}
        variances = {k: seed_variances(cells, rule) for k, cells in votes.items()}
        matched = [
            (k, arm, max(few))
            for k in served
            for arm in mine
            if arm != BASE and (few := [one for one in served if one * length[arm] <= k * length[BASE]])
        ]
        pairs = [
            (votes[one][arm], votes[k][BASE], (variances[one][arm], variances[k][BASE])) for k, arm, one in matched
        ]
        found = paired_differences(pairs, seed=seed, draws=draws, level=0.95)
        for (k, arm, _), difference in zip(matched, found, strict=True):
            about = {"kind": SAMPLING, "model": model, "benchmark": benchmark, "arm": arm, "metric": GAIN, "k": k}
            ends = {name: getattr(difference, name) for name in ("estimate", "ci_low", "ci_high", "n_problems")}
            n_samples = sum(int(item.n.sum()) for item in mine[arm])
            yield about | ends | {"tokens": k * length[BASE], "n_seeds": difference.n_seeds_a, "n_samples": n_samples}


def votes_needed(curve: Sequence[tuple[int, float]], level: float) -> int | None:
    """The fewest votes k at which a curve of (k, score) reaches a level; None where it never does.

    >>> votes_needed([(1, 0.3), (2, 0.3), (4, 0.5)], 0.4), votes_needed([(1, 0.3)], 0.4)
    (4, None)
    """
    return min((k for k, score in curve if score >= level), default=None)


# --- tokens of training -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """One run on one set: steps of its candidates, tokens sampled up to each, and their accuracies; `total`: of the whole run."""

    train_seed: int
    steps: NDArray[np.int64]
    tokens: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    total: float


def spent(metrics: pa.Table) -> NDArray[np.float64]:
    """[steps] tokens sampled up to each step: as the run counted them, or mean length times rollouts where it did not.

    >>> groups = pa.array([[1, 0, 1], [0, 2, 0]])  # two groups of two rollouts in each step
    >>> spent(pa.table({"response_tokens_mean": [3.0, 5.0], "groups_by_correct": groups}))
    array([12., 32.])
    """
    if TOTAL in metrics.column_names and metrics[TOTAL].null_count == 0:
        return metrics[TOTAL].to_numpy().astype(float)
    groups = metrics["groups_by_correct"].to_pylist()
    rollouts = np.array([sum(found) * (len(found) - 1) for found in groups])
    return np.cumsum(metrics["response_tokens_mean"].to_numpy() * rollouts)


def at_budget(item: Trained, budget: float) -> float:
    """Accuracy after so many tokens, on the straight line between candidates; nan before the first candidate."""
    return float(np.interp(budget, item.tokens, item.accuracy, left=np.nan))


def student(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and 95 % interval over training seeds, cut to [0, 1]; no ends with one seed."""
    from scipy.special import stdtrit

    known, n = np.array(values), len(values)
    mean = float(known.mean())
    if n < 2:
        return {"estimate": round(mean, DIGITS), "ci_low": None, "ci_high": None}
    half = float(stdtrit(n - 1, 0.975) * known.std(ddof=1) / math.sqrt(n))
    ends = {"ci_low": round(max(0.0, mean - half), DIGITS), "ci_high": round(min(1.0, mean + half), DIGITS)}
    return {"estimate": round(mean, DIGITS), **ends}


def training_rows(runs: Mapping[tuple[str, str, str], Sequence[Trained]], lost: Lost) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA of kind `training`; runs: (model, arm, set) -> the runs that finished."""
    budgets: dict[tuple[str, str], float] = {}
    for (model, _, name), items in runs.items():
        least = min(min(item.total, item.tokens[-1]) for item in items)
        budgets[model, name] = min(budgets.get((model, name), math.inf), least)
    for (model, arm, name), items in runs.items():
        gone = list(lost.get((model, arm), {}).values())
        about = {"kind": TRAINING, "model": model, "arm": arm, "benchmark": name, "n_diverged": len(gone), AT: gone}
        for step in sorted({step for item in items for step in item.steps.tolist()}):
            at = [(item, int(np.flatnonzero(item.steps == step)[0])) for item in items if step in item.steps]
            tokens = float(np.mean([item.tokens[i] for item, i in at]))
            found = student([float(item.accuracy[i]) for item, i in at])
            yield about | {"metric": ACCURACY, "step": step, "tokens": tokens, "n_seeds": len(at), **found}
        budget = budgets[model, name]
        values = [value for item in items if not math.isnan(value := at_budget(item, budget))]
        if values:
            yield about | {"metric": EQUAL, "tokens": budget, "n_seeds": len(values), **student(values)}


def read_training(
    metrics: Sequence[Path], evaluations: Sequence[Path]
) -> tuple[dict[tuple[str, str, str], list[Trained]], dict[tuple[str, str], dict[int, int]]]:
    """(model, arm, set) -> runs that finished, and the runs that diverged.

    Raises:
        DataError: a file does not say which run it is of, or a run has one of the two files only.
    """
    tokens: dict[tuple[Any, ...], tuple[dict[int, float], float]] = {}
    lost: dict[tuple[str, str], dict[int, int]] = {}
    for path in metrics:
        there = read_schema(path).names
        table = read_table(path, ["step", "response_tokens_mean", "groups_by_correct", *({TOTAL} & set(there))])
        run_ = _run_of(path, table)
        if ended := outcome_of(path, table_metadata(table)):
            lost.setdefault(run_[:2], {})[run_[2]] = ended.step
            continue
        so_far = spent(table)
        tokens[run_] = (dict(zip(table["step"].to_pylist(), so_far.tolist(), strict=True)), float(so_far[-1]))
    found: dict[tuple[str, str, str], list[Trained]] = {}
    for path in evaluations:
        table = read_table(path, ["step", "set", "accuracy"])
        model, arm, seed = run_ = _run_of(path, table)
        if seed in lost.get((model, arm), {}):
            continue
        if run_ not in tokens:
            raise DataError(f"{path}: the metrics of this run were not given; add its metrics.parquet to --metrics")
        by_step, total = tokens[run_]
        rows = [row for row in table.sort_by("step").to_pylist() if row["step"] in by_step]
        for name in sorted({row["set"] for row in rows}):
            mine = [row for row in rows if row["set"] == name]
            steps = np.array([row["step"] for row in mine])
            spent_then = np.array([by_step[step] for step in steps.tolist()])
            accuracy = np.array([row["accuracy"] for row in mine], float)
            found.setdefault((model, arm, name), []).append(Trained(seed, steps, spent_then, accuracy, total))
    return found, lost


def _run_of(path: Path, table: pa.Table) -> tuple[str, str, int]:
    about = table_metadata(table)
    if missing := [key for key in RUN if key not in about]:
        raise DataError(f"{path}: its metadata lack {', '.join(missing)}; write it with this version")
    return about["model"], about["arm"], about["train_seed"]


# --- to read ----------------------------------------------------------------------------------------------------------------


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown: a block for each model and selection rule, then one for training."""
    parts = ["# Score against tokens\n"]
    sampled = [row for row in rows if row["kind"] == SAMPLING]
    for model, rule in dict.fromkeys((row["model"], row["selection"]) for row in sampled):
        mine = [row for row in sampled if (row["model"], row["selection"]) == (model, rule)]
        names = {row["benchmark"] for row in mine}
        name = AVERAGE if AVERAGE in names else min(names)
        parts += [f"## {model}, {title(name)}, checkpoint: {describe_rule(rule)}\n"]
        parts += [_votes([row for row in mine if row["benchmark"] == name])]
    equal = [row for row in rows if row["metric"] == EQUAL]
    for model, name in dict.fromkeys((row["model"], row["benchmark"]) for row in equal):
        mine = [row for row in equal if (row["model"], row["benchmark"]) == (model, name)]
        parts += [f"## {model}, training, {title(name)}\n", _equal(mine)]
    parts.append(
        "Scores in per cent with 95 % intervals: of answers over problems, samples and training seeds; of training over training "
        "seeds. maj@k: of k answers the one given most often. Tokens of maj@k are those of all k answers; tokens of training are "
        "those of all rollouts. It: the base model. Equal tokens: an arm votes as often as the tokens of its largest k allow.\n"
    )
    return "\n".join(parts)


def _votes(rows: Sequence[Mapping[str, Any]]) -> str:
    curves = {arm: _curve(rows, arm) for arm in in_order((row["arm"] for row in rows), TABLE_1)}
    most = max((k for curve in curves.values() for k in curve), default=1)
    head = [
        "arm",
        "tokens of an answer",
        "one answer",
        f"maj@{most}",
        "at equal tokens, less it",
        "its votes that reach one answer",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for arm, curve in curves.items():
        first, last = curve.get(1), curve.get(most)
        if first is None or last is None:
            row = next(row for row in rows if row["arm"] == arm)
            lines.append(f"| {title(arm)}; {in_words(row['n_seeds'], row[AT])} | – | – | – | – | – |")
            continue
        cells = [
            title(arm),
            f"{first['tokens']:.1f}",
            _text(first),
            _text(last),
            _gain(rows, arm),
            _needed(curves, arm, most),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _gain(rows: Sequence[Mapping[str, Any]], arm: str) -> str:
    """The difference from the base model at its largest budget."""
    mine = [row for row in rows if (row["arm"], row["metric"]) == (arm, GAIN) and row["estimate"] is not None]
    return _text(max(mine, key=lambda row: row["k"])) if mine else "–"


def _curve(rows: Sequence[Mapping[str, Any]], arm: str) -> dict[int, Mapping[str, Any]]:
    """k -> the row of maj@k, without those that have no estimate."""
    mine = (row for row in rows if (row["arm"], row["metric"]) == (arm, MAJORITY) and row["estimate"] is not None)
    return {row["k"]: row for row in mine}


def _needed(curves: Mapping[str, Mapping[int, Mapping[str, Any]]], arm: str, most: int) -> str:
    if arm == BASE or BASE not in curves:
        return "–"
    votes = votes_needed([(k, row["estimate"]) for k, row in curves[BASE].items()], curves[arm][1]["estimate"])
    return f"more than {most}" if votes is None else f"{votes} ({curves[BASE][votes]['tokens']:.0f} tokens)"


def _equal(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"| arm | seeds | accuracy after {rows[0]['tokens']:,.0f} tokens |", "|---|--:|--:|"]
    for arm in in_order((row["arm"] for row in rows), TABLE_1):
        row = next(row for row in rows if row["arm"] == arm)
        seeds = "; ".join(filter(None, [str(row["n_seeds"]), in_words(row["n_seeds"], row[AT])]))
        lines.append(f"| {title(arm)} | {seeds} | {_text(row)} |")
    return "\n".join(lines) + "\n"


def _text(row: Mapping[str, Any]) -> str:
    if row["ci_low"] is None:
        return f"{100 * row['estimate']:.1f}"
    return percent(row["estimate"], row["ci_low"], row["ci_high"])


def read_budget(path: Path) -> pa.Table:
    """A table that this module wrote. Raises DataError when it is another one, or empty."""
    table = read_table(path)
    check_table(table, path, SCHEMA, nullable=[name for name in SCHEMA.names if name not in NAMES])
    return table


def main(
    *,
    graded: Annotated[list[Path], typer.Option(help="graded tables (Parquet)")],
    selection: Annotated[list[Path], typer.Option(help="checkpoint selections (JSON or Parquet)")],
    problems: Annotated[list[Path] | None, typer.Option(help="problem tables of the benchmarks")] = None,
    metrics: Annotated[
        list[Path] | None, typer.Option(help="metrics.parquet of the runs, for tokens of training")
    ] = None,
    evaluations: Annotated[list[Path] | None, typer.Option(help="eval.parquet of the same runs")] = None,
    k: Annotated[list[int], typer.Option(help="numbers of votes, and k of pass@k")],
    seed_variance: SeedVarianceFrom,
    draws: Draws,
    seed: Seed,
    out: Out,
    markdown: Markdown,
) -> None:
    """Put scores beside the tokens that they cost."""
    check_ks(k)
    study = with_votes(graded, selection, problems or [])
    need_samples(k, [item for mine in study.counts.values() for item in mine.values()])
    rows: list[dict[str, Any]] = []
    for name, mine in study.counts.items():
        how = (k, seed_variance, seed, draws)
        found = with_diverged([*sampling_rows(mine, *how), *gain_rows(mine, *how)], study.lost[name])
        rows += [row | {"selection": name, "kind": SAMPLING} for row in found]
    rows += training_rows(*read_training(metrics or [], evaluations or []))
    order = [(name, "ascending") for name in ("kind", "model", "selection", "benchmark", "metric", "k", "step", "arm")]
    table = pa.Table.from_pylist(rows, SCHEMA).sort_by(order)
    stated = {"seed_variance": seed_variance.value, "draws": draws, "bootstrap_seed": seed}
    origin = derived(inputs_metadata([*graded, *(metrics or []), *(evaluations or [])]))
    write_table(table, out, {"data_hash": data_hash(table), **stated, **origin})
    write_text(render(table.to_pylist()), markdown)


if __name__ == "__main__":
    run(main, frames=False)
