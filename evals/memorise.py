"""Does a base model know a benchmark by heart? It continues the first part of each problem, which is compared with the rest.

    python -m evals.memorise --settings S.json --problems P.parquet ... --checkpoints results/models/tiny/base --out probe.parquet

It gets 40, 60 and 80 % of the tokens of each problem and continues greedily, without any prompt template, as texts stand on
the internet. The control are problems that are generated now: of the same kind where the benchmark is generated, sums of six
terms for all others (a sum can be guessed more easily than a text, so the control is strict). evals.tables.memorisation decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.study.agreement import require, stated
from asymgrpo.study.settings import BASE, graded
from evals import asked
from evals.cli import run
from evals.estimates.rouge import rouge_l
from evals.io import DataError, provenance, write_table
from evals.sample import benchmarks_of

if TYPE_CHECKING:
    from asymgrpo.rollout import Sampler

SHARES = (0.4, 0.6, 0.8)
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("benchmark", pa.string()),
        ("control", pa.bool_()),  # whether the problem is one that was generated now
        ("problem_id", pa.string()),
        ("share", pa.float64()),
        ("n_tokens", pa.int32()),  # of the rest
        ("exact", pa.bool_()),
        ("rouge_l", pa.float64()),
    ]
)
CONTROL_SEED = 509_21882
"""Of generated problems: no study draws its own with it."""
LONGEST = "chain6"


def control_of(benchmark: str, texts: Sequence[str], wanted: int) -> list[str]:
    """At most `wanted` fresh problems that are not among `texts`, of the benchmark's own kind if it is generated."""
    from itertools import islice

    from asymgrpo.tasks.chain_sum import BENCHMARK_TERMS, draws

    terms = BENCHMARK_TERMS.get(benchmark, BENCHMARK_TERMS[LONGEST])
    known = set(texts)
    found: dict[str, None] = {}
    for problem in islice(draws("benchmark", (terms, terms), CONTROL_SEED), 100 * wanted):
        if problem.expression not in known:
            found.setdefault(problem.expression)
        if len(found) == wanted:
            break
    return list(found)


def cut(n: int, share: float) -> int:
    """How many of n tokens are given: a share of them, at least one, and at least one is left.

    >>> [cut(n, 0.6) for n in (2, 3, 10)]
    [1, 2, 6]
    """
    return max(1, min(n - 1, round(share * n)))


def continued(
    texts: Sequence[str], share: float, sampler: Sampler, tokenizer: Any, batch: int
) -> Iterator[dict[str, Any]]:
    """n_tokens, exact and rouge_l of every text of at least two tokens; None stands for a shorter one."""
    from asymgrpo.rollout import Request

    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    kept = [i for i, tokens in enumerate(ids) if len(tokens) > 1]
    for start in range(0, len(kept), batch):
        part = kept[start : start + batch]
        cuts = [cut(len(ids[i]), share) for i in part]
        longest = max(len(ids[i]) - at for i, at in zip(part, cuts, strict=True))
        requests = [Request(tuple(ids[i][:at]), (0,)) for i, at in zip(part, cuts, strict=True)]
        for i, at, (rollout,) in zip(part, cuts, sampler.generate(requests, 0.0, 1.0, longest), strict=True):
            rest = ids[i][at:]
            said, wanted = (_text(tokenizer, tokens) for tokens in (rollout.response_ids[: len(rest)], rest))
            yield {"index": i, "n_tokens": len(rest), "exact": said == wanted, "rouge_l": rouge_l(said, wanted)}


def _text(tokenizer: Any, tokens: Sequence[int]) -> str:
    return tokenizer.decode(list(tokens), skip_special_tokens=True).strip()


def probe(
    model: str, benchmark: str, problems: Sequence[dict[str, Any]], sampler: Sampler, tokenizer: Any, batch: int
) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA: every problem and as many of the control, at every share."""
    texts = [row["problem"] for row in problems]
    fresh = control_of(benchmark, texts, len(texts))
    sets = [
        (False, [row["problem_id"] for row in problems], texts),
        (True, [f"fresh/{i}" for i in range(len(fresh))], fresh),
    ]
    for share in SHARES:
        for control, names, mine in sets:
            about = {"model": model, "benchmark": benchmark, "control": control, "share": share}
            for found in continued(mine, share, sampler, tokenizer, batch):
                yield about | {"problem_id": names[found.pop("index")], **found}


def main(
    problems: Annotated[list[Path], typer.Option(help="problem table of each benchmark (Parquet)")],
    checkpoints: Annotated[Path, typer.Option(help="base model")],
    out: Annotated[Path, typer.Option(help="continuations of every problem to write (Parquet)")],
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    """Continue the problems of benchmarks with a base model."""
    plan = asked.statement().get("settings", {}).get("plan")
    if plan is None or len(plan["models"]) != 1:
        raise DataError("--settings of one model is missing; snakemake -p memorisation prints the command with it")
    import torch

    from asymgrpo.devices import own_device
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.rollout.samplers import sampler_from_directory
    from asymgrpo.tasks.table import read_problems

    own_device()  # refuses here if it must
    torch.set_num_threads(threads)
    (model,) = plan["models"]
    settings = graded(plan, model, BASE, 0) | {"of": "sampled"}
    named, evaluation = benchmarks_of(settings, problems), settings["evaluation"]
    for name, path in named.items():
        require(stated(path), plan["problems"][name], path, "make it again: snakemake --forcerun problems")
    tokenizer = load_tokenizer(checkpoints)
    sampler = sampler_from_directory(evaluation["engine"], checkpoints, tokenizer, evaluation["dtype"])
    rows = [
        row
        for name, path in named.items()
        for row in probe(
            model, name, read_problems(path, ("problem_id", "problem")), sampler, tokenizer, evaluation["batch"]
        )
    ]
    write_table(pa.Table.from_pylist(rows, SCHEMA), out, provenance() | asked.statement())


if __name__ == "__main__":
    run(main, frames=False)
