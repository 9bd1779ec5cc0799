"""Configurations from files: default.yaml updated as Snakemake updates it, and the study that a folder of results states.

The merge is ours and not snakemake.utils.update_config: the planner runs where Snakemake is not installed, and starts at once.
A test merges generated mappings by both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from asymgrpo.study import on_top
from asymgrpo.study.config import ConfigError, Study, parse
from asymgrpo.study.layout import CONFIGURATION
from asymgrpo.study.user_arms import with_sources

ROOT = Path(__file__).parents[2]
DEFAULTS = ROOT / "config" / "default.yaml"
BEFORE: Mapping[str, Any] = {"data": {"split_by": "problem"}}
"""Values of keys in studies that are older than the key, where default.yaml has another."""


def updated(old: Any, new: Mapping[str, Any]) -> Any:
    """`old` with the values of `new`, mapping by mapping; what is not a mapping is replaced. Neither argument is changed.

    An empty mapping changes nothing, whatever `old` is: so Snakemake has it.

    >>> updated({"train": {"steps": 1, "seed": 2}, "k": [1]}, {"train": {"steps": 3}, "k": [4]})
    {'train': {'steps': 3, 'seed': 2}, 'k': [4]}
    """
    if not new:
        return old
    found = dict(old) if isinstance(old, Mapping) else {}
    for key, value in new.items():
        found[key] = updated(found.get(key, {}), value) if isinstance(value, Mapping) else value
    return found


def merged(configs: Sequence[Path], option: str = "--configfile") -> dict[str, Any]:
    """default.yaml updated by each file in turn; `option`: with which the files were given, for messages.

    Raises:
        ConfigError: a file is missing, or is not given after the one that it belongs on top of. ArmError: of a user's arm.
    """
    mapping: dict[str, Any] = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    for path in configs:
        if not path.is_file():
            raise ConfigError(f"config: {path} is missing; give the configuration files that snakemake gets.")
    on_top.require(configs, ROOT, option)
    for path in configs:
        mapping = updated(mapping, with_sources(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, path.parent))
    mapping.pop(on_top.KEY, None)
    return mapping


def load_study(configs: Sequence[Path], option: str = "--configfile") -> Study:
    """The study of default.yaml and the files, as `merged` has it. Raises ConfigError."""
    return parse(merged(configs, option))


def study_of_results(results: Path) -> Study:
    """The study whose results lie in a folder, as config/study.json there tells it.

    Raises:
        ConfigError: there is no such file, or this code does not understand it.
    """
    path = results / CONFIGURATION
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["config"]
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; name the folder of results of a study (snakemake writes it)"
        ) from None
    return parse_stored(stored)


def parse_stored(stored: Mapping[str, Any]) -> Study:
    """A study that was written by this or an earlier version."""
    return parse(completed(stored, yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))))


def completed(stored: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of this or an earlier version: keys that it did not have yet mean what was done before (BEFORE), or have
    their value in default.yaml.

    >>> completed({"data": {"train": "a"}}, {"data": {"train": "b", "split_by": "numbers"}, "name": "c"})
    {'data': {'train': 'a', 'split_by': 'problem'}, 'name': 'c'}
    """
    return updated(updated(defaults, BEFORE), stored)


def configuration(study: Study) -> dict[str, Any]:
    """The whole configuration with its sha256: what config/study.json holds, for readers."""
    dumped = study.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()
    return {"config_sha256": digest, "config": dumped}


def document(value: Any) -> str:
    """A value as the text of a JSON file."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
