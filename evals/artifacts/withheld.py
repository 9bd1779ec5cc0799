"""Problem tables without their texts, for data sets whose licence does not let us pass them on: identifiers and hashes stay."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa

from asymgrpo.tasks.spec import dataset_spec, known_names
from evals.io import METADATA_KEY, table_metadata
from evals.tables.shared import WITHHELD, problem_key


def withheld_licence(dataset: str) -> str | None:
    """The licence for which the texts of a data set are not passed on; None where they may be, or it is not one of ours.

    >>> withheld_licence("aime26"), withheld_licence("math500"), withheld_licence("mine")
    ('CC-BY-NC-SA-4.0', None, None)
    """
    spec = dataset_spec(dataset) if dataset in known_names() else None
    return None if spec is None or spec.may_be_passed_on else spec.licence


def without_texts(table: pa.Table) -> pa.Table:
    """A problem table as it may be passed on: itself, or with hashes in place of problems and reference answers.

    The hash of a problem is that of its normalised text, by which benchmarks that share it are found (evals.tables.shared).
    """
    about = table_metadata(table)
    licence = withheld_licence(str(about.get("dataset")))
    if licence is None or WITHHELD in about:
        return table
    about |= {WITHHELD: licence, "patched": [{"problem_id": patch["problem_id"]} for patch in about.get("patched", [])]}
    keys = {
        "problem": [problem_key(text) for text in table["problem"].to_pylist()],
        "answer": [f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" for text in table["answer"].to_pylist()],
    }
    for name, values in keys.items():
        table = table.set_column(
            table.schema.get_field_index(name), table.schema.field(name), pa.array(values, pa.string())
        )
    metadata = dict(table.schema.metadata or {}) | {METADATA_KEY: json.dumps(about).encode()}
    return table.replace_schema_metadata(metadata)
