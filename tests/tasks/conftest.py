import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The shared benchmark files: ASYMGRPO_DATA, relative to the repository's root."""
    path = (ROOT / os.environ.get("ASYMGRPO_DATA", "../shared/datasets")).resolve()
    assert path.is_dir(), f"no benchmark files at {path}; set ASYMGRPO_DATA to their folder"
    return path


@pytest.fixture(scope="session")
def lock() -> Path:
    return ROOT / "config" / "data.lock.yaml"
