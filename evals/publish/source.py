"""A finished study as every part of the published folder reads it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa

from asymgrpo.files import write_text
from asymgrpo.provenance import ROOT
from asymgrpo.study.config import Study
from asymgrpo.study.stored import parse_stored
from evals.io import DataError, read_json, read_metadata
from evals.names import rule_to_show
from evals.report.results import Results, RunResults

PAPER = "2604.04894"
NO_DATE = "1970-01-01"
"""Stands where no date is known: nothing here asks the clock."""


@dataclass(frozen=True)
class Source:
    """`owner` and `collection` name the study's models and evaluations; `date` (YYYY-MM-DD) stands in every part that asks for
    one."""

    results: Results
    owner: str
    date: str

    @cached_property
    def study(self) -> Study:
        return parse_stored(self.results.study)

    @property
    def folder(self) -> Path:
        return self.results.folder

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def collection(self) -> str:
        return f"asymgrpo-{self.name}"

    def table(self, name: str) -> pa.Table:
        """A table of the study. Raises DataError when it has not been made."""
        found = self.results.table(name)
        if found is None:
            raise DataError(
                f"{self.folder}/{name}.parquet: no such file; run snakemake tables figures for these results"
            )
        return found

    @cached_property
    def table1(self) -> pd.DataFrame:
        return self.table("table1").to_pandas()

    @cached_property
    def run_scores(self) -> pd.DataFrame:
        return self.table("run_scores").to_pandas()

    @cached_property
    def rule(self) -> str:
        """The selection rule whose checkpoints are published: one that never looks at a benchmark, if there is one."""
        return rule_to_show(self.table1["selection"])

    @cached_property
    def commits(self) -> list[str]:
        """Commits of the code that trained, `-dirty` where it differed from them."""
        told = {
            f"{run.done['git_commit']}{'-dirty' if run.done['git_dirty'] else ''}"
            for run in self.results.runs
            if run.done.get("git_commit")
        }
        return sorted(told)

    def of_paper(self, model: str) -> bool:
        """Whether a model is one of the paper's; what is seen on any other is small-scale support."""
        return self.study.models[model].paper is not None

    def run_name(self, run: RunResults) -> str:
        """`grpo-seed0`, with the model before it where a study has several."""
        return f"{self.arm_name(run.model, run.arm)}-seed{run.seed}"

    def arm_name(self, model: str, arm: str) -> str:
        return f"{model}-{arm}" if len(self.results.models) > 1 else arm

    def selected(self, run: RunResults) -> int | None:
        """The step whose weights are published; None of a diverged run."""
        if run.diverged:
            return None
        rows = read_json(run.folder / "selection.json")
        return next((int(row["step"]) for row in rows if row["selection"] == self.rule), None)

    def graded(self, model: str, arm: str, seed: int) -> Path:
        return self.folder / "graded" / model / arm / f"seed{seed}.parquet"

    def sampling(self, model: str, arm: str, seed: int) -> Mapping[str, Any]:
        """How the samples of a run were drawn, as they state it: engine, temperature, ...; empty where there are none."""
        path = self.graded(model, arm, seed)
        drawn = read_metadata(path).get("samples") or [{}]
        return drawn[0].get("evaluation", {})


def commit_date(commits: Iterable[str]) -> str:
    """The day of the newest of these commits, if this checkout has it; else NO_DATE.

    >>> commit_date(["0" * 40])
    '1970-01-01'
    """
    days = [day for commit in commits if (day := _day(commit.removesuffix("-dirty")))]
    return max(days, default=NO_DATE)


def _day(commit: str) -> str | None:
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    command = [*git, "show", "-s", "--format=%cs", f"{commit}^{{commit}}"]
    try:
        return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as mappings from column to value."""
    return cast(list[dict[str, Any]], frame.to_dict("records"))


def write_document(value: Any, path: Path) -> None:
    """JSON for readers: keys as given, letters as they are."""
    write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", path)


def card(front: Mapping[str, Any], body: str) -> str:
    """A card as the hub reads it: YAML between lines of three dashes, then Markdown.

    >>> print(card({"license": "mit", "tags": ["a"]}, "# Name\\n"), end="")
    ---
    license: mit
    tags:
    - a
    ---
    # Name
    """
    import yaml

    told = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{told}---\n{body}"


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table in Markdown; a bar within a cell is escaped.

    >>> print(markdown_table(["a", "b"], [[1, "x|y"]]))
    | a | b |
    |---|---|
    | 1 | x\\|y |
    """
    lines = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    cells = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]
    return "\n".join([cells[0], "|" + "---|" * len(lines[0]), *cells[1:]])
