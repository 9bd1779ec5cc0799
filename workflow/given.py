"""The settings of jobs as files: a job's command names one, and Snakemake's parameter is that name.

A file is named by its content, so that no other call, of another configuration, can change what a waiting job will read; and
another content is another parameter, for which Snakemake runs the job again. Files are written when jobs are about to start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from asymgrpo.files import write_json
from asymgrpo.study.settings import Settings, dumps
from workflow.stale import json_of


class GivenSettings:
    """Remembers what it named, until `write`."""

    def __init__(self, results: str):
        self.folder = f"{results}/config/settings"
        self.named: dict[str, Settings] = {}

    def file(self, settings: Settings) -> str:
        """The name of the file with these settings.

        >>> given = GivenSettings("results")
        >>> given.file({"of": "base model", "kind": "gguf"})
        'results/config/settings/base-model-1e183b479357.json'
        """
        kind = str(settings["of"]).replace(" ", "-")
        digest = hashlib.sha256(dumps(settings).encode()).hexdigest()[:12]
        path = f"{self.folder}/{kind}-{digest}.json"
        self.named[path] = settings
        return path

    def write(self, jobs: Iterable[Any]) -> None:
        """Write the files that the commands of these jobs name, also over one that holds something else."""
        for job in jobs:
            named = job.params.get("settings") or []
            for path in [named] if isinstance(named, str) else named:
                if json_of(path) != self.named[path]:
                    write_json(self.named[path], path)
