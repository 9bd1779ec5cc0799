"""Several ranks: two on one node with two GPUs, and two on two nodes that must find each other, end with the same bytes."""

import shutil

import pyarrow.parquet as pq
import pytest
from cluster import Snakemake, digests

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]

PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
RUN = "runs/tiny/reinforce/seed0"
LAYOUTS = {
    "one_node": (
        "train={nodes: 1, ranks_per_node: 2, micro_batch: 4, steps: 3, evaluate_every: 3}",
        "machine={kind: h100-80gb}",
    ),
    "two_nodes": ("train={nodes: 2, ranks_per_node: 1, micro_batch: 4, steps: 3, evaluate_every: 3}",),
}


@pytest.fixture(scope="module")
def trained(slurm, undisturbed, tmp_path_factory):
    """Results of one training per layout, both in the queue at the same time; data and base model are the study's."""
    folder = tmp_path_factory.mktemp("ranks")
    calls = []
    for name, changes in LAYOUTS.items():
        results = folder / name
        for part in ("data", "models"):
            shutil.copytree(undisturbed / part, results / part)
        target, log = f"{results}/{RUN}/done.json", folder / f"{name}.log"
        calls.append(
            Snakemake(target, *PROFILE, results=results, environment=slurm.environment, log=log, changes=changes)
        )
    for call in calls:
        call.ended()
    return folder


def allocation(slurm, nodes: int) -> dict[str, str]:
    """Accounting of the finished training job on so many nodes."""
    columns = ("State", "NNodes", "AllocTRES", "Comment")
    lines = slurm.run("sacct", "-X", "-n", "-P", f"--format={','.join(columns)}").splitlines()
    rows = [dict(zip(columns, line.split("|"), strict=True)) for line in lines]
    found = [row for row in rows if row["Comment"].endswith("tiny_reinforce_0") and row["NNodes"] == str(nodes)]
    return found[-1]


def test_two_ranks_on_one_node_have_a_gpu_each(slurm, trained):
    job = allocation(slurm, 1)
    assert job["State"] == "COMPLETED"
    assert "gres/gpu=2" in job["AllocTRES"]
    assert "cpu=2" in job["AllocTRES"]


def test_two_nodes_find_each_other(slurm, trained):
    job = allocation(slurm, 2)
    assert job["State"] == "COMPLETED"
    assert "node=2" in job["AllocTRES"]


def test_where_the_ranks_are_changes_no_byte(trained):
    one, two = (digests(trained / name / RUN) for name in LAYOUTS)
    assert one == two
    assert pq.read_table(trained / "one_node" / RUN / "metrics.parquet").num_rows == 3
