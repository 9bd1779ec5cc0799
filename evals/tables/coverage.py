"""Cover@tau, G-Pass@k, pass^k and Bayes@N of every arm and benchmark with intervals; evals.estimates.coverage defines them.

    python -m evals.tables.coverage --counts counts.parquet --k 1 4 16 --seed-variance pooled --draws 10000 --seed 0 \\
        --out coverage.parquet --markdown coverage.md

Rows: `cover` at every tau of TAUS; `cover_mean`, the mean of the Cover curve under Beta(1, k), for every k; `g_pass_at_k` at
every tau of STABLE and `pass_hat_k`, for every k above 1 (at 1 both are avg@n); `bayes_at_n`, whose k is n. `ci_low` and
`ci_high` are over problems, samples and training seeds, as in evals.tables.score; `credible_low` and `credible_high`
(Bayes@N) are over samples alone. `identity_gap` (cover_mean) is how far the identities of Cover and pass@k are from holding: 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.cells import Counts, CountsOf, check_ks, need_samples
from evals.estimates.coverage import (
    bayes_mean,
    beta_weights,
    cover,
    credible_interval,
    drawn_weights,
    g_pass,
    mean_of_cover,
    pass_hat,
    pass_with_replacement,
)
from evals.estimates.outcomes import AT, STEPS, in_words
from evals.estimates.passk import pass_at_k
from evals.estimates.stats import DIGITS, mean_intervals
from evals.io import check_table, derived, read_table, write_table, write_text
from evals.names import TABLE_1, describe_rule, in_order, percent, title
from evals.tables.counts import Counted, Graded, Problems, Selection, study_counts
from evals.tables.options import Draws, Markdown, Out, Seed, SeedVarianceFrom, SeedVarianceRule
from evals.tables.score import AVERAGE, groups, seed_variances, with_diverged

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "selection", "arm", "benchmark", "metric")),
        ("k", pa.int32()),
        ("tau", pa.float64()),
        *((name, pa.float64()) for name in ("estimate", "ci_low", "ci_high", "std_error")),
        *((name, pa.float64()) for name in ("credible_low", "credible_high", "identity_gap")),
        ("n_problems", pa.int32()),
        ("n_samples", pa.int64()),
        ("n_seeds", pa.int32()),
        ("seed_degrees", pa.int32()),
        ("n_diverged", pa.int32()),  # training seeds that are in no estimate
        (AT, STEPS),  # the step of each
    ]
)
NAMES = ("model", "selection", "arm", "benchmark", "metric")
COVER, COVER_MEAN, G_PASS, PASS_HAT, BAYES = "cover", "cover_mean", "g_pass_at_k", "pass_hat_k", "bayes_at_n"
TAUS = tuple(i / 20 for i in range(1, 21))
"""Of the Cover curve."""
STABLE = (0.5, 0.75)
"""tau of G-Pass@k; 0 is pass@k (evals.tables.score), 1 is pass^k."""
IN_WORDS = (0.05, 0.25, 0.5, 0.75, 1.0)
"""tau that the Markdown shows."""


@dataclass(frozen=True)
class Metric:
    """What is estimated; `of` gives it per cell from counts n, c [S, P]."""

    name: str
    of: Any
    k: int | None = None
    tau: float | None = None


def metrics_of(counts: Sequence[Counts], ks: Sequence[int]) -> Iterator[Metric]:
    """Every metric whose k all of `counts` can serve."""
    smallest = min(int(item.n.min()) for item in counts)
    for tau in TAUS:
        yield Metric(COVER, partial(cover, tau=tau), tau=tau)
    for k in (k for k in ks if k <= smallest):
        yield Metric(COVER_MEAN, partial(pass_with_replacement, k=k), k)
        if k > 1:
            for tau in STABLE:
                yield Metric(G_PASS, partial(g_pass, k=k, tau=tau), k, tau)
            yield Metric(PASS_HAT, partial(pass_hat, k=k), k)
    yield Metric(BAYES, bayes_mean)


def coverage_rows(
    counts: CountsOf, ks: Sequence[int], rule: SeedVarianceRule, seed: int, draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA without `selection` and diverged runs, for the counts of one selection rule."""
    for model, benchmark, mine in groups(counts):
        keys, cells, variances = [], [], []
        for metric in metrics_of([item for items in mine.values() for item in items], ks):
            values: dict[str, list[NDArray[np.float64]]] = {
                arm: [metric.of(item.n, item.c) for item in items] for arm, items in mine.items()
            }
            by_arm = seed_variances(values, rule)
            for arm, blocks in values.items():
                keys.append((arm, metric))
                cells.append(blocks)
                variances.append(by_arm[arm])
        intervals = mean_intervals(cells, variances, seed=seed, draws=draws, level=0.95)
        for (arm, metric), variance, interval in zip(keys, variances, intervals, strict=True):
            estimates = {name: getattr(interval, name) for name in _FROM_INTERVAL}
            about = {
                "model": model,
                "benchmark": benchmark,
                "arm": arm,
                "seed_degrees": variance.degrees if variance else 0,
            }
            yield about | _about(metric, mine[arm]) | estimates


_FROM_INTERVAL = ("estimate", "ci_low", "ci_high", "std_error", "n_problems", "n_seeds")


