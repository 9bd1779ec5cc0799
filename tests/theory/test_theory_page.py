"""docs/theory.md names functions and tests that there are."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/theory.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(asymgrpo\.theory\.\w+\.\w+)`", TEXT)))
TESTS = sorted(set(re.findall(r"`(test_\w+)`", TEXT)))


@pytest.mark.parametrize("name", NAMES)
def test_every_function_is_there(name):
    module, _, function = name.rpartition(".")
    assert hasattr(importlib.import_module(module), function)


def test_every_test_is_there():
    defined = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert len(TESTS) > 12
    assert [name for name in TESTS if f"def {name}(" not in defined] == []
