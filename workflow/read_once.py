"""Refuse a configuration file that has a key twice, before Snakemake reads it and keeps the last value only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from asymgrpo.study.config import ConfigError


def read_once(files: Iterable[Path]) -> None:
    """Raises ConfigError when a key is twice in one of the files that --configfile names."""
    if problems := [sentence for path in files for sentence in repeated_keys(Path(path))]:
        raise ConfigError("\n".join(problems))


def repeated_keys(path: Path) -> Iterator[str]:
    """A sentence for every key that a file of YAML or JSON has twice: its first value would be lost without a word."""
    import yaml

    try:
        top = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # said by Snakemake, which reads it as well
        return
    nodes, seen = [top], set[int]()
    while nodes:
        node = nodes.pop(0)
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in lines and isinstance(key, yaml.ScalarNode):
                    yield (
                        f"config: {path}: key {key.value!r} is there twice (lines {lines[key.value]} and {line}); join them."
                    )
                lines.setdefault(key.value if isinstance(key, yaml.ScalarNode) else str(key), line)
                nodes.append(value)
