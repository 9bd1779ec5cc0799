"""Where CI is set, a skipped test is a failure: every check that the project has can run there. Nowhere is an example of
hypothesis too slow: machines are busy."""

import os

import hypothesis
import pytest

collect_ignore_glob = ["conftest.py", "*/conftest.py"]  # no doctests there, and their names are not unique
SKIPPED: list[str] = []

# Results name the commit of the code; tests compare results made minutes apart, perhaps with a commit in between.
os.environ.setdefault("ASYMGRPO_COMMIT", "0" * 40)

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        SKIPPED.append(f"{report.nodeid}: {report.longrepr}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if SKIPPED and os.environ.get("CI"):
        print("\nskipped tests are failures here:", *SKIPPED, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
