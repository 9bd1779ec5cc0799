"""What `containers` may say, what it means for commands, and what is refused before any job."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from asymgrpo.study.config import ConfigError, parse
from containers import enter, images
from workflow import ready
from workflow.checks import load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(monkeypatch):
    """A function that makes the default study with changes."""
    monkeypatch.chdir(ROOT)
    default = yaml.safe_load(Path("config/default.yaml").read_text())
    return lambda **changes: parse(default | changes)


@pytest.fixture
def apptainer(monkeypatch):
    """As if Apptainer were on PATH: these tests run nothing in it."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def test_a_plain_word_is_the_mode(study):
    assert study(containers="none").containers == study(containers={"mode": "none"}).containers


def test_where_jobs_run_is_not_part_of_results(study):
    inside = study(containers={"mode": "apptainer", "lock": "requirements/cpu.lock"})
    assert inside.model_dump() == study(containers="none").model_dump()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("docker", ["containers.mode", "'docker'"]),
        (
            {"mode": "apptainer", "images": {"train": "nowhere.sif"}},
            ["containers.images.train", "nowhere.sif", "missing"],
        ),
        ({"mode": "apptainer", "images": {"trian": "a.sif"}}, ["containers.images.trian"]),
        ({"mode": "apptainer", "lock": "requirements/tpu.lock"}, ["containers.lock", "tpu.lock"]),
        ({"mode": "apptainer", "wheels": "no-wheels"}, ["containers.wheels", "no-wheels"]),
    ],
    ids=["word", "path", "name", "lock", "wheels"],
)
def test_wrong_settings_are_named(settings, words, apptainer, monkeypatch):
    monkeypatch.chdir(ROOT)
    default = yaml.safe_load(Path("config/default.yaml").read_text())
    with pytest.raises(ConfigError) as refused:
        load(default | {"containers": settings})
    assert all(word in str(refused.value) for word in words), refused.value


def test_a_machine_without_apptainer_is_told_so(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", "/nowhere")
    default = yaml.safe_load(Path("config/default.yaml").read_text())
    with pytest.raises(ConfigError, match="no apptainer is on PATH; load or install"):
        load(default | {"containers": "apptainer"})


def test_without_containers_jobs_run_on_the_host(study):
    plain = study(containers="none")
    found = enter.prefixes(plain, enter.Images(plain))
    assert not any("apptainer" in command for command in found.values())
    assert enter.shell_prelude(enter.Images(plain)) == enter.STRICT


@pytest.mark.parametrize(("kind", "expected"), [("cpu", set()), ("h100-80gb", {"fetch", "train", "sample"})])
def test_nvidia_files_are_bound_only_where_a_gpu_is_asked(study, kind, expected):
    default = study(containers="apptainer")
    asking = default.model_copy(update={"machine": default.machine.model_copy(update={"kind": kind})})
    found = enter.prefixes(asking, enter.Images(asking))
    assert {purpose for purpose, command in found.items() if "--nv" in command.split()} == expected


def test_only_declared_folders_are_bound(study, tmp_path):
    default = study(containers="apptainer", data={**study().data.model_dump(), "dir": tmp_path / "data"})
    elsewhere = default.model_copy(update={"results": tmp_path / "results", "checkpoints": Path("checkpoints")})
    words = enter.prefixes(elsewhere, enter.Images(elsewhere))["train"].split()
    bound = [words[i + 1].strip('"') for i, word in enumerate(words) if word == "--bind"]
    data = tmp_path / "data"
    assert set(bound) == {"${TMPDIR:-/tmp}:/tmp", "/dev/shm", str(ROOT), str(tmp_path / "results"), f"{data}:{data}:ro"}
    assert {"--cleanenv", "--contain", "--no-home"} <= set(words)


def test_blanks_and_umlauts_stay_in_one_word(study, tmp_path, monkeypatch):
    """In the checkout's path, in results, data and in the path of an image."""
    checkout = tmp_path / "my Studie ü"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    inside = study(
        containers={"mode": "apptainer", "images": {"train": "/im ages/train.sif"}},
        results=tmp_path / "res ults ü",
        checkpoints="check points",
        data={**study().data.model_dump(), "dir": tmp_path / "da ta"},
    )
    images = enter.Images(inside)
    words = shlex.split(enter.prefixes(inside, images)["train"])
    assert words[-5:] == ["/im ages/train.sif", "python", "-W", "ignore", "-m"]
    bound = [words[i + 1] for i, word in enumerate(words) if word == "--bind"]
    data = tmp_path / "da ta"
    assert bound[2:] == [str(checkout), str(tmp_path / "res ults ü"), f"{data}:{data}:ro"]
    assert words[words.index("--pwd") + 1] == str(checkout)
    monkeypatch.setattr(ready, "is_stale", lambda images, image: True)
    entering = f"{enter.prefixes(inside, images)['report']} evals.tables.score"
    assert ready.wanted(images, [entering]) == [images.sif("report")]


def test_paths_that_would_end_a_bind_are_refused(apptainer, monkeypatch):
    monkeypatch.chdir(ROOT)
    default = yaml.safe_load(Path("config/default.yaml").read_text(encoding="utf-8"))
    load(default | {"results": "a:b"})
    with pytest.raises(ConfigError, match="results = 'a:b' has a colon in it"):
        load(default | {"results": "a:b", "containers": "apptainer"})


def test_every_rule_says_where_it_runs():
    """A command that starts {PYTHON}, which is the host, must need the host: accounting, downloads, images themselves."""
    on_host = {"containers.images", "workflow.document", "evals.cost"}
    for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]:
        modules = {
            line.split("{PYTHON} ")[1].split()[0] for line in path.read_text().splitlines() if "{PYTHON} " in line
        }
        assert modules <= on_host | {"evals.artifacts.bundle", "evals.artifacts.unpack"}, path


