"""Results that state other settings than the configuration's are made again, whatever Snakemake's records and dates say of them.

Snakemake compares parameters with those that it recorded in .snakemake, and the dates of files. Results that were copied, or
whose records are lost, would pass for those of any configuration; what a result states of itself (asymgrpo.study.settings)
counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asymgrpo.study.agreement import differences, selection_differences, stated
from asymgrpo.study.settings import Settings

OF_INPUTS = ("plan.", "source.", "base.", "problems.", "benchmarks.")
"""Keys of settings that an input states as well: of these the input is named."""


class Stale:
    """Asked while the graph of jobs is built; `check` returns no input files, it tells Snakemake which jobs to run."""

    def __init__(self, workflow: Any, say: Callable[[str], object] = lambda text: print(text, file=sys.stderr)):
        self.workflow, self.say, self.said = workflow, say, set[str]()

    def check(self, path: str, asked: Settings) -> list[str]:
        """Have `path` made again if it states other settings than `asked`, or none, so that nobody can tell."""
        if self.workflow.remote_exec or not Path(path).exists():
            return []
        if (told := stated(Path(path))) is None:
            self._again(path, ["it states none"])
        elif found := differences(told, asked):
            self._again(path, [phrase for phrase in found if not phrase.startswith(OF_INPUTS)])
        return []

    def check_table(self, tables: Mapping[str, Settings], path: str) -> list[str]:
        """The same of one of a study's tables (workflow.common.tables)."""
        return self.check(path, tables[path])

    def check_selection(self, path: str, rules: list[str], done: str) -> list[str]:
        """Have a run's selection made again if it is of other rules, or not of the training that `done` tells of."""
        if self.workflow.remote_exec or not Path(path).exists():
            return []
        told = json_of(done)
        run_sha256 = told.get("sha256") if isinstance(told, dict) else None
        if selection_differences(json_of(path), rules, run_sha256):
            self._again(path, [])
        return []

    def check_text(self, path: str, text: str) -> list[str]:
        """Have a file that holds nothing but settings made again if it is not this text."""
        if not self.workflow.remote_exec and Path(path).exists() and Path(path).read_bytes() != text.encode():
            self._again(path, [])
        return []

    def check_changed(self, path: str, text: str | None) -> list[str]:
        """Have a file made again that should have another text now (None: it should not)."""
        if not self.workflow.remote_exec and text is not None:
            self._again(path, ["its image has changed"])
        return []

    def _again(self, path: str, why: list[str]) -> None:
        self.workflow.dag.forcefiles.add(path)
        if why and (phrase := "; ".join(why[:3])) not in self.said:
            self.said.add(phrase)
            self.say(
                f"{path} states other settings than the configuration: {phrase}. It is made again when it is needed."
            )


def json_of(path: str) -> Any:
    """What a file holds; None if it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
