"""Every path in a command is one word, whatever letters are in it."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from asymgrpo.study import layout
from asymgrpo.study.config import parse
from containers import host
from tests.workflow.changes import ROOT, by_command
from workflow import common, figures
from workflow.slurm import launch

STRANGE = "it's a ü;&'x'"
SHELL_FIELD = re.compile(r"\{((?:input|output|log)\b[^{}]*|params\.(?:results|out|checkpoints|bundle|lock|prefix))\}")


@pytest.mark.parametrize("path", sorted((ROOT / "workflow/rules").glob("*.smk")), ids=lambda path: path.name)
def test_rules_quote_their_files(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        for field in SHELL_FIELD.findall(line):
            assert field.endswith(":q") or f"shlex.quote({field})" in line, f"{path.name}: {field} in: {line.strip()}"


def test_the_test_above_sees_what_is_not_quoted():
    assert SHELL_FIELD.findall("--out {output.x} --k {params.k} {params.out} > {log}") == [
        "output.x",
        "params.out",
        "log",
    ]


def test_commands_made_of_the_configuration_keep_their_words():
    study = parse(by_command() | {"results": STRANGE, "checkpoints": f"{STRANGE}-2"})
    study = study.model_copy(update={"data": study.data.model_copy(update={"dir": Path(STRANGE)})})
    paths = layout.Layout(study)
    words = shlex.split(common.prepare_options({"of": "problems", "dataset": STRANGE}))
    assert words[words.index("--dataset") + 1] == STRANGE
    spec = {"seed": 1, "styles": {STRANGE: 1.0}}
    words = shlex.split(common.base_model_command({"of": "base model", "kind": "tiny", "spec": spec}))
    assert json.loads(words[-1]) == spec
    assert paths.operation.startswith(STRANGE)
    assert shlex.split(figures.options({"metrics": [f"{STRANGE}/a"]}, str)) == ["--metrics", f"{STRANGE}/a"]


def test_commands_start_the_python_that_runs_the_workflow(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/my Studie ü/.venv/bin/python")
    study = parse(by_command())
    assert shlex.split(launch.prefix(study))[0] == sys.executable
    words = shlex.split(host.python())
    assert [sys.executable, "-W", "ignore", "-m"] == words[-4:]
