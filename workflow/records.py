"""Keep what Snakemake knew of a job's outputs before the job failed.

Snakemake writes down the parameters and input checksums of a failed job too, under the names of outputs that it then deletes
(snakemake/snakemake#3237, #2966). The next call finds nothing changed, and no job that needs the deleted files: it says "nothing
to be done", or makes Table 1 from samples of the earlier configuration under the name of the new one. With the earlier record in
place the change is seen again, and so is a change that is taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snakemake.jobs import Job
from snakemake.persistence import PersistenceBase

WRAPPED = "_asymgrpo_keeps_records"


def keep_of_failed_jobs() -> None:
    """From now on a job that fails, or whose outputs Snakemake refuses, leaves Snakemake's records as it found them."""
    if hasattr(Job, WRAPPED):
        return
    postprocess = Job.postprocess

    async def keeping(job: Any, *arguments: Any, error: bool = False, **options: Any) -> None:
        before = _records(job)
        failed = True
        try:
            await postprocess(job, *arguments, error=error, **options)
            failed = error
        finally:
            if failed:
                _restore(job, before)

    Job.postprocess = keeping
    setattr(Job, WRAPPED, True)


def _records(job: Any) -> list[tuple[Any, Any]]:
    """(output, its record or None) of every output of a job."""
    return [(output, job.dag.workflow.persistence.metadata(output)) for output in job.output]


def _restore(job: Any, records: list[tuple[Any, Any]]) -> None:
    """Put the records back, and take away those that did not exist. No output stays marked as incomplete."""
    persistence = job.dag.workflow.persistence
    for output, record in records:
        persistence.cleanup_metadata(output)
        if record is not None:
            persistence._write_record(persistence._get_key(output), record)


class _OneOutput:
    """A job as if it had a single output."""

    def __init__(self, job: Any, output: Any):
        self._job, self.output = job, [output]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def __hash__(self) -> int:
        return hash(self._job)


_first: dict[str, str] = {}
"""Output -> the first output of its job, which has the record of all."""


def share(outputs: Sequence[str]) -> None:
    """From now on these outputs of one job, which come and go together, have one record: Snakemake writes four small files for
    each output of a job, and takes a checksum of each input for each, which makes seconds for the files of a bundle."""
    if not _first:
        _wrap()
    _first.update(dict.fromkeys(outputs, outputs[0]))


def _wrap() -> None:
    key, started, finished = PersistenceBase._get_key, PersistenceBase.started, PersistenceBase.finished

    def key_of(self: Any, file: Any) -> str:
        return _first.get(str(file)) or str(key(self, file))

    def told(job: Any) -> Any:
        return _OneOutput(job, job.output[0]) if job.output and str(job.output[0]) in _first else job

    def starting(self: Any, job: Any, *arguments: Any, **options: Any) -> None:
        started(self, told(job), *arguments, **options)

    async def finishing(self: Any, job: Any) -> None:
        await finished(self, told(job))

    PersistenceBase._get_key, PersistenceBase.started, PersistenceBase.finished = key_of, starting, finishing
