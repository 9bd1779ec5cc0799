"""Where libraries may write: in a home that can be written, else in a folder of the job's own; never in one that users share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from asymgrpo import surroundings
from asymgrpo.study.config import parse
from asymgrpo.surroundings import FOLDERS, VLLM, SurroundingsError, own_folder, prepare
from containers import enter

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


@pytest.fixture
def on_gpus(monkeypatch):
    """A function: the commands of a study whose machine has GPUs, with or without containers."""
    monkeypatch.chdir(ROOT)
    default = yaml.safe_load(Path("config/default.yaml").read_text())

    def commands(containers: str, kind: str = "h100-80gb") -> tuple[str, dict[str, str]]:
        study = parse(default | {"containers": containers})
        study = study.model_copy(update={"machine": study.machine.model_copy(update={"kind": kind})})
        images = enter.Images(study)
        prelude = enter.shell_prelude(images).replace("{{", "{").replace("}}", "}")
        return prelude, enter.prefixes(study, images)

    return commands


def said(command: str, folder: Path, **variables: str) -> str:
    """Output of a shell command, where `apptainer` prints its arguments, a line each."""
    (folder / "apptainer").write_text('#!/bin/sh\nprintf "%s\\n" "$@" | grep -v "^-m$"\n')
    (folder / "apptainer").chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"} | variables
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True).stdout


SAYS = "says_its_variables"


@pytest.mark.parametrize("containers", ["none", "apptainer"])
def test_jobs_that_ask_for_gpus_are_told_to_expect_them(on_gpus, containers, tmp_path):
    def expects(kind: str, purpose: str, **variables: str) -> str | None:
        prelude, found = on_gpus(containers, kind)
        lines = said(f"{prelude}{found[purpose]} {SAYS}", tmp_path, **variables, PYTHONPATH=str(tmp_path)).splitlines()
        values = [line.split("=", 1)[1] for line in lines if line.startswith(f"{surroundings.EXPECTS_GPU}=")]
        return values[0] if values else None

    (tmp_path / f"{SAYS}.py").write_text(
        "import os\nfor name in os.environ:\n    print(f'{name}={os.environ[name]}')\n"
    )
    assert {purpose for purpose in enter.PURPOSES if expects("h100-80gb", purpose) == "1"} == {"train", "sample"}
    assert expects("h100-80gb", "report") is None
    assert expects("h100-80gb", "train", **{surroundings.EXPECTS_GPU: "0"}) == "0", "the user's word wins"
    assert expects("cpu", "train") is None


def test_a_containers_fast_network_is_bound_where_it_exists(on_gpus, tmp_path, monkeypatch):
    for there in (False, True):
        adapters = tmp_path / "infiniband"
        monkeypatch.setattr(enter, "INFINIBAND", str(adapters))
        if there:
            adapters.mkdir()
        prelude, found = on_gpus("apptainer")
        words = said(f"{prelude}{found['train']} asymgrpo.training", tmp_path).splitlines()
        assert (str(adapters) in words) == there
        if there:
            assert words[words.index(str(adapters)) - 1] == "--bind"
        assert str(adapters) not in said(f"{prelude}{found['report']} evals.tables.score", tmp_path).splitlines()


def test_every_rank_gets_its_own_gpus_and_networks_into_its_container(on_gpus, tmp_path):
    """The batch shell hands its variables over; then srun starts a task with others, on another node."""
    prelude, _ = on_gpus("apptainer")
    show = f"{sys.executable} -m asymgrpo.training.rendezvous env"
    task = f"env -u NCCL_IB_HCA CUDA_VISIBLE_DEVICES=5 NCCL_SOCKET_IFNAME=ib1 {show}"
    batch = {"CUDA_VISIBLE_DEVICES": "0,1", "NCCL_IB_HCA": "mlx5_0", "NCCL_SOCKET_IFNAME": "ib0", "UCX_TLS": "rc,cuda"}
    meeting = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "n1", "MASTER_PORT": "1"}
    lines = said(prelude + task, tmp_path, **batch, **meeting, SLURM_JOB_ID="17", PYTHONPATH=str(ROOT)).splitlines()
    inside = dict(
        line.removeprefix("APPTAINERENV_").split("=", 1) for line in lines if line.startswith("APPTAINERENV_")
    )
    assert inside == meeting | {
        "CUDA_VISIBLE_DEVICES": "5",
        "NCCL_SOCKET_IFNAME": "ib1",
        "UCX_TLS": "rc,cuda",
        "SLURM_JOB_ID": "17",
    }


def test_a_job_of_one_rank_gets_them_from_its_shell(on_gpus, tmp_path):
    prelude, _ = on_gpus("apptainer")
    lines = said(
        f"{prelude} env", tmp_path, CUDA_VISIBLE_DEVICES="2", NCCL_DEBUG="INFO x", GLOO_SOCKET_IFNAME="eth0"
    ).splitlines()
    for wanted in ("CUDA_VISIBLE_DEVICES=2", "NCCL_DEBUG=INFO x", "GLOO_SOCKET_IFNAME=eth0"):
        assert f"APPTAINERENV_{wanted}" in lines
