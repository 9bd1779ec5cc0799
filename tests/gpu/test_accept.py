"""The acceptance proves itself on a CPU: it passes here, and each fault that is planted fails the part that is to notice it."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import accept
import pytest
from accept_options import FAULTS, NAMES, SECONDS, SIZES, Options, loads
from accept_report import Report

from asymgrpo.planner.time import Rates

HERE = Path(__file__).parent


def run(out: Path, *words: str) -> tuple[int, dict[str, dict], dict]:
    """The driver as a user starts it -> exit code, line of each part, machine.json."""
    pytest.importorskip("vllm.entrypoints.llm", reason="vLLM is not installed; `make vllm` installs it")
    command = [sys.executable, str(HERE / "accept.py"), "--size", "tiny", "--device", "cpu", "--out", str(out), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    return done.returncode, {line["part"]: line for line in lines}, json.loads((out / "machine.json").read_text())


@pytest.mark.slow
def test_all_parts_pass_here(tmp_path):
    code, lines, machine = run(tmp_path, "--limit", "3")
    assert {part: line["reason"] for part, line in lines.items()} == dict.fromkeys(NAMES)
    assert all(line["passed"] for line in lines.values())
    assert code == 0
    assert [line["part"] for line in machine["parts"]] == list(NAMES)
    assert machine["device"]["name"] == "cpu"
    assert machine["versions"]["torch"]
    assert machine["rates"] == {}, "a CPU says nothing of a GPU's rates"


@pytest.mark.slow
def test_planted_faults_fail_their_parts(tmp_path):
    """A NaN in a weight, an update that takes five times as long, half a GB lost per sleep, a weight that vLLM has not got."""
    code, lines, _ = run(tmp_path, "--limit", "3", "--parts", "C,E,F", "--faults", "nan,slow,leak,stale")
    assert code == 1
    assert not any(line["passed"] for line in lines.values())
    assert "gap between chunked and whole logits is nan" in lines["C"]["reason"]
    assert re.search("update: share of .* is|scoring over those of an update is", lines["E"]["reason"])
    assert "GB by which memory differs from sleep to sleep is 0.5" in lines["F"]["reason"]
    assert "the sampler's weights are not the trainer's after update" in lines["F"]["reason"]
    assert lines["F"]["measured"]["stale_weight"]["said"], "what was measured is told although the part failed"


@pytest.mark.slow
def test_planted_faults_fail_the_joined_steps(tmp_path):
    """A sampler with the weights of another model, seen from the second step on; and a NaN among its third probabilities."""
    code, lines, _ = run(tmp_path, "--limit", "3", "--parts", "G", "--faults", "stale,nan")
    assert (code, lines["G"]["passed"]) == (1, False)
    assert "step 2: token_mult_prob_error is" in lines["G"]["reason"]
    assert "the sampler are not finite in step 3" in lines["G"]["reason"]


def options(tmp_path: Path) -> Options:
    return Options("tiny", "cpu", tmp_path, tmp_path)


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """A function: run a part whose process is this script."""
    folder = tmp_path / "tests" / "gpu"
    folder.mkdir(parents=True)
    monkeypatch.setattr(accept, "HERE", folder)

    def run_script(text: str, limit: float = 60) -> dict:
        (folder / "accept_part.py").write_text(text)
        return accept.run_part("B", options(tmp_path), limit)

    return run_script


PARTIAL = """
import os, signal, sys, time
sys.path.insert(0, {here!r})
from pathlib import Path
from accept_report import Report
report = Report("B", "parity", Path({out!r}) / "part_B.json")
with report.section("one") as found:
    found["seen"] = 7
print("last words", flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "limit", "why"),
    [
        ("time.sleep(60)", 3, "time limit of 3 s"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 60, "the process ended with exit code -11"),
        ("sys.exit(0)", 60, "the process ended with exit code 0"),
    ],
)
def test_a_part_that_does_not_end_well_tells_what_it_had(tmp_path, scripted, capsys, end, limit, why):
    line = scripted(PARTIAL.format(here=str(HERE), out=str(tmp_path), end=end), limit)
    assert not line["passed"]
    assert line["measured"]["one"]["seen"] == 7
    assert why in line["reason"]
    assert "last words" in line["reason"]
    assert json.loads(capsys.readouterr().out)["part"] == "B"


def test_a_part_that_says_nothing_has_not_passed(tmp_path, scripted):
    assert not scripted("")["passed"]


def test_an_exception_ends_its_section_only(tmp_path):
    report = Report("A", "environment", tmp_path / "a.json")
    with report.section("broken") as found:
        found["before"] = 1
        raise ValueError("no such thing")
    with report.section("next"):
        report.at_most("something", 1.0, 2.0)
    report.write(finished=True)
    line = json.loads((tmp_path / "a.json").read_text())
    assert not line["passed"]
    assert "ValueError: no such thing" in line["reason"]
    assert line["measured"]["broken"]["before"] == 1
    assert "next" in line["measured"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_within_no_bound(tmp_path, value):
    report = Report("A", "environment", tmp_path / "a.json")
    with report.section("one") as found:
        found["value"] = value
        report.at_most("it", value, 1.0)
        report.at_least("it", -value, 0.0)
    assert len(report.problems) == 2
    report.write(finished=True)
    json.loads((tmp_path / "a.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_pieces_add_up_in_one_machine_json(tmp_path):
    def line(part: str, passed: bool, **rates: float) -> dict:
        return {"part": part, "passed": passed, "rates": rates}

    accept.write_machine(tmp_path, [line("A", True), line("E", True, training_flops=0.3)])
    accept.write_machine(tmp_path, [line("G", False), line("A", False)])
    machine = json.loads((tmp_path / "machine.json").read_text())
    assert [(p["part"], p["passed"]) for p in machine["parts"]] == [("A", False), ("E", True), ("G", False)]
    assert machine["rates"] == {"training_flops": 0.3}


def test_rates_are_the_planners(tmp_path):
    """What a part writes are fields of asymgrpo.planner.time.Rates, and numbers that they can be."""
    written = {name for path in HERE.glob("part_*.py") for name in re.findall(r'rate\("(\w+)"', path.read_text())}
    known = {field.name for field in dataclasses.fields(Rates)}
    assert {"training_flops", "decoding_iteration_s", "sync_s_per_gb", "host_update_gb_per_s"} <= written & known
    report = Report("E", "speed", tmp_path / "e.json")
    for name, value in (("training_flops", 0.3), ("hbm", float("nan")), ("link", -1.0), ("luck", 1.0)):
        report.rate(name, value)
    assert report.rates == {"training_flops": 0.3}


def test_every_size_and_part_is_whole(tmp_path):
    for name in SIZES:
        assert SECONDS[name].keys() == NAMES.keys()
    for name in NAMES.values():
        assert (HERE / f"part_{name}.py").is_file()
    assert {part for parts in FAULTS.values() for part in parts} <= NAMES.keys()
    told = options(tmp_path)
    assert loads(told.dumps()) == told


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--parts", "A,X"], "X is no part; use some of A, B"),
        (["--vllm", "{"], "not valid JSON"),
        (["--faults", "flood"], "flood is none; use some of stale"),
    ],
)
def test_wrong_arguments_are_refused(capsys, words, reason):
    with pytest.raises(SystemExit) as stopped:
        accept.main(words)
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err
