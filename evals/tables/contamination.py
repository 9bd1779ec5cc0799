r"""Overlap between the training problems and every benchmark, as a table with the pairs.

    python -m evals.tables.contamination --train train.parquet --benchmarks math500.parquet ... --out pairs.parquet

Each benchmark problem is compared with all training problems and paired with the nearest one. Three measures:

exact        the same text, byte for byte
normalised   the same without figures ([asy] blocks), letter case, white space and the characters $ { }
jaccard      shared token 5-grams over all token 5-grams of the two problems (as sets), figures left out; a
             token is a run of letters, digits and underscores or one other visible character, lower case

Numbers stay in: templates with other numbers are found by jaccard, and not called the same. Problems that several benchmarks
share are named, too (evals.tables.shared); a benchmark whose texts a bundle left out is compared with the other benchmarks only.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from asymgrpo.tasks.table import read_problems
from evals.cli import print_or_write, run
from evals.io import DataError, derived, inputs_metadata, read_table, table_metadata, write_table
from evals.tables.shared import FIGURE, WITHHELD, keys_of, normalise_problem, shared_problems

GRAM = 5
NEAR, VERY_NEAR = 0.6, 0.8
TOKEN = re.compile(r"\w+|[^\w\s]")
COLUMNS = ("problem_id", "problem", "answer")
SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("problem_id", pa.string()),
        ("train_id", pa.string()),
        ("exact", pa.bool_()),
        ("normalised", pa.bool_()),
        ("jaccard", pa.float64()),
        ("same_answer", pa.bool_()),
        ("problem", pa.string()),
        ("train_problem", pa.string()),
    ]
)

Row = Mapping[str, Any]


def token_grams(text: str) -> set[tuple[str, ...]]:
    """The set of token 5-grams, empty for fewer than five tokens.

    >>> sorted(token_grams("Find $x+1$"))
    [('$', 'x', '+', '1', '$'), ('find', '$', 'x', '+', '1')]
    """
    tokens = TOKEN.findall(FIGURE.sub(" ", text).lower())
    return {tuple(tokens[i : i + GRAM]) for i in range(len(tokens) - GRAM + 1)}


class TrainingIndex:
    """Training problems, findable by text, by normalised text and by token 5-gram."""

    def __init__(self, problems: Sequence[Row]):
        self.problems = problems
        self.exact = {row["problem"]: i for i, row in reversed(list(enumerate(problems)))}
        self.normalised = {normalise_problem(text): i for text, i in reversed(self.exact.items())}
        self.sizes = []
        self.by_gram: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, row in enumerate(problems):
            grams = token_grams(row["problem"])
            self.sizes.append(len(grams))
            for gram in grams:
                self.by_gram[gram].append(i)

    def nearest(self, text: str) -> tuple[int, float]:
        """Index of the training problem with the largest jaccard (the earliest in a tie), and the jaccard."""
        grams = token_grams(text)
        shared = Counter(i for gram in grams for i in self.by_gram.get(gram, ()))
        jaccards = {i: count / (len(grams) + self.sizes[i] - count) for i, count in shared.items()}
        best = min(jaccards, key=lambda i: (-jaccards[i], i), default=-1)
        return best, jaccards.get(best, 0.0)

    def match(self, text: str) -> tuple[int, bool, bool, float]:
        """(index, exact, normalised, jaccard); the equal problem if there is one, else the nearest."""
        nearest, jaccard = self.nearest(text)
        exact, normalised = self.exact.get(text), self.normalised.get(normalise_problem(text))
        equal = exact if exact is not None else normalised
        if equal is not None and equal != nearest:
            ours, theirs = token_grams(text), token_grams(self.problems[equal]["problem"])
            nearest, jaccard = equal, len(ours & theirs) / max(1, len(ours | theirs))
        return nearest, exact is not None, normalised is not None, jaccard


def overlap(train: Sequence[Row], benchmarks: Mapping[str, Sequence[Row]], threshold: float) -> pa.Table:
    """Pairs that are exact, normalised or have jaccard >= threshold; at most one per benchmark problem.

    Args:
        train: rows with problem_id, problem and answer. benchmarks: the same per benchmark.
        threshold: smallest jaccard listed (0.6 in the table).
    """
    index = TrainingIndex(train)
    rows = []
    for name, problems in benchmarks.items():
        for row in problems:
            found, exact, normalised, jaccard = index.match(row["problem"])
            if exact or normalised or jaccard >= threshold:
                pair = train[found]
                rows.append(
                    {
                        "benchmark": name,
                        "problem_id": row["problem_id"],
                        "train_id": pair["problem_id"],
                        "exact": exact,
                        "normalised": normalised,
                        "jaccard": jaccard,
                        "same_answer": row["answer"].strip() == pair["answer"].strip(),
                        "problem": row["problem"],
                        "train_problem": pair["problem"],
                    }
                )
    order = [("benchmark", "ascending"), ("jaccard", "descending"), ("problem_id", "ascending")]
    return pa.Table.from_pylist(rows, schema=SCHEMA).sort_by(order)


def count_pairs(pairs: pa.Table, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Per benchmark: problems, and how many are exact, normalised, jaccard >= 0.8 and >= 0.6."""
    rows = pairs.to_pylist()
    counts = []
    for name, size in sizes.items():
        mine = [row for row in rows if row["benchmark"] == name]
        counts.append(
            {
                "benchmark": name,
                "problems": size,
                "exact": sum(row["exact"] for row in mine),
                "normalised": sum(row["normalised"] for row in mine),
                "jaccard >= 0.8": sum(row["jaccard"] >= VERY_NEAR for row in mine),
                "jaccard >= 0.6": sum(row["jaccard"] >= NEAR for row in mine),
                "of these, same answer": sum(row["jaccard"] >= NEAR and row["same_answer"] for row in mine),
            }
        )
    return counts


