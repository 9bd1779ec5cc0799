"""The settings of jobs, and long lists of files, as files: a job's command names one, and Snakemake's parameter is that name.

A file is named by its content, so that no other call, of another configuration, can change what a waiting job will read; and
another content is another parameter, for which Snakemake runs the job again. Files are written when jobs are about to start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asymgrpo.errors import InputError
from asymgrpo.files import write_text
from asymgrpo.study.settings import Settings, dumps


class GivenSettings:
    """Remembers what it named, until `write`."""

    def __init__(self, results: str):
        self.folder = f"{results}/config"
        self.named: dict[str, Settings | str] = {}

    def file(self, settings: Settings) -> str:
        """The name of the file with these settings.

        >>> given = GivenSettings("results")
        >>> given.file({"of": "base model", "kind": "gguf"})
        'results/config/settings/base-model-1e183b479357.json'
        """
        kind = str(settings["of"]).replace(" ", "-")
        return self._name(f"settings/{kind}", dumps(settings), ".json", settings)

    def list(self, paths: Sequence[str]) -> str:
        """The name of the file that lists these paths, one a line; a command reads it as @NAME (evals.cli). The kernel limits a
        command line to 128 KiB an argument, which the paths of some 1,200 runs exceed.

        >>> given = GivenSettings("results")
        >>> given.list(["a.parquet", "b.parquet"])
        'results/config/lists/2-files-b27dcafa082f.txt'
        """
        if odd := [path for path in paths if "\n" in path]:
            raise InputError(f"{odd[0]!r}: a path with a line break cannot be listed; rename the folder")
        text = "".join(f"{path}\n" for path in paths)
        return self._name(f"lists/{len(paths)}-files", text, ".txt", text)

    def _name(self, start: str, content: str, ending: str, named: Settings | str) -> str:
        path = f"{self.folder}/{start}-{hashlib.sha256(content.encode()).hexdigest()[:12]}{ending}"
        self.named[path] = named
        return path

    def write(self, jobs: Iterable[Any]) -> None:
        """Write the files that the commands of these jobs name, also over one that holds something else."""
        for path in dict.fromkeys(path for job in jobs for path in _named(job)):
            named = self.named[path]
            text = named if isinstance(named, str) else json.dumps(named, indent=2, sort_keys=True) + "\n"
            if not (there := Path(path)).exists() or there.read_bytes() != text.encode():
                write_text(text, path)


def _named(job: Any) -> Iterable[str]:
    for key in ("settings", "lists"):
        named = job.params.get(key) or []
        yield from [named] if isinstance(named, str) else named
