"""docs/method.md: its tables are current, and every function that it names exists."""

from __future__ import annotations

import importlib
import re

import pytest
from doc_tables import DOCUMENT, with_tables

TEXT = DOCUMENT.read_text()
NAMES = sorted(set(re.findall(r"`(asymgrpo\.\w+\.\w+\.\w+)", TEXT)))


def test_tables_are_current():
    assert with_tables(TEXT) == TEXT, "run: python tests/method/doc_tables.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_function_named_exists(name):
    module, attribute = name.rsplit(".", 1)
    assert hasattr(importlib.import_module(module), attribute)


def test_every_public_function_of_the_method_is_in_the_document():
    for module in ("advantages", "relatives", "losses", "surrogates", "reduce", "logprobs"):
        source = importlib.import_module(f"asymgrpo.method.{module}")
        for name, value in vars(source).items():
            if callable(value) and value.__module__ == source.__name__ and not name.startswith("_"):
                assert f"asymgrpo.method.{module}.{name}" in NAMES, (
                    f"describe asymgrpo.{module}.{name} in docs/method.md"
                )
