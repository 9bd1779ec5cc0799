"""The commit that results state: of this checkout and of no other, whoever owns it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.changes import ROOT

ASK = [sys.executable, "-c", "from asymgrpo.provenance import commit_of_code; print(commit_of_code())"]


@pytest.fixture
def checkout(tmp_path):
    """A checkout of its own with the module that asks, and what git says of it."""
    copy = tmp_path / "my Studie ü"
    (copy / "asymgrpo").mkdir(parents=True)
    for name in ("__init__.py", "provenance.py"):
        shutil.copy(ROOT / "asymgrpo" / name, copy / "asymgrpo" / name)
    git(tmp_path, "init", "-q", str(copy))
    git(copy, "add", ".")
    git(copy, "commit", "-qm", "x")
    return copy


def git(place: Path, *arguments: str) -> str:
    user = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    return (
        subprocess.run(["git", *user, *arguments], cwd=place, capture_output=True, check=True).stdout.decode().strip()
    )


def told(place: Path, **environment: str) -> tuple[str, str]:
    """What commit_of_code says in a checkout, and what it complains of."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASYMGRPO_COMMIT", "GIT_"))}
    done = subprocess.run(ASK, cwd=place, capture_output=True, check=True, env=kept | environment)
    return done.stdout.decode().strip(), done.stderr.decode().strip()


def test_the_commit_and_whether_it_was_changed(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert told(checkout) == (commit, "")
    (checkout / "asymgrpo/__init__.py").write_text("# changed\n", encoding="utf-8")
    assert told(checkout) == (f"{commit}-dirty", "")


def test_a_checkout_of_another_owner_has_its_commit(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    refusing = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    plain = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, env=os.environ | refusing)
    assert b"dubious ownership" in plain.stderr
    assert told(checkout, **refusing) == (commit, "")


def test_an_unpacked_archive_is_not_the_checkout_around_it(checkout):
    inner = checkout / "unpacked"
    shutil.copytree(checkout / "asymgrpo", inner / "asymgrpo")
    assert told(inner) == ("None", "")


def test_variables_of_a_git_hook_point_to_no_other_checkout(checkout):
    assert told(checkout, GIT_DIR=str(ROOT / ".git"))[0] == git(checkout, "rev-parse", "HEAD")


def test_without_git_one_sentence_says_so(checkout):
    commit, complaint = told(checkout, PATH="/nowhere")
    assert commit == "None"
    assert complaint.startswith(f"The commit of the code in {checkout} cannot be told, and results will state none: ")
    assert len(complaint.splitlines()) == 1
