"""A failed job does not make Snakemake forget what has changed: on Snakemake itself, with a chain of two jobs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from workflow import records

if config["kept"]:
    records.keep_of_failed_jobs()

rule table:
    input: "samples.txt"
    output: "table.txt"
    shell: "cp {{input}} {{output}}"

rule samples:
    input: "setting.txt"
    output: "samples.txt"
    params: steps=config["steps"]
    shell: "{{config[then]}}; test $(cat {{input}}) != bad; test {{params.steps}} != 0; cat {{input}} > {{output}}"
"""


class Study:
    def __init__(self, folder: Path, kept: bool):
        self.folder, self.kept = folder, kept
        (folder / "Snakefile").write_text(SNAKEFILE)

    def run(
        self, *options: str, setting: str = "good", steps: int = 1, then: str = "true"
    ) -> subprocess.CompletedProcess:
        path = self.folder / "setting.txt"
        if not path.exists() or path.read_text() != setting:
            path.write_text(setting)
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--latency-wait", "0", *options]
        command += ["--rerun-triggers", "mtime", "input", "params"]
        command += ["--config", f"kept={self.kept}", f"steps={steps}", f"then={then}"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    def plans(self, **settings) -> bool:
        """Whether a dry run would make the samples."""
        done = self.run("--dry-run", **settings)
        assert done.returncode == 0, done.stderr
        return "rule samples" in done.stderr + done.stdout


@pytest.fixture
def study(tmp_path):
    """A finished study."""
    found = Study(tmp_path, kept=True)
    assert found.run().returncode == 0
    return found


@pytest.mark.parametrize("change", [{"setting": "bad"}, {"steps": 0}], ids=["input", "params"])
def test_a_change_that_failed_is_tried_again_unless_it_is_taken_back(study, change):
    assert study.run(**change).returncode == 1
    assert study.plans(**change)
    assert not study.plans()
    assert (study.folder / "table.txt").read_text() == "good"


def test_refused_outputs_count_as_failed(study):
    """The command succeeds, but Snakemake does not take what it made: here because nothing is there."""
    nothing = {"steps": 2, "then": "exit 0"}
    assert study.run(**nothing).returncode == 1
    assert study.plans(**nothing)


def test_a_first_failure_leaves_no_record(tmp_path):
    study = Study(tmp_path, kept=True)
    assert study.run(setting="bad").returncode == 1
    assert not [path for path in (tmp_path / ".snakemake" / "metadata").rglob("*") if path.is_file()]


def test_without_it_snakemake_forgets(tmp_path):
    """When this fails, Snakemake has changed, and workflow/records.py may go."""
    study = Study(tmp_path, kept=False)
    assert study.run().returncode == 0
    assert study.run(setting="bad").returncode == 1
    assert not study.plans(setting="bad")


SHARED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from workflow import records

FILES = ["manifest.txt", "a.txt", "b.txt"]
records.share(FILES)

rule table:
    input: "b.txt"
    output: "table.txt"
    shell: "cp {{input}} {{output}}"

rule unpack:
    output: FILES
    params: steps=config["steps"]
    shell: "for file in {{output}}; do echo {{params.steps}} > $file; done; {{config[then]}}"
"""


def test_files_that_share_a_record_are_watched_as_if_each_had_its_own(tmp_path):
    study = Study(tmp_path, kept=True)
    (tmp_path / "Snakefile").write_text(SHARED)

    def planned(**settings) -> bool:
        done = study.run("--dry-run", "--rerun-incomplete", **settings)
        assert done.returncode == 0, done.stderr
        return "rule unpack" in done.stderr + done.stdout

    killed = {"then": "kill -9 $PPID"}
    assert study.run(**killed).returncode != 0
    assert (tmp_path / "b.txt").exists()
    assert planned()  # what a killed call wrote is not taken
    assert study.run("--rerun-incomplete", "--nolock").returncode == 0
    assert len([path for path in (tmp_path / ".snakemake" / "metadata").rglob("*") if path.is_file()]) == 2
    assert not planned()
    assert planned(steps=2)
    (tmp_path / "b.txt").unlink()
    (tmp_path / "table.txt").unlink()
    assert planned()
