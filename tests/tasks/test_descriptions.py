"""What a benchmark's file must say: its licence, and when its problems became public."""

import shutil

import pytest

from asymgrpo.study.config import ConfigError
from asymgrpo.tasks import benchmarks, spec
from asymgrpo.tasks.spec import DataError
from tests.workflow.changes import by_command
from workflow import checks

DATES = {
    "aime24": "2024-01",
    "aime25": "2025-02",
    "aime26": "2026-02",
    "amc23": "2023-11",
    "brumo25": "2025-04",
    "cmimc25": "2025-04",
    "hmmt_feb25": "2025-02",
    "hmmt_nov25": "2025-11",
    "hmmt_feb26": "2026-02",
    "gsm8k": "2021-10",
}
NOT_PASSED_ON = {"aime26", "brumo25", "cmimc25", "hmmt_feb25", "hmmt_nov25", "hmmt_feb26"}


def test_every_benchmark_has_its_licence_and_its_date():
    found = {name: benchmarks.load(name) for name in benchmarks.BENCHMARKS}
    assert {name: one.contest_date for name, one in found.items() if one.contest_date} == DATES
    assert {name for name, one in found.items() if not one.may_be_passed_on} == NOT_PASSED_ON
    assert all(spec.dataset_spec(name).may_be_passed_on for name in ("chain_train", "math_train"))


@pytest.fixture
def chain4(tmp_path, monkeypatch):
    """The file of chain4 in a folder of the test, to be edited."""
    shutil.copy(benchmarks.FOLDER / "chain4.yaml", tmp_path)
    monkeypatch.setattr(benchmarks, "FOLDER", tmp_path)
    return tmp_path / "chain4.yaml"


@pytest.mark.parametrize("key", ["licence", "contest_date"])
def test_a_file_without_one_is_refused_by_name(chain4, key):
    lines = chain4.read_text().splitlines(keepends=True)
    chain4.write_text("".join(line for line in lines if not line.startswith(key)))
    with pytest.raises(DataError, match=rf"^chain4\.yaml: the key {key} is missing; add it"):
        benchmarks.load("chain4")
    with pytest.raises(ConfigError, match=rf"^config: evaluation\.benchmarks: chain4\.yaml: the key {key} is missing"):
        checks.load(by_command('evaluation={"benchmarks": [chain4], "selection": [last]}'))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "licence: Apache-2.0",
            "licence: CC BY-NC",
            r"licence: 'CC BY-NC' is not a licence that we know; known are MIT, ",
        ),
        ("contest_date: null", "contest_date: 2026-13", r"contest_date: "),
        ("contest_date: null", "contest_date: 2026-02-05", r"contest_date: "),
    ],
)
def test_an_unknown_licence_and_a_date_that_is_no_month_are_refused(chain4, old, new, words):
    text = chain4.read_text()
    assert old in text
    chain4.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=rf"^chain4\.yaml: {words}"):
        benchmarks.load("chain4")


def test_only_what_is_wholly_after_the_cutoff_is_younger():
    names = [name for name in benchmarks.BENCHMARKS if benchmarks.younger(name, "2025-04")]
    assert names == ["aime26", "hmmt_feb26", "hmmt_nov25"], "BRUMO and CMIMC are of the month itself"
    assert not any(benchmarks.younger(name, None) for name in (*benchmarks.BENCHMARKS, "average"))
