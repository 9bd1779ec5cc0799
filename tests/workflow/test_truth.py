"""A number belongs to the configuration that is written beside it, whatever is called in between."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import dry
import pytest
import yaml
from dry import run_mini

from asymgrpo.study import agreement, settings
from asymgrpo.study.config import parse
from asymgrpo.study.stored import study_of_results, updated

pytestmark = pytest.mark.slow
OTHER = ('train={"learning_rate":0.123,"steps":777}', 'evaluation={"k":[1]}', "name=other")


def digests(folder: Path) -> dict[str, str]:
    """Every file of a folder, and its bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("how", ["-n", "--summary", "--dag", "--rulegraph", "--list-rules", "--list-changes=params"])
def test_a_call_that_runs_nothing_writes_nothing(results, how):
    """Not one byte, in results or beside them, although the call names another configuration."""
    before = digests(results), digests(Path(f"{results}-checkpoints"))
    run_mini("all", how, results=results, changes=OTHER)
    assert (digests(results), digests(Path(f"{results}-checkpoints"))) == before


def test_a_dry_run_makes_no_folder(tmp_path):
    run_mini("all", "-n", results=tmp_path / "r")
    run_mini("--lint", results=tmp_path / "r", check=False)
    assert not list(tmp_path.iterdir())


def test_a_report_of_snakemake_writes_no_result(results, tmp_path):
    before = digests(results)
    run_mini("all", "--report", str(tmp_path / "jobs.html"), results=results)
    assert digests(results) == before


