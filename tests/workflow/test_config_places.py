"""Where a study writes: refused before any job where it cannot work or would mix with the sources."""

import os
from pathlib import Path

import pytest
import yaml

from asymgrpo.study.config import ConfigError
from tests.helpers.project_files import project_files
from tests.workflow.changes import ROOT, by_command
from workflow.checks import load
from workflow.checks_places import SOURCES


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["results=asymgrpo"], ["results = 'asymgrpo'", "project's own files (asymgrpo)"]),
        (["results=docs/mine"], ["results = 'docs/mine'", "project's own files (docs)"]),
        (["checkpoints=.git/x"], ["checkpoints = '.git/x'", "project's own files (.git)"]),
        (["results=."], ["results = '.'", "holds the project itself"]),
        (["results=results/.."], ["holds the project itself"]),
        (["results=.."], ["results = '..'", "holds the project itself"]),
        (["checkpoints=/"], ["checkpoints = '/'", "holds the project itself"]),
        (["results=same", "checkpoints=same"], ["checkpoints = 'same' and results = 'same' lie in each other"]),
        (["results=a", "checkpoints=a/b"], ["lie in each other"]),
        (["results=a/b", "checkpoints=a"], ["lie in each other"]),
        (["results=a/../b", f"checkpoints={ROOT}/b/c"], ["lie in each other"]),
        (["results=README.md"], ["results = 'README.md' cannot be a folder", "is a file"]),
        (["results=README.md/x"], ["cannot be a folder", "is a file"]),
        (["results=a{b"], ["results = 'a{b' has a brace in it"]),
        (["results=a}b"], ["has a brace in it"]),
        (["results=-out"], ["results = '-out' begins with a dash"]),
        (["results=a /b"], ["begins or ends with a blank"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_places_that_cannot_work_are_refused(entries, words):
    with pytest.raises(ConfigError) as caught:
        load(by_command(*entries))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("letter", [*"\n\t\r{", "}", '"', "$", "`", "\\"])
def test_letters_that_paths_cannot_have_are_named(letter):
    for key in ("results", "checkpoints"):
        with pytest.raises(ConfigError, match=rf"config: {key} = .* has a .* in it, which would be read as"):
            load(by_command() | {key: f"a{letter}b"})


def test_letters_that_the_locale_lacks_are_named_with_the_remedy():
    """As LC_ALL=C hands them on: Snakemake would fail with a traceback."""
    for key in ("results", "checkpoints"):
        with pytest.raises(ConfigError, match=rf"config: {key} = .* has letters that the locale of .*PYTHONUTF8=1"):
            load(by_command() | {key: "ü".encode().decode("ascii", "surrogateescape")})


ALLOWED = ("results-2", "res ults ü", "it's a:b,c;d&e#f(g)|h*?", "/tmp/none/of/it", "~/x")


@pytest.mark.parametrize("place", ALLOWED)
def test_places_of_their_own_are_allowed(place):
    assert not str(load(by_command(f"results={place}")).results).startswith("~")


def test_home_is_the_users(monkeypatch):
    monkeypatch.setenv("HOME", "/tmp/none")
    study = load(by_command("results=~/out", 'data={"dir": "~/data"}'))
    assert (study.results, study.data.dir) == (Path("/tmp/none/out"), Path("/tmp/none/data"))


def test_a_link_into_the_sources_is_seen_through(tmp_path):
    (tmp_path / "link").symlink_to(ROOT / "asymgrpo")
    with pytest.raises(ConfigError, match="project's own files"):
        load(by_command(f"results={tmp_path}/link/x"))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    """Root may write everywhere, so that the system is asked as another user would be."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(ConfigError, match="cannot be written"):
        load(by_command(f"results={tmp_path}/x"))


def test_every_folder_of_the_project_is_a_source():
    assert {name.split("/")[0] for name in project_files(ROOT) if "/" in name} <= set(SOURCES)


def test_results_inside_another_studys_results_are_refused(tmp_path):
    """Tools read a folder of results as a whole, and would mix the two."""
    other = tmp_path / "results"
    (other / "config").mkdir(parents=True)
    (other / "config/study.json").write_text("{}")
    for mine in (other / "paper", other / "deeper" / "paper", tmp_path):
        with pytest.raises(ConfigError, match=r"results = .* and the results of another study, .*, lie in each other"):
            load(by_command(f"results={mine}"))
    load(by_command(f"results={other}"))
    load(by_command(f"results={tmp_path / 'results-paper'}"))


def test_no_preset_has_its_results_inside_anothers():
    presets = [path for path in sorted((ROOT / "config").rglob("*.yaml")) if path.name != "data.lock.yaml"]
    folders = {f"{path.relative_to(ROOT)}": yaml.safe_load(path.read_text()).get("results") for path in presets}
    known = {name: Path(folder) for name, folder in folders.items() if folder}
    assert len(set(known.values())) == len(known) > 3
    for name, folder in known.items():
        assert not [other for other, place in known.items() if other != name and place in folder.parents]
