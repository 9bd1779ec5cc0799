"""Jobs that need a GPU, on a machine without a cluster: one after another, unless the user says how many there may be."""

import re

import pytest
from dry import run_mini

GPU = 'machine={"kind": "h100-80gb", "memory_gb": 8, "hours": 1}'
CPU = 'machine={"kind": "cpu"}'


@pytest.mark.parametrize(
    ("machine", "words", "limit"),
    [(GPU, (), 1), (GPU, ("--resources", "gpu=3"), 3), (CPU, (), None)],
    ids=["a GPU", "three as asked", "no GPU"],
)
def test_one_job_at_a_time_has_the_gpu(tmp_path, machine, words, limit):
    done = run_mini(f"{tmp_path / 'r'}/config/study.json", *words, results=tmp_path / "r", changes=(machine,))
    found = re.search(r'Provided resources: .*Resource\("gpu", (\d+)\)', done.stdout + done.stderr)
    assert (found and int(found[1])) == limit