def render(counts: Sequence[Mapping[str, Any]], pairs: pa.Table) -> str:
    """The counts and the pairs as Markdown."""
    header = list(counts[0]) if counts else ["benchmark", "problems"]
    lines = [
        "# Overlap with the training set",
        "",
        "| " + " | ".join(header) + " |",
        "|---" * len(header) + "|",
    ]
    lines += ["| " + " | ".join(str(row[name]) for name in header) + " |" for row in counts]
    lines += ["", "| benchmark problem | training problem | jaccard | same answer |", "|---|---|--:|---|"]
    for row in pairs.to_pylist():
        answer = "yes" if row["same_answer"] else "no"
        lines.append(f"| {row['problem_id']} | {row['train_id']} | {row['jaccard']:.2f} | {answer} |")
    return "\n".join(lines) + "\n"


def render_shared(shared: Sequence[Mapping[str, str]], withheld: Mapping[str, str]) -> str:
    """What is to be said beside the pairs, as Markdown; nothing where benchmarks share no problem and all texts are there.

    >>> print(render_shared([{"a": "a/1", "b": "b/7"}], {"c": "CC-BY-NC-SA-4.0"}).strip())
    ## Problems that benchmarks share
    <BLANKLINE>
    An average counts each once, in the first of its benchmarks.
    <BLANKLINE>
    - a/1 (a), b/7 (b)
    <BLANKLINE>
    Not compared with the training set, because a bundle does not have its texts: c (CC-BY-NC-SA-4.0).
    """
    parts = []
    if shared:
        parts.append(
            "## Problems that benchmarks share\n\nAn average counts each once, in the first of its benchmarks.\n"
        )
        named = (", ".join(f"{problem} ({name})" for name, problem in places.items()) for places in shared)
        parts.append("\n".join(f"- {line}" for line in named) + "\n")
    if withheld:
        names = ", ".join(f"{name} ({licence})" for name, licence in withheld.items())
        parts.append(f"Not compared with the training set, because a bundle does not have its texts: {names}.\n")
    return "".join(f"\n{part}" for part in parts)


def main(
    train: Annotated[Path, typer.Option(help="training problems (problem table, Parquet)")],
    benchmarks: Annotated[list[Path], typer.Option(help="benchmarks (problem tables); named by their files")],
    out: Annotated[Path, typer.Option(help="pairs to write (Parquet)")],
    markdown: Annotated[Path | None, typer.Option(help="counts and pairs to write (Markdown)")] = None,
) -> None:
    """Find benchmark problems that are in the training set, or nearly."""
    tables = {path.stem: read_table(path, COLUMNS) for path in benchmarks}
    if len(tables) < len(benchmarks):
        raise DataError("two benchmark files have the same name; rename one, since benchmarks are identified by it")
    training = read_table(train, COLUMNS)
    withheld = {name: about[WITHHELD] for name, table in tables.items() if WITHHELD in (about := table_metadata(table))}
    if licence := table_metadata(training).get(WITHHELD):
        withheld = dict.fromkeys(tables, licence)
    rows = {path.stem: read_problems(path, COLUMNS) for path in benchmarks if path.stem not in withheld}
    shared = shared_problems(keys_of(benchmarks))
    pairs = overlap(read_problems(train, COLUMNS), rows, NEAR)
    counts = count_pairs(pairs, {name: len(problems) for name, problems in rows.items()})
    hashes = {name: data_hash(table) for name, table in {train.stem: training, **tables}.items()}
    write_table(
        pairs,
        out,
        {
            "counts": counts,
            "data_hash": data_hash(pairs),
            "input_hashes": hashes,
            **({"shared": shared} if shared else {}),
            **derived(inputs_metadata([train, *benchmarks])),
        },
    )
    print_or_write(render(counts, pairs) + render_shared(shared, withheld), markdown)


if __name__ == "__main__":
    run(main, frames=False)
