"""The workflow in a checkout with a blank and an umlaut in its path, without git, and from another folder than the checkout."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.project_files import _listed, _walked, project_files
from tests.workflow.changes import ROOT

MINI = "tests/workflow/mini.yaml"
RESULTS, CHECKPOINTS = "res ults ü", "check points ü"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """An unpacked archive at a path with a blank."""
    folder = tmp_path_factory.mktemp("a b") / "my Studie ü"
    for name in project_files(ROOT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def snakemake(place: Path, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "1"]
    done = subprocess.run(command, cwd=place, capture_output=True, env=os.environ | environment, timeout=500)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def settings(place: Path) -> list[str]:
    return ["--configfile", str(place / MINI), "--config", f"results={RESULTS}", f"checkpoints={CHECKPOINTS}"]


@pytest.mark.slow
def test_data_are_made_there(checkout):
    snakemake(checkout, f"{RESULTS}/data/chain4.parquet", "study", *settings(checkout))
    assert pq.read_table(checkout / RESULTS / "data/chain4.parquet").num_rows == 8
    study = json.loads((checkout / RESULTS / "config/study.json").read_text(encoding="utf-8"))
    assert study["config"]["results"] == RESULTS
    known = {RESULTS, ".snakemake", *(name.split("/")[0] for name in project_files(ROOT))}
    assert {path.name for path in checkout.iterdir()} <= known, "nothing is made beside what was asked for"


@pytest.mark.slow
def test_every_command_keeps_its_words(checkout):
    """Of the whole study, as `-p` prints them: a path with a blank is one word."""
    said = snakemake(checkout, "-n", "-p", "all", "report", "bundle", "crate", *settings(checkout))
    commands = [line.strip() for line in said.splitlines() if " -W ignore -m " in line]
    assert len({command.split(" -m ")[1].split()[0] for command in commands}) >= 10, "many modules"
    for command in commands:
        words = shlex.split(command)
        assert not any(word.startswith(("ults", "points", "Studie")) or word == "ü" for word in words), command
        assert any(RESULTS in word for word in words)


@pytest.mark.slow
def test_a_study_lies_where_snakemake_is_called(checkout, tmp_path):
    """The checkout is left as it is, and could not be written at all."""
    place = tmp_path / "my place"
    place.mkdir()
    before = sorted(checkout.rglob("*"))
    clean = {"PYTHONDONTWRITEBYTECODE": "1"}
    snakemake(
        place,
        f"{RESULTS}/data/chain4.parquet",
        "--snakefile",
        str(checkout / "Snakefile"),
        *settings(checkout),
        **clean,
    )
    assert pq.read_table(place / RESULTS / "data/chain4.parquet").num_rows == 8
    assert [
        path for path in sorted(checkout.rglob("*")) if path not in before and "__pycache__" not in path.parts
    ] == []


def test_files_of_an_archive_are_those_that_git_knows():
    if not (ROOT / ".git").exists():
        pytest.skip("this is an unpacked archive, with no git to compare with")
    there = {name for name in _listed(ROOT) if (ROOT / name).is_file()}
    assert there - set(_walked(ROOT)) == set()
    assert {name for name in set(_walked(ROOT)) - there if not name.endswith(".lock")} == set()
