"""A study changed by a file of YAML, and by --config: both as Snakemake itself reads them."""

import copy
from pathlib import Path

import yaml
from snakemake.cli import parse_config
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "config/default.yaml").read_text(encoding="utf-8"))


def by_command(*entries: str) -> dict:
    """The default study's mapping after `--config ENTRY ...`."""
    return _over(parse_config(entries))


def by_file(text: str, folder: Path) -> dict:
    """The default study's mapping after `--configfile`, with `text` in the file."""
    path = folder / "changes.yaml"
    path.write_text(text, encoding="utf-8")
    return _over(load_configfile(path))


def _over(changes: dict) -> dict:
    mapping = copy.deepcopy(DEFAULT)
    update_config(mapping, changes)
    return mapping
