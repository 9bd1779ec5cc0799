"""Selected checkpoints of other rules, or of another training of the run, are made again and never used."""

import json
from types import SimpleNamespace

import pytest

from asymgrpo.errors import DataError
from asymgrpo.study.agreement import selection_differences
from evals import asked
from evals.artifacts.agreement import refuse_other_settings
from evals.estimates.selection import read_selection
from evals.sample import steps_to_sample
from workflow.stale import Stale

RULES = ["best_on:chain4", "validation"]
ROWS = [
    {"model": "m", "arm": "grpo", "train_seed": 0, "run_sha256": "a1", "selection": rule, "step": step}
    for step, rule in enumerate(RULES, start=1)
]
WRONG = {
    "other rules": [row | {"selection": "last"} for row in ROWS[:1]],
    "a rule less": ROWS[:1],
    "another training": [row | {"run_sha256": "b2"} for row in ROWS],
    "nothing": [],
    "no rows": {"selection": RULES},
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "done.json").write_text(json.dumps({"sha256": "a1"}))
    return tmp_path


@pytest.mark.parametrize("rows", WRONG.values(), ids=WRONG)
def test_what_is_of_other_rules_or_of_another_training_differs(rows):
    assert selection_differences(ROWS, RULES, "a1") == []
    assert selection_differences(rows, RULES, "a1")


@pytest.mark.parametrize("text", [*map(json.dumps, WRONG.values()), "[{", "\x00"], ids=[*WRONG, "cut short", "binary"])
def test_it_is_made_again(run, text):
    path, forced = run / "selection.json", set()
    stale = Stale(SimpleNamespace(remote_exec=False, dag=SimpleNamespace(forcefiles=forced)))
    stale.check_selection(str(path), RULES, str(run / "done.json"))
    path.write_text(json.dumps(ROWS))
    stale.check_selection(str(path), RULES, str(run / "done.json"))
    assert not forced
    path.write_text(text)
    stale.check_selection(str(path), RULES, str(run / "done.json"))
    assert forced == {str(path)}


def test_sampling_refuses_it(run):
    told = {"source": None, "selection": RULES}
    assert list(steps_to_sample(told, run / "candidates", run / "selection.json", ROWS)) == [1, 2]
    for name in ("other rules", "a rule less", "another training"):
        with pytest.raises(DataError, match=r"selection\.json is not what was asked for"):
            steps_to_sample(told, run / "candidates", run / "selection.json", WRONG[name])


def test_estimates_refuse_it(run):
    path = run / "selection.json"
    path.write_text(json.dumps(WRONG["other rules"]))
    asked.ask({"of": "table", "plan": {"selection": RULES}, "options": {}})
    try:
        with pytest.raises(DataError, match=r'selection\.json: selection is \["last"\], not'):
            read_selection([path])
    finally:
        asked.ask(None)
    assert len(read_selection([path])) == 1, "by hand, nothing is asked for"


def test_a_bundle_and_a_crate_refuse_it(results):
    """On the finished study, whose file is put back."""
    name = "runs/tiny/grpo/seed0/selection.json"
    path = results / name
    before = path.read_bytes()
    refuse_other_settings(results, [name])
    try:
        for change, words in [({"selection": "last"}, "selection is"), ({"run_sha256": "b2"}, "another training")]:
            path.write_text(json.dumps([row | change for row in json.loads(before)]))
            with pytest.raises(DataError, match=words):
                refuse_other_settings(results, [name])
    finally:
        path.write_bytes(before)
