"""One SLURM for all tests of this folder, and one undisturbed study to compare with."""

import os

import pytest
from cluster import Cluster, Snakemake, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running SLURM; taking it down must leave nothing."""
    if missing():
        pytest.skip(missing())
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "root")
    cluster.up()
    yield cluster
    cluster.down()
    assert not cluster.root.exists()
    assert not os.path.lexists("/etc/slurm/slurm.conf")
    left = [line for line in os.popen("ps -eo pid,args").read().splitlines() if str(cluster.root) in line]
    assert not left, left


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Results of the study without SLURM."""
    folder = tmp_path_factory.mktemp("undisturbed")
    Snakemake(
        "all", "--cores", "2", results=folder / "results", environment=os.environ, log=folder / "log"
    ).ended()
    return folder / "results"
