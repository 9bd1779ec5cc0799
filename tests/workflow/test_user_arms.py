"""Arms that a study defines: from parts of the table, and with a Python file of the user's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from dry import MINI, ROOT, arguments, planned, said

from asymgrpo.study.settings import run
from asymgrpo.study.stored import load_study, study_of_results
from asymgrpo.study.user_arms import with_sources

GOOD = "def advantage(rewards):\n    return 2.0 * rewards - 1.0\n"
STUDY = {
    "study": {"arms": ["own", "parts"]},
    "arms": {
        "own": {"base": "grpo", "python": "arms/my_arm.py:advantage"},
        "parts": {"base": "asymgrpo", "beta_pos": 0.8, "clip_high": 0.3},
    },
}


def written(folder: Path, source: str | None = GOOD, study: dict = STUDY) -> Path:
    """A configuration file with its arm in a folder beside it."""
    (folder / "arms").mkdir(exist_ok=True)
    if source is not None:
        (folder / "arms/my_arm.py").write_text(source)
    (folder / "mine.yaml").write_text(yaml.safe_dump(study))
    return folder / "mine.yaml"


def call(config: Path, results: Path) -> list[str]:
    words = arguments(results)
    words.insert(words.index(MINI) + 1, str(config))
    return words


def plan(folder: Path, *words: str) -> str:
    return said(folder / "said", "-n", *words, *call(folder / "mine.yaml", folder / "results"))


def test_new_arms_are_planned_like_the_others(tmp_path):
    written(tmp_path)
    assert planned(plan(tmp_path, "all"))["train"] == 2
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            None,
            "arms.own.python: there is no file '{folder}/arms/my_arm.py'; give its path relative to the configuration file.",
        ),
        (
            "def advantage(r):\n    return r / r.mean()\n",
            "arms.own.python: my_arm.py:advantage gives a prompt other values",
        ),
        (
            "def advantage(r):\n    return r * float('nan')\n",
            "my_arm.py:advantage returns nan for a group with 0 of 4 correct",
        ),
        ("def advantage(r):\n    return r[:, 0]\n", "my_arm.py:advantage returns the shape [10] for rewards"),
        (
            "import random\ndef advantage(r):\n    return r * random.random()\n",
            "gives other values when it is called again",
        ),
        ("def advantages(r):\n    return r\n", "my_arm.py has no function 'advantage'"),
    ],
)
def test_a_wrong_file_is_refused_before_any_job(tmp_path, source, sentence):
    written(tmp_path, source)
    text = plan(tmp_path, "all")
    assert sentence.format(folder=tmp_path) in text
    assert "Traceback" not in text
    assert "This was a dry-run" not in text


def test_the_name_of_a_file_says_the_function_too(tmp_path):
    written(tmp_path, study=STUDY | {"arms": {"own": {"base": "grpo", "python": "arms/my_arm.py"}}})
    assert "arms.own.python = 'arms/my_arm.py' is not of the form FILE.py:FUNCTION" in plan(tmp_path, "all")


def test_the_text_of_the_file_is_part_of_the_runs_settings(tmp_path):
    def settings() -> dict:
        from asymgrpo.study.settings import plan_of

        return run(plan_of(load_study([ROOT / MINI, tmp_path / "mine.yaml"])), "tiny", "own", 0)

    written(tmp_path)
    first = settings()
    assert first["arm"]["advantage"]["source"] == GOOD
    (tmp_path / "elsewhere").mkdir()
    assert str(tmp_path) not in json.dumps(first), "where the file lies is no part of what it computes"
    written(tmp_path, GOOD + "# another text\n")
    assert settings() != first


def test_a_path_on_the_command_line_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = with_sources(STUDY, Path())
    assert found["arms"]["own"]["python"]["source"] == GOOD
    assert STUDY["arms"]["own"]["python"] == "arms/my_arm.py:advantage", "the argument is not changed"


@pytest.mark.slow
def test_a_users_arm_trains_and_stands_in_tables_without_its_file(tmp_path):
    """From training to Table 1; when the file is gone the finished study can still be read."""
    config, results = written(tmp_path, study=STUDY | {"study": {"arms": ["own"]}}), tmp_path / "results"
    targets = [f"{results}/{name}" for name in ("table1.md", "config/study.json")]
    command = [sys.executable, "-m", "snakemake", *targets, *call(config, results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table = (results / "table1.md").read_text()
    assert "| own |" in table
    assert "own" in set(pq.read_table(results / "scores.parquet")["arm"].to_pylist())
    told = json.loads((results / "runs/tiny/own/seed0/done.json").read_text())["settings"]["arm"]["advantage"]
    assert (told["estimator"], told["function"], told["source"]) == ("python", "advantage", GOOD)
    conventions = json.loads((results / "runs/tiny/own/seed0/conventions.json").read_text())
    assert conventions["arm"]["advantages"]["4 of 8 correct"] == {"correct": 1.0, "wrong": -1.0}
    (tmp_path / "arms/my_arm.py").unlink()
    assert study_of_results(results).arms["own"]["python"]["source"] == GOOD
