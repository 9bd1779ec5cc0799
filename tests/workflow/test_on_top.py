"""A configuration file that belongs on top of another is refused without it, however it is named, and no result knows of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import dry
import pytest
import yaml

from asymgrpo.planner.plan import main as plan
from asymgrpo.study import on_top
from asymgrpo.study.config import ConfigError
from asymgrpo.study.stored import ROOT, configuration, load_study, merged
from evals.protocol.content import protocol
from tests.helpers.started import started

PRESETS = [path for path in sorted((ROOT / "config").rglob("*.yaml")) if path.stem not in ("data.lock", "default")]
NAMES = {f"{path.relative_to(ROOT)}": path for path in PRESETS}
STACKED = [name for name, path in NAMES.items() if yaml.safe_load(path.read_text()).get(on_top.KEY)]
LLAMA = ["config/paper.yaml", "config/llama.yaml"]
REFUSED = "config/llama.yaml belongs on top of config/paper.yaml: {} config/paper.yaml config/llama.yaml"


def stack(*names: str) -> list[str]:
    """The files with all that they belong on top of, by their names in the project."""
    return [str(path.relative_to(ROOT)) for path in on_top.in_order([ROOT / name for name in names], ROOT)]


def without_the_key(name: str, folder: Path) -> Path:
    path = folder / name.replace("/", "_")
    path.write_text("".join(line for line in (ROOT / name).open() if not line.startswith(f"{on_top.KEY}:")))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_the_key_says_what_the_first_lines_say(name: str) -> None:
    text = NAMES[name].read_text(encoding="utf-8")
    comment = " ".join(line.strip("# ") for line in text.splitlines() if line.startswith("#"))
    (said,) = re.findall(r"Differences from ([\w./-]+?\.yaml)", comment)
    stated = yaml.safe_load(text).get(on_top.KEY, "config/default.yaml")
    assert stated == (said if "/" in said else f"config/{said}")


@pytest.mark.parametrize("name", STACKED)
def test_it_is_refused_alone_and_before_the_other_and_taken_after_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    whole = stack(name)
    below = yaml.safe_load(NAMES[name].read_text())[on_top.KEY]
    sentence = f"{name} belongs on top of {below}: --configfile {' '.join(whole)}"
    for wrong in ([name], [name, *whole[:-1]]):
        for given in (list(map(Path, wrong)), [ROOT / one for one in wrong]):
            with pytest.raises(ConfigError) as caught:
                load_study(given)
            assert str(caught.value) == sentence
    assert load_study(list(map(Path, whole))) == load_study([ROOT / one for one in whole])


def test_a_stack_of_three_needs_what_each_file_needs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    study, lcm, lcm2, base2 = (
        f"config/{name}.yaml" for name in ("study", *(f"settings/{s}" for s in ("lcm", "lcm2", "base2")))
    )
    assert stack(lcm2) == [study, lcm, lcm2]
    for right in ([study, lcm, base2], [study, base2, lcm, lcm2]):
        on_top.require(list(map(Path, right)), ROOT)
    with pytest.raises(ConfigError, match=f"^{lcm2} belongs on top of {lcm}: --configfile {study} {lcm} {lcm2}$"):
        on_top.require([Path(study), Path(lcm2)], ROOT)
    assert load_study([ROOT / one for one in (study, lcm, base2)]).models["tiny"].spec["seed"] == 2605


@pytest.mark.parametrize("name", STACKED)
def test_neither_results_nor_a_protocol_know_of_it(name: str, tmp_path: Path) -> None:
    mine = load_study([ROOT / one for one in stack(name)])
    plain = load_study([without_the_key(one, tmp_path) for one in stack(name)])
    assert mine == plain
    assert on_top.KEY not in configuration(mine)["config"]
    assert configuration(mine) == configuration(plain)
    assert protocol(mine) == protocol(plain)


def test_the_configuration_of_a_call_can_be_given_as_one_file() -> None:
    """As it is to the call that makes images."""
    files = [ROOT / one for one in LLAMA]
    config = {"name": "llama", on_top.KEY: "config/paper.yaml"}
    on_top.take(config, files, ROOT)
    assert config == {"name": "llama"}
    with pytest.raises(ConfigError, match="belongs on top of"):
        on_top.take(config, files[1:], ROOT)


def test_a_users_own_file_is_held_to_it_too_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine of mine.yaml"
    mine.write_text("on_top_of: config/study.yaml\nname: mine\n")
    study = ROOT / "config/study.yaml"
    assert merged([study, mine])["name"] == "mine"
    with pytest.raises(
        ConfigError, match=r"mine of mine\.yaml belongs on top of .*study\.yaml '.*mine of mine\.yaml'$"
    ):
        merged([mine])
    for wrong in ("config/papers.yaml", 3, ["config/paper.yaml"]):
        mine.write_text(f"on_top_of: {wrong}\n")
        with pytest.raises(ConfigError, match=r"on_top_of = .* is no file of the project; write its path"):
            merged([study, mine])


def test_files_that_are_on_top_of_each_other_end(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.yaml").write_text(f"on_top_of: {other}.yaml\n")
    with pytest.raises(ConfigError, match="belongs on top of"):
        on_top.require([tmp_path / "a.yaml"], tmp_path)


def test_the_planner_names_its_own_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told = started(plan, "--config", "config/llama.yaml")
    assert (told.code, told.stderr) == (2, f"error: {REFUSED.format('--config')}\n")


def of_program(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "asymgrpo", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "option"), [("prereg", "--configfile"), ("plan", "--config")])
def test_what_a_program_says_can_be_typed(program: str, option: str, tmp_path: Path) -> None:
    out = tmp_path / "protocol.json"
    words = [program, *(["--out", str(out)] if program == "prereg" else [])]
    refused = of_program(*words, option, LLAMA[1])
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"error: {REFUSED.format(option)}\n")
    assert not out.exists()
    done = of_program(*words, *refused.stderr.split(": ")[-1].split())
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_snakemake_plans_nothing_without_the_other_file(tmp_path: Path) -> None:
    words = ("-n", "study", "--config", f"results={tmp_path / 'r'}", "--nolock", "--cores", "1", "--configfile")
    refused = dry.said(tmp_path / "refused", *words, LLAMA[1])
    assert REFUSED.format("--configfile") in refused.splitlines()
    assert "This was a dry-run" not in refused
    assert dry.planned(dry.said(tmp_path / "taken", *words, *LLAMA)) == {"study": 1}


@pytest.mark.slow
def test_a_call_from_another_folder_says_what_can_be_typed_there(tmp_path: Path) -> None:
    def said(*files: str) -> str:
        command = [sys.executable, "-m", "snakemake", "-n", "study", "--nolock", "--cores", "1"]
        command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", *files]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    paper, llama = (str(ROOT / name) for name in LLAMA)
    for named in (llama, os.path.relpath(llama, tmp_path)):
        (line,) = [line for line in said(named).splitlines() if " belongs on top of " in line]
        typed = line.split("--configfile ")[1].split()
        assert typed[0] == paper
        assert "This was a dry-run" in said(*typed)
