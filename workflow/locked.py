"""What config/data.lock.yaml says of data and models today: a changed entry makes again what was made with another one.

The lock is no setting: only the content of a set counts, wherever it lies, and a first fetch writes into it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from asymgrpo.errors import DataError
from asymgrpo.study.settings import Settings
from asymgrpo.tasks.lock import Lock, read_lock


class Locked:
    """The lock at `path`, read when it is first asked; one that cannot be read says nothing (who needs it next says why)."""

    def __init__(self, path: str):
        self.path = Path(path)

    @cached_property
    def lock(self) -> Lock:
        try:
            return read_lock(self.path)
        except DataError:
            return Lock(datasets={}, models={})

    def data(self, asked: Settings) -> dict[str, str | None]:
        """What a problem table of these settings states of its whole data set; None where the lock does not say."""
        entry = self.lock.datasets.get(asked["dataset"])
        size = (asked.get("embedded_n"), asked.get("embedded_seed"))
        applies = entry is not None and (entry.seed is None or (entry.rows, entry.seed) == size)
        return {"dataset_sha256": entry.content_sha256 if entry is not None and applies else None}

    def model(self, asked: Settings) -> dict[str, str | None]:
        """What the manifest of a base model of these settings states; None where the lock does not say."""
        return {"revision": self.lock.models.get(asked["hub_id"]) if "hub_id" in asked else None}
