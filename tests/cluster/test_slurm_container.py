"""Images, SLURM and `snakemake --profile slurm` together: training and evaluation end with the bytes they have without."""

import json

import pytest
from cluster import Snakemake, digests

from tests.containers.image import environment, given

pytestmark = [pytest.mark.cluster, pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(3600)]

PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
PARTS = ("data", "models", "runs", "samples", "graded")


def test_a_study_in_its_image_on_slurm(slurm, undisturbed, images, tmp_path):
    settings = given(images["train"], report=images["report"])
    changes = ("study={arms: [reinforce], seeds: [0]}", f"containers={json.dumps(settings)}")
    results, log = tmp_path / "results", tmp_path / "log"
    said = Snakemake(
        *("graded", *PROFILE, "--printshellcmds"),
        results=results,
        environment=slurm.environment | environment(),
        log=log,
        changes=changes,
    ).ended()
    assert "apptainer" in next(line for line in said.splitlines() if "asymgrpo.training" in line)
    inside = {path: digest for path, digest in digests(results).items() if path.split("/")[0] in PARTS}
    assert {path.split("/")[0] for path in inside} == set(PARTS)
    outside = digests(undisturbed)
    assert {path: outside.get(path) for path in inside} == inside
