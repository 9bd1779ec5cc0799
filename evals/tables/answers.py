"""What became of every sample, by arm and benchmark: correct, answered but wrong, no readable answer, cut, not judged in time.

    python -m evals.tables.answers --counts counts.parquet --seed-variance pooled --draws 10000 --seed 0 \\
        --out answers.parquet --markdown answers.md

Training can turn samples without an answer into answers, right or wrong: a gain in avg@n may cost wrong answers that nobody asked
for. So each share stands beside its difference from the base model's, paired by problem. The five shares of a cell sum to 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.cells import Counts, CountsOf
from evals.estimates.outcomes import AT, STEPS, in_words
from evals.estimates.selection import BASE
from evals.estimates.stats import mean_intervals, paired_differences
from evals.io import check_table, derived, read_table, write_table, write_text
from evals.names import TABLE_1, describe_rule, in_order, percent, title
from evals.tables.counts import Counted, Graded, Problems, Selection, study_counts
from evals.tables.options import Draws, Markdown, Out, Seed, SeedVarianceFrom, SeedVarianceRule
from evals.tables.paper_values import BENCHMARKS
from evals.tables.score import groups, seed_variances, with_diverged

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "selection", "arm", "benchmark", "metric")),
        ("k", pa.int32()),  # always null: the shares are of all samples
        *((name, pa.float64()) for name in ("estimate", "ci_low", "ci_high")),
        *((name, pa.float64()) for name in ("difference", "difference_low", "difference_high")),  # from the base model
        ("n_problems", pa.int32()),
        ("n_samples", pa.int64()),
        ("n_seeds", pa.int32()),
        ("n_diverged", pa.int32()),  # training seeds that are in no estimate
        (AT, STEPS),  # the step of each
    ]
)
NAMES = ("model", "selection", "arm", "benchmark", "metric")
CORRECT, WRONG, UNPARSED, TRUNCATED, TIMEOUT = "correct", "wrong", "unparsed", "truncated", "timeout"
IN_WORDS = {
    CORRECT: "correct",
    WRONG: "answered, wrong",
    UNPARSED: "no readable answer",
    TRUNCATED: "cut at the limit",
    TIMEOUT: "not judged in time",
}


def wrong(item: Counts) -> NDArray[np.int64]:
    """[S, P] samples with an answer that was read, judged and is wrong."""
    return item.n - item.c - item.unparsed - item.truncated - item.timeout


OF: Mapping[str, Callable[[Counts], NDArray[np.int64]]] = {
    CORRECT: lambda item: item.c,
    WRONG: wrong,
    UNPARSED: lambda item: item.unparsed,
    TRUNCATED: lambda item: item.truncated,
    TIMEOUT: lambda item: item.timeout,
}
"""Share -> its samples, [S, P]."""


def answer_rows(counts: CountsOf, rule: SeedVarianceRule, seed: int, draws: int) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA without `selection` and diverged runs, for the counts of one selection rule."""
    for model, benchmark, mine in groups(counts):
        for metric, of in OF.items():
            shares = {arm: [of(item) / item.n for item in items] for arm, items in mine.items()}
            variances = seed_variances(shares, rule)
            arms = list(shares)
            how: dict[str, Any] = {"seed": seed, "draws": draws, "level": 0.95}
            found = mean_intervals([shares[arm] for arm in arms], [variances[arm] for arm in arms], **how)
            trained = [arm for arm in arms if arm != BASE] if BASE in shares else []
            pairs = [(shares[arm], shares[BASE], (variances[arm], variances[BASE])) for arm in trained]
            against = dict(zip(trained, paired_differences(pairs, **how), strict=True))
            for arm, interval in zip(arms, found, strict=True):
                yield {
                    **{"model": model, "benchmark": benchmark, "arm": arm, "metric": metric, "k": None},
                    **{name: getattr(interval, name) for name in ("estimate", "ci_low", "ci_high")},
                    **(_difference(against[arm]) if arm in against else {}),
                    **{"n_problems": interval.n_problems, "n_seeds": interval.n_seeds},
                    "n_samples": sum(int(item.n.sum()) for item in mine[arm]),
                }


def _difference(found: Any) -> dict[str, float]:
    return {"difference": found.estimate, "difference_low": found.ci_low, "difference_high": found.ci_high}


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The shares as Markdown, a block for each model, selection rule and benchmark."""
    parts = ["# What became of every sample\n"]
    for model, rule in dict.fromkeys((row["model"], row["selection"]) for row in rows):
        mine = [row for row in rows if (row["model"], row["selection"]) == (model, rule)]
        for name in in_order((row["benchmark"] for row in mine), BENCHMARKS):
            parts.append(f"## {model}, {title(name)}, checkpoint: {describe_rule(rule)}\n")
            parts.append(_block([row for row in mine if row["benchmark"] == name]))
    parts.append(
        "In per cent of all samples, with 95 % intervals over problems, samples and training seeds. Last column: answered but "
        "wrong, less that of the base model, in points, paired by problem.\n"
    )
    return "\n".join(parts)


def _block(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = {(row["arm"], row["metric"]): row for row in rows}
    head = ["arm", *IN_WORDS.values(), f"wrong, less the {title(BASE)}'s"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for arm in in_order((row["arm"] for row in rows), TABLE_1):
        texts = [_text(cells[arm, metric], "estimate", "ci_low", "ci_high") for metric in OF]
        more = _text(cells[arm, WRONG], "difference", "difference_low", "difference_high")
        lost = in_words(cells[arm, WRONG]["n_seeds"], cells[arm, WRONG][AT])
        lines.append(f"| {' | '.join(['; '.join(filter(None, [title(arm), lost])), *texts, more])} |")
    return "\n".join(lines) + "\n"


def _text(row: Mapping[str, Any], *names: str) -> str:
    return "–" if row[names[0]] is None else percent(*(row[name] for name in names))


def read_answers(path: Path) -> pa.Table:
    """A table that this module wrote. Raises DataError when it is another one, or empty."""
    table = read_table(path)
    check_table(table, path, SCHEMA, nullable=[name for name in SCHEMA.names if name not in NAMES])
    return table


def main(
    *,
    counts: Counted = None,
    graded: Graded = None,
    selection: Selection = None,
    problems: Problems = None,
    seed_variance: SeedVarianceFrom,
    draws: Draws,
    seed: Seed,
    out: Out,
    markdown: Markdown,
) -> None:
    """Tell wrong answers from missing ones."""
    study = study_counts(counts, graded, selection, problems)
    rows: list[dict[str, Any]] = []
    for name, mine in study.counts.items():
        found = with_diverged(answer_rows(mine, seed_variance, seed, draws), study.lost[name])
        rows += [row | {"selection": name} for row in found]
    order = [(name, "ascending") for name in ("model", "selection", "benchmark", "metric", "arm")]
    table = pa.Table.from_pylist(rows, SCHEMA).sort_by(order)
    stated = {"seed_variance": seed_variance.value, "draws": draws, "bootstrap_seed": seed}
    write_table(table, out, {"data_hash": data_hash(table), **stated, **derived(study.origin)})
    write_text(render(table.to_pylist()), markdown)


if __name__ == "__main__":
    run(main, frames=False)
