"""Parts of a bundle by training seed, as if laboratories had run them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from asymgrpo.study.layout import CONFIGURATION, leaves
from asymgrpo.study.stored import document, parse_stored
from evals.artifacts.bundle_files import SCHEMA, Bundle, open_bundle, write_bundle
from evals.io import METADATA_KEY

COMMITTED = Path(__file__).parents[2] / "artifacts/study.zip"
STUDY = open_bundle(COMMITTED).json(CONFIGURATION)["config"]["study"]
SEEDS: list[int] = [*STUDY["seeds"][:4], *STUDY["seeds"][8:12]]
"""Seeds of the committed study's arms: the first four, which its analyses have too, and four with which some of its claims have a
variance between parts and some have none (by the seeds that follow at once, none has)."""
Edit = Callable[[str, bytes], bytes]


def part(
    whole: Bundle,
    out: Path,
    seeds: Sequence[int],
    analysis_seeds: Sequence[int],
    arms: tuple[list[str], list[str]] | None = None,
    edit: Edit = lambda name, content: content,
    more: Mapping[str, bytes] | None = None,
) -> Path:
    """A bundle of some seeds, and of some arms and analyses; `edit` may change its files, `more` are added to them."""
    config: dict[str, Any] = whole.json(CONFIGURATION)["config"]
    config["study"] |= {"seeds": list(seeds), "analysis_seeds": list(analysis_seeds)}
    config["protocol"] = None  # that of the whole is of all its runs
    if arms:
        config["study"] |= {"arms": arms[0], "analyses": arms[1]}
    text = document(
        {"config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(), "config": config}
    )
    contents = {CONFIGURATION: edit(CONFIGURATION, text.encode())}
    study = parse_stored(json.loads(contents[CONFIGURATION])["config"])
    names = [name for name in leaves(study) if name != CONFIGURATION] + ["jobs.parquet"]
    contents |= {name: edit(name, whole.read(name)) for name in names} | dict(more or {})
    files = {name: {"sha256": hashlib.sha256(it).hexdigest(), "bytes": len(it)} for name, it in contents.items()}
    write_bundle(out, contents.items(), {"schema": SCHEMA, "study": study.name, "files": files})
    return out


def edited_json(path: str, *keys: str, value: Any) -> Edit:
    """An edit of one value in the JSON files of a name."""

    def edit(name: str, content: bytes) -> bytes:
        if not name.endswith(path):
            return content
        document = json.loads(content)
        place = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return json.dumps(document).encode()

    return edit


def edited_metadata(path: str, key: str, value: Any) -> Edit:
    """An edit of one value in the metadata of the Parquet files of a name."""

    def edit(name: str, content: bytes) -> bytes:
        if not name.endswith(path):
            return content
        table = pq.read_table(BytesIO(content))
        about = json.loads(table.schema.metadata[METADATA_KEY]) | {key: value}
        stream = BytesIO()
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), stream)
        return stream.getvalue()

    return edit
