"""The states of a trajectory, one Parquet each: which are there and good, and what is made of all of them.

Like samples of benchmarks they are no outputs that Snakemake deletes before a job starts or after one fails: only the table of
their trajectory is. A killed job keeps the states that it finished, and a further state costs only itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asymgrpo.content import data_hash
from asymgrpo.errors import DataError
from asymgrpo.files import remove_partial, write_table
from asymgrpo.probe.first_order import Row
from asymgrpo.probe.measure import as_table
from asymgrpo.provenance import derived
from asymgrpo.readers import read_table
from asymgrpo.study.agreement import differences


@dataclass(frozen=True)
class States:
    """Tables of states beside the table of their trajectory."""

    out: Path
    """Table of the trajectory; states lie in the folder of its name."""
    about: Mapping[str, Any]
    """What every state must say of itself: `settings`, and the identity of weights and data."""

    def path(self, step: int) -> Path:
        return self.out.with_suffix("") / f"step{step:06d}.parquet"

    def fault(self, step: int) -> str | None:
        """Why the state cannot be kept, or None; one that is not there has the fault "missing"."""
        path = self.path(step)
        if not path.exists():
            return "missing"
        try:
            table = read_table(path)
            told = metadata(table)
        except DataError as error:
            return str(error)
        if found := differences(told.get("settings"), self.about["settings"]):
            return f"{path} is of other settings: {found[0]}"
        if told.get("identity") != self.about["identity"]:
            return f"{path} is of another run"
        return None if told.get("data_hash") == data_hash(table) else f"{path} has changed since it was written"

    def missing(self, steps: Iterable[int], say) -> list[int]:
        """The steps whose states must be made, in their order; what is wrong with a table that is there is said."""
        folder = self.path(0).parent
        if folder.exists():
            remove_partial(folder)
        faults = {step: why for step in sorted(steps) if (why := self.fault(step))}
        for why in faults.values():
            if why != "missing":
                say(f"{why}; it is made again.")
        return list(faults)

    def write(self, step: int, rows: Iterable[Row], code: Mapping[str, Any]) -> None:
        """A state's table, whole or not at all; `code`: which code made it (asymgrpo.provenance)."""
        table = as_table(rows)
        write_table(table, self.path(step), {**self.about, **code, "step": step, "data_hash": data_hash(table)})

    def join(self, steps: Iterable[int], **more: Any) -> None:
        """The table of the trajectory: the states' rows with their step. `more`: settings beside those of a state."""
        import pyarrow as pa

        parts, inputs = [], {}
        for step in sorted(steps):
            table = read_table(self.path(step))
            inputs[f"step{step}"] = metadata(table)
            column = pa.array([step] * table.num_rows, pa.int32())
            parts.append(table.replace_schema_metadata(None).add_column(0, "step", column))
        whole = pa.concat_tables(parts)
        settings = {**self.about["settings"], **more}
        write_table(whole, self.out, {"data_hash": data_hash(whole), **derived(inputs), "settings": settings})


def metadata(table: Any) -> dict[str, Any]:
    """What a table says of itself. Raises DataError when it is not what `write_table` writes."""
    import json

    from asymgrpo.files import METADATA_KEY

    try:
        found = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError("its metadata are damaged; delete it.")
    return found
