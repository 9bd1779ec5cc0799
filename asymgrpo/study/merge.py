"""The study that the planner is asked about: default.yaml updated by files, as Snakemake merges its --configfile arguments.

Snakemake itself is not imported: the planner runs where it is not installed, and starts at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asymgrpo.study.config import ConfigError, Study, parse

ROOT = Path(__file__).parents[2]


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


def merged(configs: Sequence[Path]) -> dict[str, Any]:
    """default.yaml updated by each file in turn. Raises ConfigError when a file is missing."""
    import yaml

    mapping: dict[str, Any] = yaml.safe_load((ROOT / "config" / "default.yaml").read_text(encoding="utf-8"))
    for path in configs:
        if not path.is_file():
            raise ConfigError(f"planner: {path} is missing; give the configuration files that snakemake gets.")
        mapping = updated(mapping, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return mapping


def load_study(configs: Sequence[Path]) -> Study:
    """The study of default.yaml and the files. Raises ConfigError."""
    return parse(merged(configs))
