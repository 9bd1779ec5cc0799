"""machine.json: measured rates in place of assumed ones, and what is refused."""

import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.planner.measured import SHARES, read_measured
from asymgrpo.planner.time import RATES, gpu_kind_of
from asymgrpo.study.config import ConfigError
from asymgrpo.study.stored import ROOT

DEVICE = {"name": "Card of a test", "memory_gb": 85.0, "driver": "1"}
NAMES = [f.name for f in fields(RATES)]
rates = st.fixed_dictionaries({}, optional={n: st.floats(0.001, 1 if n in SHARES else 1e6) for n in NAMES})


def written(tmp_path, content):
    path = tmp_path / "machine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@given(rates)
def test_given_rates_replace_assumed_ones(tmp_path_factory, given_rates):
    path = written(tmp_path_factory.mktemp("machine"), {"device": DEVICE, "rates": given_rates, "parts": []})
    found = read_measured(path)
    assert found.rates == replace(RATES, **given_rates)
    sources = {name: source for name, _, source in found.rows()}
    assert sources == {n: "measured on Card of a test" if n in given_rates else "assumed" for n in NAMES}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["cannot be read", "machine.json"]),
        ("[]", ["has no 'device'"]),
        ({"device": DEVICE}, ["has no 'rates'"]),
        ({"device": {}, "rates": {}}, ["device.name"]),
        ({"device": DEVICE | {"memory_gb": -1}, "rates": {}}, ["device.memory_gb = -1"]),
        ({"device": DEVICE, "rates": {"training_flop": 0.3}}, ["'training_flop' is unknown", "training_flops"]),
        ('{"device": {"name": "x"}, "rates": {"hbm": NaN}}', ["rates.hbm = nan", "finite"]),
        ('{"device": {"name": "x"}, "rates": {"disk_gb_per_s": Infinity}}', ["rates.disk_gb_per_s = inf", "finite"]),
        ({"device": DEVICE, "rates": {"hbm": "fast", "link": True}}, ["rates.hbm = 'fast'", "rates.link = True"]),
        ({"device": DEVICE, "rates": {"verdicts_per_s": 0}}, ["rates.verdicts_per_s = 0"]),
        ({"device": DEVICE, "rates": {"training_flops": 40}}, ["share of the nameplate"]),
    ],
    ids=str,
)
def test_what_is_not_a_measurement_is_refused(tmp_path, content, words):
    with pytest.raises(ConfigError) as caught:
        read_measured(written(tmp_path, content))
    assert all(line.startswith("planner: ") for line in str(caught.value).splitlines())
    for word in words:
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json cannot be read"):
        read_measured(tmp_path / "nowhere.json")


def test_another_card_is_pointed_out(tmp_path):
    found = read_measured(written(tmp_path, {"device": DEVICE, "rates": {}}))
    assert found.warning("h100-80gb", gpu_kind_of("h100-80gb")) is None
    assert "85 GB, and a100-40gb has 40" in (found.warning("a100-40gb", gpu_kind_of("a100-40gb")) or "")


def plan(*arguments: str) -> subprocess.CompletedProcess:
    paper = ["--config", "config/paper.yaml"]
    command = [sys.executable, "-W", "ignore", "-m", "asymgrpo.planner", *paper, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_says_where_each_rate_came_from_and_plans_with_it(tmp_path):
    slow = written(tmp_path, {"device": DEVICE, "rates": {"decoding_iteration_s": 0.08}})
    assumed, measured = plan(), plan("--machine", str(slow))
    assert (assumed.returncode, measured.returncode) == (0, 0), measured.stderr
    assert "| decoding_iteration_s | 0.008 | assumed |" in assumed.stdout
    assert "| decoding_iteration_s | 0.08 | measured on Card of a test |" in measured.stdout
    rollouts = [
        float(next(line for line in done.stdout.splitlines() if line.startswith("| expected")).split("|")[2])
        for done in (assumed, measured)
    ]
    assert rollouts[1] > 3 * rollouts[0]
    wrong = plan("--machine", str(written(tmp_path, {"device": DEVICE, "rates": {"speed": 1}})))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'speed' is unknown" in wrong.stderr
