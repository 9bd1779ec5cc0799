"""One SLURM for all tests of this folder, and one undisturbed study to compare with."""

import os
import tempfile
from pathlib import Path

import psutil
import pytest
from cluster import Cluster, Snakemake, missing

from tests.containers.image import images

__all__ = ["images"]


@pytest.fixture(scope="session")
def slurm():
    """A running SLURM; taking it down must leave nothing."""
    if missing():
        pytest.skip(missing())
    # not below pytest's folder, which other users may not enter: munge asks for that
    place = Path(tempfile.gettempdir())
    for left in place.glob("asymgrpo-slurm-*"):  # of a test session that was killed
        if not psutil.pid_exists(int(left.name.rsplit("-", 1)[1])):
            Cluster(left).down()
    cluster = Cluster(place / f"asymgrpo-slurm-{os.getpid()}")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
    assert not cluster.root.exists()
    assert not os.path.lexists("/etc/slurm/slurm.conf")
    assert "slurm_up.sh" not in Path("/etc/hosts").read_text()
    left = [line for line in os.popen("ps -eo pid,args").read().splitlines() if str(cluster.root) in line]
    assert not left, left


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Where studies write: the same place, because some metadata name it."""
    return tmp_path_factory.mktemp("study") / "results"


@pytest.fixture(scope="session")
def undisturbed(results):
    """Results of the study without SLURM, moved out of the way."""
    log, aside = results.parent / "undisturbed.log", results.parent / "undisturbed"
    Snakemake("all", "--cores", "2", results=results, environment=os.environ, log=log).ended()
    return results.rename(aside)
