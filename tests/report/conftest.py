import shutil

import pytest
from synthetic import make_study


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The results folder of a study; tests that change it copy it first."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def browser():
    """A real headless Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed; .ci/system.sh installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()