def _about(metric: Metric, items: Sequence[Counts]) -> dict[str, Any]:
    found = {
        "metric": metric.name,
        "k": metric.k,
        "tau": metric.tau,
        "n_samples": sum(int(item.n.sum()) for item in items),
    }
    if metric.name == BAYES:
        sizes = {int(n) for item in items for n in (item.n.min(), item.n.max())}
        low, high = credible_interval([(item.n, item.c) for item in items])
        found |= {"k": sizes.pop() if len(sizes) == 1 else None}
        found |= {"credible_low": round(low, DIGITS), "credible_high": round(high, DIGITS)}
    if metric.name == COVER_MEAN:
        found["identity_gap"] = identity_gap(items, metric.k or 0)
    return found


def identity_gap(items: Sequence[Counts], k: int) -> float:
    """The larger one of two differences, which are 0 (to DIGITS decimals): mean of Cover less pass@k.

    Under Beta(1, k) the mean of the Cover curve is pass@k of samples drawn with replacement; under the finite form of that law
    it is the unbiased pass@k of the other tables.
    """
    gaps = []
    for item in items:
        with_, without = pass_with_replacement(item.n, item.c, k).mean(), pass_at_k(item.n, item.c, k).mean()
        gaps.append(abs(mean_of_cover(item.n, item.c, beta_weights(k)) - with_))
        gaps.append(abs(mean_of_cover(item.n, item.c, drawn_weights(k)) - without))
    return round(float(max(gaps)), DIGITS)


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown: a block for each model and selection rule, of the average where there are several benchmarks."""
    parts = ["# Coverage and reliability\n"]
    for model, rule in dict.fromkeys((row["model"], row["selection"]) for row in rows):
        mine = [row for row in rows if (row["model"], row["selection"]) == (model, rule)]
        names = {row["benchmark"] for row in mine}
        name = AVERAGE if AVERAGE in names else min(names)
        parts += [f"## {model}, {title(name)}, checkpoint: {describe_rule(rule)}\n"]
        parts += [block([row for row in mine if row["benchmark"] == name])]
    gap = max((row["identity_gap"] for row in rows if row["identity_gap"] is not None), default=0.0)
    said = f"{gap:.0e}" if gap else f"0 to {DIGITS} decimals"
    parts.append(
        "In per cent with 95 % intervals over problems, samples and training seeds. Cover@tau: share of problems with at least a "
        "share tau of correct samples. G-Pass@k at tau: at least tau k of k samples are correct. pass^k: all k are. Bayes@N: "
        "posterior mean under a uniform prior; in braces its credible interval, which knows sampling noise alone. Definitions: "
        "evals/estimates/coverage.py.\n"
    )
    parts.append(
        "Check: pass@k is the mean of the Cover curve under Beta(1, k), for samples drawn with replacement, and under the finite "
        f"form of that law for the unbiased pass@k. Largest difference over all arms, benchmarks and k: {said}.\n"
    )
    return "\n".join(parts)


def block(rows: Sequence[Mapping[str, Any]]) -> str:
    """One row per arm; of the metrics with a k, those with the largest one."""
    most = max((row["k"] for row in rows if row["metric"] == PASS_HAT), default=None)
    shown: dict[tuple[Any, ...], str] = {(COVER, None, tau): f"Cover@{tau:g}" for tau in IN_WORDS}
    if most:
        shown |= {(G_PASS, most, tau): f"G-Pass@{most} at {tau:g}" for tau in STABLE} | {
            (PASS_HAT, most, None): f"pass^{most}"
        }
    head = ["arm", "seeds", *shown.values(), "Bayes@N"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for arm in in_order((row["arm"] for row in rows), TABLE_1):
        mine = [row for row in rows if row["arm"] == arm]
        cells = {(row["metric"], row["k"], row["tau"]): row for row in mine}
        (bayes,) = (row for row in mine if row["metric"] == BAYES)
        seeds = "; ".join(filter(None, [str(bayes["n_seeds"]), in_words(bayes["n_seeds"], bayes[AT])]))
        texts = [_text(cells.get(key)) for key in shown]
        lines.append(f"| {' | '.join([title(arm), seeds, *texts, _bayes_text(bayes)])} |")
    return "\n".join(lines) + "\n"


def _text(row: Mapping[str, Any] | None) -> str:
    return "–" if row is None or row["estimate"] is None else percent(row["estimate"], row["ci_low"], row["ci_high"])


def _bayes_text(row: Mapping[str, Any]) -> str:
    if row["estimate"] is None:
        return "–"
    return f"{_text(row)} {{{100 * row['credible_low']:.1f}, {100 * row['credible_high']:.1f}}}"


def read_coverage(path: Path) -> pa.Table:
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
    k: Annotated[list[int], typer.Option(help="k of G-Pass@k, pass^k and the means of Cover")],
    seed_variance: SeedVarianceFrom,
    draws: Draws,
    seed: Seed,
    out: Out,
    markdown: Markdown,
) -> None:
    """Estimate how reliably problems are solved, with intervals."""
    check_ks(k)
    study = study_counts(counts, graded, selection, problems)
    need_samples(k, [item for mine in study.counts.values() for item in mine.values()])
    rows: list[dict[str, Any]] = []
    for name, mine in study.counts.items():
        estimated = coverage_rows(mine, k, seed_variance, seed, draws)
        rows += [row | {"selection": name} for row in with_diverged(estimated, study.lost[name], "tau")]
    order = ("model", "selection", "benchmark", "metric", "k", "tau", "arm")
    table = pa.Table.from_pylist(rows, SCHEMA).sort_by([(column, "ascending") for column in order])
    stated = {"seed_variance": seed_variance.value, "draws": draws, "bootstrap_seed": seed}
    write_table(table, out, {"data_hash": data_hash(table), **stated, **derived(study.origin)})
    write_text(render(table.to_pylist()), markdown)


if __name__ == "__main__":
    run(main, frames=False)