def test_a_comment_changes_no_recipe(study, monkeypatch, tmp_path):
    settings = study(containers="apptainer").containers
    text = Path("requirements/report.lock").read_text()
    (tmp_path / "commented.lock").write_text("# a comment\n\n" + text.replace("\n", "  # another\n", 1))
    (tmp_path / "changed.lock").write_text(text.replace("numpy==", "numpy==1"))
    (tmp_path / "same.lock").write_text(text)
    before, same, other = (
        enter.recipe(settings, "report", enter.significant((tmp_path / f"{name}.lock").read_text()))
        for name in ("same", "commented", "changed")
    )
    assert before == same != other


def test_report_and_cpu_locks_agree():
    """Tables and figures drawn on a laptop are those of the cluster."""
    cpu, report = (set(Path(ROOT, f"requirements/{name}.lock").read_text().splitlines()) for name in ("cpu", "report"))
    assert report <= cpu
    assert not any(line.startswith(("torch", "transformers", "deepspeed")) for line in report)


def test_a_base_is_recorded_once_and_verified_ever_after(tmp_path):
    lock = tmp_path / "base.lock.json"
    assert images.recorded(lock, "docker", {"digest": "sha256:a"}) == {"digest": "sha256:a"}
    images.recorded(lock, "docker", {"packages_sha256": "p"})
    images.recorded(lock, "debootstrap", {"packages_sha256": "q"})
    before = lock.read_text()
    assert images.recorded(lock, "docker", {"packages_sha256": "p"}) == {"digest": "sha256:a", "packages_sha256": "p"}
    with pytest.raises(images.ImageError, match=r"docker base has packages_sha256 r, but .* has p"):
        images.recorded(lock, "docker", {"packages_sha256": "r"})
    assert lock.read_text() == before
    assert json.loads(before)["debootstrap"] == {"packages_sha256": "q"}


def test_no_digest_is_invented():
    assert json.loads(Path(ROOT, "containers/base.lock.json").read_text()) == {}


def test_only_what_jobs_enter_is_made_first(study):
    """The rule that builds an image names its file as well: it must not ask for the image."""
    inside = study(containers="apptainer")
    images = enter.Images(inside)
    building = f"python -m containers.images build --image train --out {images.sif('train')} > log"
    running = f"{enter.prefixes(inside, images)['report']} evals.tables.score --out x"
    assert ready.wanted(images, [building]) == []
    assert ready.wanted(images, [building, running]) == [images.sif("report")]
    given = study(containers={"mode": "apptainer", "images": {"report": "/shared/report.sif"}})
    assert ready.wanted(enter.Images(given), [enter.prefixes(given, enter.Images(given))["report"]]) == []


@pytest.mark.parametrize("mode", ["none", "apptainer"])
def test_a_command_that_fails_before_tee_has_failed(study, mode):
    """`shell.prefix` replaces Snakemake's own `set -euo pipefail`: a training that was killed once counted as done."""
    prelude = enter.shell_prelude(enter.Images(study(containers=mode))).replace("{{", "{").replace("}}", "}")
    done = subprocess.run(["bash", "-c", f"{prelude} (exit 3) 2>&1 | tee /dev/null"], check=False)
    assert done.returncode == 3
