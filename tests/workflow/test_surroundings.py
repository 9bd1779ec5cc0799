"""Where libraries may write: in a home that can be written, else in a folder of the job's own; never in one that users share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from asymgrpo import surroundings
from asymgrpo.config import parse
from asymgrpo.surroundings import FOLDERS, VLLM, SurroundingsError, own_folder, prepare
from workflow import enter

ROOT = Path(__file__).parents[2]
NO_HOME = "/proc/nohome"
"""No user can make it, root neither."""


def test_a_home_that_can_be_written_keeps_its_caches(tmp_path):
    told = {"HOME": str(tmp_path)}
    prepare(told)
    assert told == {"HOME": str(tmp_path)} | VLLM


def test_without_a_home_everything_goes_to_the_jobs_own_folder(tmp_path):
    told = {"HOME": NO_HOME, "TMPDIR": str(tmp_path), "SLURM_JOB_ID": "17"}
    prepare(told)
    own = tmp_path / f"asymgrpo-{os.getuid()}-17"
    assert {name: told[name] for name in FOLDERS} == surroundings.folders(str(own))
    assert own.stat().st_mode & 0o777 == 0o700, "nobody else looks in"
    assert own_folder(told | {"SLURM_JOB_ID": "18"}) != own
    assert own_folder({"TMPDIR": str(tmp_path)}).name == f"asymgrpo-{os.getuid()}-local"


def test_what_is_set_stays(tmp_path):
    mine = {"VLLM_CACHE_ROOT": "/mine", "VLLM_LOGGING_LEVEL": "INFO"}
    told = {"HOME": NO_HOME, "TMPDIR": str(tmp_path)} | mine
    prepare(told)
    assert mine.items() <= told.items()
    assert told["VLLM_CONFIG_ROOT"].startswith(str(tmp_path))


def test_no_place_at_all_is_an_error_that_names_both():
    with pytest.raises(SurroundingsError, match=rf"neither the home \({NO_HOME}\) nor /proc/none.* set TMPDIR"):
        prepare({"HOME": NO_HOME, "TMPDIR": "/proc/none"})


ASKS = """import os
from asymgrpo import surroundings
surroundings.prepare(os.environ)
import matplotlib, torch, transformers
from torch._inductor.runtime.cache_dir_utils import cache_dir
for folder in (matplotlib.get_cachedir(), matplotlib.get_configdir(), cache_dir(),
               transformers.utils.hub.constants.HF_HUB_CACHE):
    print(folder)
"""


def test_libraries_go_there_when_a_process_has_no_home(tmp_path):
    environment = {"HOME": NO_HOME, "TMPDIR": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ASKS], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = done.stdout.splitlines()
    assert len(found) == 4
    assert all(Path(folder).is_relative_to(own_folder(environment)) for folder in found), found


@pytest.fixture
def entering(monkeypatch, tmp_path):
    """The words that a job's command hands to Apptainer, for variables of the job."""
    monkeypatch.chdir(ROOT)
    study = parse(yaml.safe_load(Path("config/default.yaml").read_text()) | {"containers": "apptainer"})
    (tmp_path / "apptainer").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "apptainer").chmod(0o755)
    images = enter.Images(study)
    command = enter.shell_prelude(images).replace("{{", "{").replace("}}", "}") + enter.prefixes(study, images)["train"]

    def words(**job: str) -> list[str]:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | job
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return words


@pytest.mark.parametrize(("job", "name"), [({"SLURM_JOB_ID": "17"}, "17"), ({}, "local")])
def test_a_container_is_told_the_same(entering, job, name):
    words = entering(**job)
    told = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "--env")
    own = f"/tmp/asymgrpo-{os.getuid()}-{name}"
    assert {variable: told[variable] for variable in FOLDERS} == surroundings.folders(own)
    assert VLLM.items() <= told.items()
    shared = {variable: value for variable, value in told.items() if value.startswith("/tmp") and own not in value}
    assert not shared, "a folder that users share"
