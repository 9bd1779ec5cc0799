"""Results that state other settings than the configuration's are made again, whatever Snakemake's records and dates say of them.

Snakemake compares parameters with those that it recorded in .snakemake, and the dates of files. Results that were copied, or
whose records are lost, would pass for those of any configuration. So what a result states of itself (asymgrpo.study.settings)
decides.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from asymgrpo.study.agreement import differences, metadata, selection_differences, stated
from asymgrpo.study.settings import Settings, samples

OF_INPUTS = ("plan.", "source.", "base.", "problems.", "benchmarks.")
"""Keys of settings that an input states as well: of these the input is named."""
WATCHED = "_asymgrpo_watches_outputs"


class Stale:
    """Asked while the graph of jobs is built; `check` returns no input files, it tells Snakemake which jobs to run."""

    def __init__(self, workflow: Any, say: Callable[[str], object] = lambda text: print(text, file=sys.stderr)):
        self.workflow, self.say, self.said = workflow, say, set[str]()
        self.found = set[str]()
        """What is made again because of what it states, not because it was named with --forcerun."""

    def check(self, path: str, asked: Settings, locked: Mapping[str, str | None] = MappingProxyType({})) -> list[str]:
        """Have `path` made again if it states other settings than `asked`, or none, so that nobody can tell.

        `locked`: what it states beside them -> what the lock of data and models says of that today, None if nothing. Nor does a
        file of an earlier version say it.
        """
        if self.workflow.remote_exec or not Path(path).exists():
            return []
        about = metadata(Path(path))
        if (told := about.get("settings")) is None:
            self._again(path, ["it states none"])
        elif found := differences(told, asked):
            self._again(path, [phrase for phrase in found if not phrase.startswith(OF_INPUTS)])
        for key, value in locked.items():
            if None not in (about.get(key), value) and about[key] != value:
                self._force(path)
                self._tell(path, f"{path} is not what the lock says now ({key}). It is made again when it is needed.")
        return []

    def check_sampled(self, path: str, asked: Settings) -> list[str]:
        """Have a run's samples completed if the list `path` or a table beside it is not of the settings `asked`."""
        if self.workflow.remote_exec or not Path(path).exists():
            return []
        for name in asked["benchmarks"]:
            table = Path(path).with_name(f"{name}.parquet")
            if not table.exists():
                self._force(path)
                self._tell(name, f"{table} is not there: {name} is sampled when it is needed.")
            elif (told := stated(table)) is None or (found := differences(told, samples(asked, name))):
                phrases = ["it states none"] if told is None else found
                self._again(path, [phrase for phrase in phrases if not phrase.startswith(OF_INPUTS)], str(table))
        if stated(Path(path)) != asked:
            self._force(path)
        return []

    def check_table(self, tables: Mapping[str, Settings], path: str) -> list[str]:
        """The same of one of a study's tables (workflow.common.tables)."""
        return self.check(path, tables[path])

    def check_tables(self, tables: Mapping[str, Settings], paths: Iterable[str]) -> list[str]:
        """The same of those of these files that are tables."""
        return [path for table in paths if table in tables for path in self.check_table(tables, table)]

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

    def check_outputs(self, path: str, where: str, faults: Callable[[], list[str]]) -> list[str]:
        """Have the job that writes `path` run again if its outputs are not what it wrote, but only if another job reads them.

        Jobs have `path` alone as input, in place of all its outputs, so that Snakemake misses none that is gone or changed.

        Args:
            where: what was unpacked, for the message.
            faults: names, as phrases, the outputs that are wrong. It reads them all: it is not called if nothing is to be made,
                nor if they are written again anyway.
        """
        dag = self.workflow.dag
        if self.workflow.remote_exec or hasattr(dag, WATCHED):
            return []
        update = dag.update_needrun

        async def updating(*arguments: Any, **options: Any) -> None:
            await update(*arguments, **options)
            if _only_read(dag, path) and (found := faults()):
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                self._force(path)
                self._tell(found[0], f"{where}: {found[0]}{more}. All of it is unpacked again.")
                await update(*arguments, **options)

        dag.update_needrun = updating
        setattr(dag, WATCHED, True)
        return []

    def _again(self, path: str, why: list[str], table: str = "") -> None:
        """Have `path` made again, and say why; `table`: the file that states other settings, if it is not `path` itself."""
        self._force(path)
        if why:
            phrase = "; ".join(why[:3])
            told = f"{table or path} states other settings than the configuration: {phrase}. It is made again when it is needed."
            self._tell(phrase, told)

    def _force(self, path: str) -> None:
        self.found.add(path)
        self.workflow.dag.forcefiles.add(path)

    def _tell(self, phrase: str, text: str) -> None:
        """Say something once, however many results it is true of."""
        if phrase not in self.said:
            self.said.add(phrase)
            self.say(text)

    def forced_by_hand(self, jobs: Iterable[Any]) -> list[Any]:
        """Of the jobs that will run those that --forcerun, --force or --forceall names, by their rule or by an output."""
        dag = self.workflow.dag
        by_hand = dag.forcefiles - self.found
        return [job for job in jobs if job.rule in dag.forcerules or not by_hand.isdisjoint(job.output)]


def _only_read(dag: Any, path: str) -> bool:
    """Whether some job that will run is made, at whatever distance, of a file that stays as it is."""
    writers = [job for job in dag.jobs if path in job.output]
    return bool(writers) and not dag.needrun(writers[0]) and any(map(dag.needrun, dag.bfs(dag.depending, *writers)))


def json_of(path: str) -> Any:
    """What a file holds; None if it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
