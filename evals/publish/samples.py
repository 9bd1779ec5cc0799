"""`samples/`: every graded response as Parquet, with its card.

One file per benchmark, rows in the order of runs; `problems.parquet` has what was asked. Where a licence forbids it, texts are
null and problems are hashes. What a bundle reduced (evals.artifacts.bundle) stays so: all verdicts, the texts of the first few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asymgrpo.files import write_text
from asymgrpo.study.settings import BASE
from asymgrpo.tasks.spec import dataset_spec
from evals.artifacts.reading import VERDICTS
from evals.artifacts.withheld import withheld_licence, without_texts
from evals.io import read_table
from evals.names import title
from evals.publish.source import PAPER, Source, card, markdown_table

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "arm")),
        *((name, pa.int32()) for name in ("train_seed", "step")),
        *((name, pa.string()) for name in ("benchmark", "problem_id")),
        ("sample_id", pa.int32()),
        *((name, pa.string()) for name in ("extracted", "verdict")),
        *((name, pa.bool_()) for name in ("correct", "second_correct")),
        ("n_tokens", pa.int32()),
        ("response", pa.string()),
    ]
)
PROBLEMS = pa.schema([(name, pa.string()) for name in ("benchmark", "problem_id", "problem", "answer", "licence")])
MEANING = {
    "model": "base model of the run",
    "arm": "how it was trained; base: not at all; base@TEMPLATE: the base model under another prompt template",
    "train_seed": "training seed",
    "step": "training step of the checkpoint; 0: the base model",
    "benchmark": "which benchmark",
    "problem_id": "its problem, as in problems.parquet",
    "sample_id": "number of the response to this problem",
    "extracted": "answer that was found in the response; null: none",
    "verdict": "correct, wrong, or why there is no answer (truncated, ...)",
    "correct": "whether the verifier accepts the answer",
    "second_correct": "whether a second grader does",
    "n_tokens": "tokens of the response",
    "response": "the response; null where it was not kept or may not be passed on",
    "problem": "the problem; sha256 of its normalised text where it may not be passed on",
    "answer": "the reference answer; its sha256 where it may not be passed on",
    "licence": "of the problem's text, as its source states it",
}
"""Column -> what it holds."""


def write(source: Source, folder: Path) -> dict[str, int]:
    """Write the tables; returns file name -> rows. Row groups are runs."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = dict.fromkeys((f"{name}.parquet" for name in source.study.evaluation.benchmarks), 0)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(pq.ParquetWriter(folder / name, SCHEMA, compression="zstd")) for name in rows
        }
        for path in graded(source):
            table = read_table(path, [*VERDICTS, "response"]).replace_schema_metadata(None)
            for benchmark in source.study.evaluation.benchmarks:
                mine = table.filter(pc.equal(table["benchmark"], benchmark)).cast(SCHEMA).combine_chunks()
                if withheld_licence(benchmark):
                    mine = mine.set_column(SCHEMA.names.index("response"), "response", pa.nulls(len(mine), pa.string()))
                if len(mine):
                    writers[f"{benchmark}.parquet"].write_table(mine.cast(SCHEMA), row_group_size=len(mine))
                rows[f"{benchmark}.parquet"] += len(mine)
    problems = pa.concat_tables(list(_problems(source)))
    pq.write_table(problems, folder / "problems.parquet", compression="zstd")
    return rows | {"problems.parquet": len(problems)}


def graded(source: Source) -> Iterator[Path]:
    """The graded files: the base models', those under other templates, then those of the runs."""
    for model in source.results.models:
        yield source.graded(model, BASE, 0)
        for template in source.study.evaluation.control_templates:
            yield source.graded(model, f"{BASE}@{template}", 0)
    for run in source.results.runs:
        yield source.graded(run.model, run.arm, run.seed)


def _problems(source: Source) -> Iterator[pa.Table]:
    for benchmark in source.study.evaluation.benchmarks:
        table = without_texts(read_table(source.folder / "data" / f"{benchmark}.parquet"))
        told = {name: table[name].cast(pa.string()) for name in ("problem_id", "problem", "answer")}
        beside = {"benchmark": benchmark, "licence": dataset_spec(benchmark).licence}
        columns = told | {name: pa.array([value] * len(table), pa.string()) for name, value in beside.items()}
        yield pa.table({name: columns[name] for name in PROBLEMS.names}, PROBLEMS)


def licences(source: Source) -> list[str]:
    """Licences of the texts in the folder, ours first."""
    told = {dataset_spec(name).licence for name in source.study.evaluation.benchmarks if not withheld_licence(name)}
    return ["Apache-2.0", *sorted(told - {"Apache-2.0"})]


def front(source: Source, rows: dict[str, int], below: str = "") -> dict[str, object]:
    """The head of a data set's card; `below`: folder of the tables, as seen from the card."""
    total = sum(count for name, count in rows.items() if name != "problems.parquet")
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    configs = [
        {"config_name": name.removesuffix(".parquet"), "data_files": [{"split": "test", "path": f"{below}{name}"}]}
        for name in rows
    ]
    return {
        "license": [name.lower() for name in licences(source)],
        "pretty_name": f"Graded responses of study {source.name}",
        "task_categories": ["text-generation"],
        "tags": ["math", "reinforcement-learning", "evaluation", f"arxiv:{PAPER}"],
        "size_categories": [next((name for limit, name in sizes if total < limit), "1M<n<10M")],
        "configs": configs,
    }


def describe(source: Source, rows: dict[str, int]) -> str:
    """The card's text below its head."""
    columns = markdown_table(["column", "holds"], ([f"`{name}`", MEANING[name]] for name in SCHEMA.names))
    asked = markdown_table(["column", "holds"], ([f"`{name}`", MEANING[name]] for name in PROBLEMS.names))
    sets = markdown_table(
        ["benchmark", "what", "licence of the texts", "responses"],
        (
            [title(name), dataset_spec(name).about, _licence(name), f"{rows[f'{name}.parquet']:,}"]
            for name in source.study.evaluation.benchmarks
        ),
    )
    return f"""# Graded responses of study {source.name}

What every checkpoint of a reproduction of [arXiv:{PAPER}](https://arxiv.org/abs/{PAPER}) answered, with the verdict on each
response: {len(source.results.runs)} training runs and the models that they started from.

{sets}

{columns}

`problems.parquet` has what was asked:

{asked}

`correct` is the verdict of the project's verifier on the last boxed answer. A response that was cut at the token limit is wrong.
Responses are not human writing and were not edited. `croissant.json` describes these files for programs.
"""


def _licence(benchmark: str) -> str:
    licence = dataset_spec(benchmark).licence
    return f"{licence}: identifiers and hashes only" if withheld_licence(benchmark) else licence


def write_card(source: Source, folder: Path, rows: dict[str, int]) -> None:
    write_text(card(front(source, rows), describe(source, rows)), folder / "README.md")
