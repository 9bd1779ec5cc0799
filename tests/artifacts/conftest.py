"""A finished small study, a bundle of it, and what Snakemake rebuilds from that where nothing heavy can be imported."""

from pathlib import Path

import pytest
from bundled import COMMITTED, snakemake

from evals.artifacts.bundle import make

# These are not tests: the one would block imports here, the other needs packages of its own.
collect_ignore = ["blocked", "validate_crate.py"]
# The bundle is committed when the full study has been run; what it must give again is recorded beside it.
if not COMMITTED.exists():
    collect_ignore.append("test_committed.py")


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """Results of a finished study."""
    folder = tmp_path_factory.mktemp("finished") / "results"
    files = ("--configfile", "tests/workflow/mini.yaml", "tests/artifacts/mini.yaml")
    done = snakemake("all", *files, "--config", f"results={folder}", f"checkpoints={folder}-checkpoints")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def bundle(results, tmp_path_factory) -> Path:
    """A bundle of these results."""
    path = tmp_path_factory.mktemp("bundle") / "study.zip"
    make(results, path)
    return path


@pytest.fixture(scope="session")
def rebuilt(bundle, tmp_path_factory) -> Path:
    """Tables and figures made from the bundle, in an environment without training packages."""
    folder = tmp_path_factory.mktemp("rebuilt") / "results"
    done = snakemake(
        "figures", "tables", "controls", "--config", f"artifacts={bundle}", f"results={folder}", light=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
