"""A small study inside of real images: the same bytes as outside, nothing of the host, no network, no needless work."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from containers.enter import Images, prefixes, shell_prelude
from tests.containers.image import BUILT, ROOT, SETTINGS, environment, snakemake
from tests.helpers.project_files import project_files

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(3600)]

CHANGES = ('evaluation={"benchmarks": ["chain4"]}',)
# The evaluate image is given by path: it holds what the train image holds, and one build is enough for a test.
MIXED = SETTINGS | {"images": {"evaluate": str(BUILT / "train.sif")}}
FIGURE = "results/figures/passk_curves.pdf"
OF_THE_PLACE = (
    *("logs/", "benchmarks/", "config/images/", "proofs/", "timings.parquet", ".snakemake_timestamp"),
    "sampled_from.json",  # names the image of its job
)
# Only the loopback device, which a new network namespace leaves down.
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""
CUT = ("unshare", "--net", sys.executable, "-c", LOOPBACK_UP)


def copy_of_project(folder: Path) -> Path:
    """The project's files, with the images that are built (links: a copy may replace or delete them)."""
    for name in project_files(ROOT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    built = BUILT.parent
    shutil.copytree(ROOT / built, folder / built, copy_function=os.link, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def inside(images, tmp_path_factory):
    """A project whose study ran in images, with the network cut."""
    folder = copy_of_project(tmp_path_factory.mktemp("inside"))
    before = CUT if os.geteuid() == 0 else ()
    snakemake("all", containers=MIXED, folder=folder, changes=CHANGES, before=before)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def outside(tmp_path_factory, images):
    folder = copy_of_project(tmp_path_factory.mktemp("outside"))
    snakemake("all", containers="none", folder=folder, changes=CHANGES)
    yield folder
    shutil.rmtree(folder)


def digests(project: Path) -> dict[str, str]:
    """sha256 of every result, but for what tells of time and place."""
    results = project / "results"
    files = [path for path in sorted(results.rglob("*")) if path.is_file()]
    named = {str(path.relative_to(results)): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named.items()
        if not any(part in name for part in OF_THE_PLACE)
    }


def planned(project: Path, *targets: str, containers=MIXED) -> set[str]:
    """Rules of a dry run."""
    said = snakemake("-n", *(targets or ("all",)), containers=containers, folder=project, changes=CHANGES)
    return {line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith(("rule ", "localrule "))}


def test_results_are_those_of_the_host_byte_for_byte(inside, outside):
    found, expected = digests(inside), digests(outside)
    assert {"table1.parquet", "scores.parquet", "figures/passk_curves.pdf"} <= set(found)
    assert any(name.endswith("model.safetensors") for name in found)
    assert found == expected


def test_every_job_was_in_its_image(inside):
    """A proof of each image, and the digest that results depend on."""
    proofs = {}
    for image in ("train", "evaluate", "report"):
        proofs[image] = json.loads((inside / f"results/proofs/{image}.json").read_text())
        assert proofs[image]["digest"] == json.loads((inside / f"results/config/images/{image}.json").read_text())
        assert proofs[image]["sys_path"][0] == "<project>"
        assert all(path.startswith(("/usr/lib/", "/opt/asymgrpo/")) for path in proofs[image]["sys_path"][1:])
    assert proofs["train"]["gpu"]["torch"] in {f"{locked('torch')}{build}" for build in ("", "+cpu")}
    assert "torch" not in proofs["report"]["packages"], "the light image"
    assert {proof["packages"]["numpy"] for proof in proofs.values()} == {locked("numpy")}
    assert proofs["train"]["digest"] == proofs["evaluate"]["digest"], "given by path or built, an image is the same"


def locked(name: str) -> str:
    lines = (ROOT / "requirements/cpu.lock").read_text().splitlines()
    return next(line.split("==")[1] for line in lines if line.startswith(f"{name}=="))


def test_a_second_call_has_nothing_to_do(inside):
    assert not planned(inside)


def test_an_image_made_again_reruns_nothing(inside):
    """The report image is really built again, because a figure is lost; nothing else that was made in it is made again."""
    sif, before = inside / BUILT / "report.sif", digests(inside)
    sif.unlink()
    assert not planned(inside), "nobody needs it while the results are there"
    (inside / "results/figures/passk_curves.pdf").unlink()
    assert planned(inside, FIGURE) == {"figure"}
    snakemake(FIGURE, containers=MIXED, folder=inside, changes=CHANGES)
    assert sif.stat().st_ino != (ROOT / BUILT / "report.sif").stat().st_ino
    assert digests(inside) == before
    assert not planned(inside)


def test_a_changed_lock_makes_results_again_and_a_comment_does_not(inside):
    lock = inside / "requirements/report.lock"
    text = lock.read_text()
    try:
        lock.write_text(f"# a comment\n{text}")
        assert not planned(inside)
        lock.write_text(text.replace("tqdm==", "tqdm==0."))
        assert {"score", "table1", "figure"} <= planned(inside)
        assert not {"train", "sample", "grade"} & planned(inside), "made in another image"
        assert planned(inside, "images") >= {"wheels", "image"}
    finally:
        lock.write_text(text)
    assert not planned(inside)


@pytest.fixture
def enter(images, monkeypatch):
    """A function that runs a module in the train image, as a job's shell would, and returns the finished process."""
    import yaml

    from asymgrpo.study.config import parse

    monkeypatch.chdir(ROOT)
    given = {"mode": "apptainer", "images": {name: str(images["train"]) for name in ("train", "evaluate", "report")}}
    study = parse(yaml.safe_load(Path("config/default.yaml").read_text()) | {"containers": given})
    prelude = shell_prelude(Images(study)).replace("{{", "{").replace("}}", "}")
    prefix = prefixes(study, Images(study))["train"]

    def run(*module: str, **variables: str):
        command = ["bash", "-c", f"{prelude} exec {prefix} {shlex.join(module)}"]
        return subprocess.Popen(
            command,
            env=environment() | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return run


def test_nothing_of_the_host_is_seen(enter, images, tmp_path):
    """A home with modules in ~/.local, a PYTHONPATH and a secret: none of them gets in."""
    site = tmp_path / "home/.local/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (site / "usercustomize.py").write_text("raise SystemExit('the home was seen')")
    content, out = tmp_path / "content.json", tmp_path / "proof.json"
    from containers.apptainer import content_of

    os.environ.setdefault("APPTAINER_USERNS", environment().get("APPTAINER_USERNS", ""))
    content.write_text(json.dumps(content_of(images["train"])))
    arguments = ("containers.proof", "--content", f"/tmp/{content.name}", "--out", f"/tmp/{out.name}")
    host = {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(site), "SECRET": "s", "OMP_NUM_THREADS": "3"}
    job = enter(*arguments, **host, TMPDIR=str(tmp_path))
    said, _ = job.communicate(timeout=600)
    assert job.returncode == 0, said
    seen = json.loads(out.read_text())
    assert not {"SECRET", "PYTHONPATH"} & set(seen["variables"])
    assert "OMP_NUM_THREADS" in seen["variables"], "what the job was granted is passed on"


def test_an_open_container_fails_its_proof(images, tmp_path):
    site = tmp_path / "modules"
    site.mkdir()
    content = tmp_path / "content.json"
    command = ["apptainer", "exec", "--bind", f"{ROOT},{tmp_path}", "--pwd", str(ROOT), "--env", f"PYTHONPATH={site}"]
    inner = ["python", "-m", "containers.proof", "--content", str(content), "--out", str(tmp_path / "proof.json")]
    for written, words in (({"python": "2"}, "not what the workflow recorded"), (None, "reaches out of the image")):
        from containers.apptainer import content_of

        content.write_text(json.dumps(written or content_of(images["train"])))
        done = subprocess.run(
            [*command, str(images["train"]), *inner], env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert words in done.stdout + done.stderr
    assert not (tmp_path / "proof.json").exists()


def test_a_signal_reaches_the_job_in_its_image(enter):
    """SLURM's warning before a time limit, and the exit code with which a job says that it can go on.

    To every process of the job, as SLURM sends it.
    """
    job = enter("tests.containers.wait_for_signal")
    assert job.stdout.readline() == "waiting\n"
    os.killpg(job.pid, signal.SIGTERM)
    said, _ = job.communicate(timeout=120)
    assert said == "saved\n"
    assert job.returncode == 75
