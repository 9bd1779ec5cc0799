"""The parts that run side by side are all tests, each once; a part that fails fails the whole."""

from collections import Counter
from pathlib import Path

import pytest

from tests import side_by_side

ROOT = Path(__file__).parents[1]


def test_every_test_is_in_exactly_one_part() -> None:
    given = [path for part in side_by_side.parts() for path in part]
    assert len(given) == len(set(given))
    assert all((ROOT / path).exists() for path in given)
    for test in (ROOT / "tests").rglob("*.py"):
        name = test.relative_to(ROOT).as_posix()
        if test.name not in ("conftest.py", "__init__.py"):
            assert sum(name == path or name.startswith(f"{path}/") for path in given) == 1, name


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest by itself imports a file of tests by its name alone, and stops at the second of that name."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name, times in names.items() if times > 1} == set()


def test_testpaths_are_what_the_parts_are_below(pytestconfig: pytest.Config) -> None:
    given = {path.split("/")[0] for part in side_by_side.parts() for path in part}
    assert given == set(pytestconfig.getini("testpaths"))


def test_a_part_that_fails_fails_the_whole_and_is_shown(tmp_path: Path, monkeypatch, capsys) -> None:
    good, bad = tmp_path / "test_good_part.py", tmp_path / "test_bad_part.py"
    good.write_text("import os\n\ndef test_it():\n    assert os.environ['OMP_NUM_THREADS'] == '1'\n")
    bad.write_text("def test_that():\n    assert 'this' == 'that'\n")
    for files, code in (([good], 0), ([bad, good], 1)):
        monkeypatch.setattr(side_by_side, "parts", lambda files=files: [(str(path),) for path in files])
        assert side_by_side.main(["--workers", "2", "-p", "no:cacheprovider"]) == code
    said = capsys.readouterr().out
    assert "test_bad_part.py: FAILED in" in said
    assert "assert 'this' == 'that'" in said
    assert sum(line.startswith(f"{good}: passed in") for line in said.splitlines()[-2:]) == 1
