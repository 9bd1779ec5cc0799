"""Wrong answers that the verifier accepts, each with its reason: remainders.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml

FILE = Path(__file__).with_name("remainders.yaml")


def remainders() -> list[dict[str, str]]:
    """Entries of remainders.yaml: kind, `reference` (exact) or `like` (a pattern for the whole of it), why."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))
