"""One finished mini study for all tests of this folder."""

import pytest
from dry import run_mini


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Results of the finished mini study; tests that change them put back what they found."""
    folder = tmp_path_factory.mktemp("study") / "results"
    run_mini("all", results=folder)
    return folder
