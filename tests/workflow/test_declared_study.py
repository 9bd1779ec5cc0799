"""A declared study from `asymgrpo prereg` to its bundle: runs state the protocol, rows say so, later changes are refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dry import MINI, ROOT, arguments, planned, run_mini, said

from asymgrpo.files import METADATA_KEY, sha256_file

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("declared") / "protocol.json"
    command = [sys.executable, "-m", "asymgrpo", "prereg", "--configfile", MINI, "--out", str(out)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return out


@pytest.fixture(scope="module")
def declared(results: Path, protocol: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The mini study made again under its protocol, and what that planned; its data and base model are those of `results`."""
    folder = tmp_path_factory.mktemp("declared") / "results"
    shutil.copytree(results, folder)
    plan = said(folder.parent / "plan", "-n", "tables", *arguments(folder, f"protocol={protocol}"))
    run_mini("tables", results=folder, changes=(f"protocol={protocol}",))
    return folder, planned(plan)


def test_every_run_is_made_again_and_states_the_protocol(results, declared, protocol):
    folder, jobs = declared
    assert jobs["train"] == 2
    assert jobs["protocol"] == 1
    assert "base_model" not in jobs
    digest = sha256_file(protocol)
    assert (folder / "config/protocol.json").read_bytes() == protocol.read_bytes()
    for run in ("grpo", "asymgrpo_clip_higher"):
        place = f"runs/tiny/{run}/seed0"
        done = json.loads((folder / place / "done.json").read_text())
        before = json.loads((results / place / "done.json").read_text())
        assert done["settings"] == before["settings"] | {"protocol": digest}
        assert done["sha256"] != before["sha256"], "no run goes on from a checkpoint of before"
        metadata = json.loads(pq.read_schema(folder / place / "metrics.parquet").metadata[METADATA_KEY])
        assert metadata["settings"]["protocol"] == digest
        one, other = (pq.read_table(home / place / "metrics.parquet") for home in (folder, results))
        assert one.equals(other), "what a run computes does not depend on who declared it"
    assert json.loads((folder / "config/study.json").read_text())["config"]["protocol"] == f"sha256:{digest}"


def test_rows_say_what_was_declared(results, declared):
    folder, _ = declared
    mine, before = (pq.read_table(home / "claims.parquet").to_pandas() for home in (folder, results))
    assert set(mine["protocol"]) == {"declared before"}
    assert set(before["protocol"]) == {"exploratory: no protocol"}
    assert mine.drop(columns="protocol").equals(before.drop(columns="protocol"))
    assert f"Declared before their runs: {len(mine)}." in (folder / "claims.md").read_text()


def test_nothing_is_left_to_do_and_a_change_is_refused_before_any_job(declared, protocol, tmp_path):
    folder, _ = declared
    again = said(tmp_path / "again", "-n", "tables", *arguments(folder, f"protocol={protocol}"))
    assert planned(again) == {}
    change = ('study={"seeds": [0, 1]}', f"protocol={protocol}")
    refused = run_mini("tables", results=folder, changes=change, check=False)
    assert refused.returncode != 0
    said_of_both = "changed after: seeds.asymgrpo_clip_higher [0] -> [0, 1]; seeds.grpo [0] -> [0, 1]."
    assert said_of_both in refused.stdout + refused.stderr
    assert not (folder / "runs/tiny/grpo/seed1").exists()


def test_the_record_survives_into_a_bundle_and_out_of_it(declared, tmp_path):
    folder, _ = declared
    bundle, out = tmp_path / "study.zip", tmp_path / "out"
    make = [sys.executable, "-m", "evals.artifacts.bundle", "make", "--results", str(folder), "--out", str(bundle)]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    words = ["tables", "--config", f"artifacts={bundle}", f"results={out}", "--nolock", "--cores", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("config/protocol.json", "claims.parquet", "claims.md", "runs/tiny/grpo/seed0/done.json"):
        assert (out / name).read_bytes() == (folder / name).read_bytes(), name
