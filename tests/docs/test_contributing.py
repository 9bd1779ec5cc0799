"""CONTRIBUTING.md: an arm, a benchmark and a figure are added where it says, and nowhere else, and the workflow plans them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project_files import project_files

ROOT = Path(__file__).parents[2]
CONFIGURATION = "config/smollm2.yaml"
CHANGES = {
    "study": {"arms": ["grpo", "mine"], "seeds": [0]},
    "evaluation": {"benchmarks": ["math500", "my_benchmark"]},
    "data": {"dir": "data"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with the three additions, each in its one place."""
    copy = tmp_path_factory.mktemp("added") / "project"
    for name in project_files(ROOT):
        if not name.startswith(("docs/images", "artifacts", "benchmarks", "tests")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    edit(
        copy / "asymgrpo/method/arms.py",
        "ANALYSES = (\n",
        'ANALYSES = (\n    variant("mine", "Mine", "GRPO with a lower clip bound", clip_low=0.1),\n',
    )
    folder = copy / "asymgrpo/tasks/benchmarks"
    text = (folder / "aime24.yaml").read_text(encoding="utf-8")
    (folder / "my_benchmark.yaml").write_text(text.replace("aime24", "my_benchmark"), encoding="utf-8")
    entry = "  my_benchmark:\n    rows: 30\n    content_sha256: " + 64 * "a" + "\n    revision: null\n"
    edit(copy / "config/data.lock.yaml", "datasets:\n", f"datasets:\n{entry}")
    figures = copy / "evals/figures"
    shutil.copy2(figures / "training_curves.py", figures / "my_figure.py")
    rules = copy / "workflow/rules/figures.smk"
    edit(rules, "FIGURE_INPUTS = {\n", 'FIGURE_INPUTS = {\n    "my_figure": {"metrics": of(*STUDY.study.arms)},\n')
    for name in ("math_train.parquet", "math500.jsonl", "my_benchmark.jsonl"):  # planning looks whether they exist
        (copy / "data").mkdir(exist_ok=True)
        (copy / "data" / name).touch()
    return copy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new), encoding="utf-8")


def call(project: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=project, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_workflow_plans_the_new_arm_benchmark_and_figure(project):
    changes = [f"{key}={json.dumps(value)}" for key, value in CHANGES.items()]
    wanted = ("results-smollm2/figures/my_figure.png", "graded")
    plan = call(
        project, "snakemake", "-n", "-p", *wanted, "--configfile", CONFIGURATION, "--config", *changes, "--cores", "1"
    )
    assert "runs/smollm2/mine/seed0/done.json" in plan
    assert "samples/smollm2/mine/seed0/my_benchmark.parquet" in plan
    assert "evals.figures.my_figure" in plan


def test_the_new_arm_has_a_listing_and_the_benchmark_an_lm_eval_task(project):
    assert "clip_low" in call(project, "asymgrpo.method", "mine")
    call(project, "evals.lm_eval")
    assert "asymgrpo_my_benchmark" in (project / "evals/lm_eval/my_benchmark.yaml").read_text(encoding="utf-8")