def test_a_call_that_finds_the_folder_locked_writes_nothing(tmp_path):
    """In a copy of the checkout, because the lock lies beside the Snakefile."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=dry.ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (dry.ROOT / name).is_file() and not name.startswith(("docs/images", "artifacts")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(dry.ROOT / name, copy / name, follow_symlinks=False)
    for name in ("profiles", "slurm"):
        if not (copy / name).exists():
            os.symlink(os.readlink(dry.ROOT / name), copy / name)

    def call(*changes: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "data",
            "study",
            "--configfile",
            dry.MINI,
            "--cores",
            "1",
            "--config",
        ]
        return subprocess.run([*command, "results=r", *changes], cwd=copy, capture_output=True, text=True, check=False)

    done = call()
    assert done.returncode == 0, done.stdout + done.stderr
    before = digests(copy / "r")
    locks = copy / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("\n".join(["r/config/study.json", "r/data/chain2.parquet"]) + "\n")
    done = call("data={embedded: {benchmark_size: 9}}", "name=other")
    assert done.returncode != 0
    assert "locked" in done.stdout + done.stderr
    assert digests(copy / "r") == before


def test_copied_results_are_not_made_again(results):
    """Other dates in any order, as `cp -r` gives them: what is the same is known by content."""
    paths = [path for path in results.rglob("*") if path.is_file()]
    before = {path: path.stat() for path in paths}
    order = random.Random(1).sample(paths, len(paths))
    try:
        for i, path in enumerate(order):
            os.utime(path, (1_800_000_000 + i, 1_800_000_000 + i))
        assert not dry.planned(run_mini("all", "-n", results=results).stdout)
    finally:
        for path, stat in before.items():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_results_whose_records_are_lost_are_judged_by_what_they_state(results, tmp_path):
    """Copied to where Snakemake has no record of any: what states other settings is made again, nothing else is."""
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    for path in sorted(copy.rglob("*"), key=lambda path: str(path).count("/"), reverse=True):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    # The configuration names the folder of results: it alone is written again.
    assert dry.planned(run_mini("all", "-n", results=copy).stdout) == {"study": 1}
    counts = dry.planned(run_mini("all", "-n", results=copy, changes=('train={"learning_rate":0.5}',)).stdout)
    assert counts["train"] == 2
    assert counts["table1"] == 1
    assert "base_model" not in counts
    counts = dry.planned(run_mini("all", "-n", results=copy, changes=('evaluation={"k":[1]}',)).stdout)
    assert {"score", "table1", "differences", "run_scores", "claims"} <= set(counts)
    assert "sample" not in counts
    counts = dry.planned(run_mini("all", "-n", results=copy, changes=("study={seeds: [0, 1]}",)).stdout)
    assert counts["train"] == 2, "finished tables do not hide runs that are new"
    counts = dry.planned(run_mini("all", "-n", results=copy, changes=("study={seeds: [1]}",)).stdout)
    assert counts["train"] == 2
    assert counts["table1"] == 1
    counts = dry.planned(run_mini("all", "-n", results=copy, changes=("evaluation={selection: [last]}",)).stdout)
    assert counts["select"] == 2
    assert counts["sample"] == 2


SMALL = ("study={arms: [grpo]}", "evaluation={selection: [validation], benchmarks: [chain2]}")
PAIRS = [
    # data and training together: what the one plans must not hide what the other changes
    ('evaluation={"selection":["validation"],"benchmarks":["chain2"],"limit":4}', 'train={"learning_rate":0.5}'),
    ('data={"embedded":{"train_size":65}}', 'models={"tiny":{"spec":{"hidden_size":16}}}'),
    ('data={"validation_size":7}', 'arms={"grpo":{"clip_low":0.1}}'),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "results"
    run_mini("graded", "study", results=folder, changes=SMALL)
    return folder


@pytest.mark.parametrize("pair", PAIRS, ids=["limit-rate", "size-spec", "split-arm"])
def test_two_changes_in_one_call_are_both_made(small, pair):
    """Every result's identity is the configuration's afterwards: problems, base model, run, samples, graded samples."""
    run_mini("graded", "study", results=small, changes=(*SMALL, *pair))
    asked = study_asked_for(small, *SMALL, *pair)
    assert study_of_results(small).model_dump() == asked.model_dump(), "the written configuration is this one"
    plan = settings.plan_of(asked)
    stated = {
        small / "models/tiny/base/manifest.json": settings.base_model(plan, "tiny"),
        small / "runs/tiny/grpo/seed0/done.json": settings.run(plan, "tiny", "grpo", 0),
        small / "runs/tiny/grpo/seed0/metrics.parquet": settings.run(plan, "tiny", "grpo", 0),
        small / "graded/tiny/grpo/seed0.parquet": settings.graded(plan, "tiny", "grpo", 0),
        small / "graded/tiny/base/seed0.parquet": settings.graded(plan, "tiny", "base", 0),
    }
    stated |= {small / f"data/{name}.parquet": settings.problems(plan, name) for name in plan["problems"]}
    for arm in ("base", "grpo"):
        samples = settings.samples(settings.graded(plan, "tiny", arm, 0), "chain2")
        stated[small / f"samples/tiny/{arm}/seed0/chain2.parquet"] = samples
    for path, told in stated.items():
        assert agreement.differences(agreement.stated(path), told) == [], path
    done = json.loads((small / "runs/tiny/grpo/seed0/done.json").read_text())
    assert done["train"]["learning_rate"] == plan["models"]["tiny"]["train"]["learning_rate"], (
        "by what was trained, too"
    )
    assert done["data_sha256"][0] == hashlib.sha256((small / "data/train.parquet").read_bytes()).hexdigest()
    weights = hashlib.sha256((small / "models/tiny/base/model.safetensors").read_bytes()).hexdigest()
    assert done["model_sha256"] == {"model.safetensors": weights}


def study_asked_for(results: Path, *changes: str):
    """The study of a call, merged as Snakemake merges it: default, mini, then each change in its order."""
    found = yaml.safe_load((dry.ROOT / "config/default.yaml").read_text())
    found = updated(found, yaml.safe_load((dry.ROOT / dry.MINI).read_text()))
    for change in changes:
        key, value = change.split("=", 1)
        found = updated(found, {key: yaml.safe_load(value)})
    return parse(found | {"results": str(results), "checkpoints": f"{results}-checkpoints"})


def test_a_finished_training_is_not_lost_when_its_outputs_are_refused(tmp_path):
    """Inputs dated an hour ahead: Snakemake refuses the outputs and deletes them. The repeated job publishes without training."""
    results = tmp_path / "results"
    run_mini("base_models", "data", "study", results=results, changes=SMALL)
    ahead = (results / "data" / "train.parquet").stat().st_mtime + 3600
    os.utime(results / "data" / "train.parquet", (ahead, ahead))
    done = run_mini("trained", results=results, changes=SMALL, check=False)
    assert done.returncode != 0, done.stdout
    assert not (results / "runs/tiny/grpo/seed0/done.json").exists()
    (concluded,) = Path(f"{results}-checkpoints").rglob("concluded.json")
    os.utime(results / "data" / "train.parquet", (ahead - 7200, ahead - 7200))
    run_mini("trained", results=results, changes=SMALL)
    log = (results / "logs/train/tiny/grpo/0.log").read_text()
    assert "2/2" in log, log
    assert not re.search(r"\b[01]/2\b", log), "it was at its end already"
    assert (results / "runs/tiny/grpo/seed0/candidates/step000002/model.safetensors").exists()
    assert not concluded.exists(), "accepted: nothing is kept for another time"
