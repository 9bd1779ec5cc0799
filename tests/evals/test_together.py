"""Several programs in one process: each as if alone, one after the other, until one fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evals import asked, together

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs: `says` writes its arguments into a file, `ends` ends with the code that it is given."""
    (tmp_path / "says.py").write_text(
        "import sys; from pathlib import Path; Path(sys.argv[1]).write_text(str(sys.argv[2:]))"
    )
    (tmp_path / "ends.py").write_text("import sys; sys.exit(int(sys.argv[1]) if sys.argv[1:] else 'a word')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evals.together", *map(str, words)])
    return together.main()


def test_each_program_has_its_own_arguments_and_the_first_that_fails_ends_the_call(
    programs, monkeypatch, capsys
) -> None:
    one, two, three = (programs / name for name in "123")
    words = ["says", one, "-a", "x", "+", "ends", 0, "+", "says", two, "+", "ends", 75, "+", "says", three]
    assert run(monkeypatch, *words) == 75
    assert (one.read_text(), two.read_text(), three.exists()) == ("['-a', 'x']", "[]", False)
    assert "ends ended with exit code 75; programs after it were not run" in capsys.readouterr().err
    assert run(monkeypatch, "ends") == 1
    assert sys.argv[0] == "evals.together"


def test_a_separator_beside_nothing_is_refused_before_any_program(programs, monkeypatch, capsys) -> None:
    for words in (["says", programs / "1", "+"], ["+", "says", programs / "1"], ["++", "says", programs / "1", "//"]):
        assert run(monkeypatch, *words) == 2
    for words in (["--processes", "says", "x"], ["--processes", "0", "says", "x"]):
        assert run(monkeypatch, *words) == 2
    assert not (programs / "1").exists()
    assert "a program's module is missing beside a +" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["frames", "no frames"])
def test_programs_find_pandas_or_none_of_them_imports_it(tmp_path: Path, kind: str) -> None:
    """A program that makes no frames has pyarrow take pandas for absent, in its process: not for the next program's harm."""
    (tmp_path / "without.py").write_text(
        "from asymgrpo.lean import arrow_alone; arrow_alone(); import pyarrow as pa; pa.array([1]).to_pylist()"
    )
    end = "pa.table({'a': [1]}).to_pandas()" if kind == "frames" else "assert 'pandas' not in sys.modules"
    (tmp_path / "then.py").write_text(f"import sys, pyarrow as pa; pa.array([1, None]); {end}")
    option = [] if kind == "frames" else [together.NO_FRAMES]
    done = subprocess.run(
        [sys.executable, "-m", "evals.together", *option, "without", "+", "then"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_one_program_asks_of_its_inputs_is_not_asked_of_the_next_ones(programs, monkeypatch) -> None:
    """The tables of a study are of different arms."""
    (programs / "asks.py").write_text(
        "import sys; from pathlib import Path; from evals import asked, cli\n"
        "words = cli.understood(sys.argv[2:]); Path(sys.argv[1]).write_text(f'{words} {asked.statement()}')"
    )
    wanted = [{"of": "table", "plan": {"arms": {name: {}}}, "options": {}} for name in ("grpo", "asymgrpo")]
    words: list[object] = []
    for i, settings in enumerate(wanted):
        (programs / f"{i}.json").write_text(json.dumps(settings))
        words += ["asks", programs / f"{i}.txt", "--settings", programs / f"{i}.json", "--out", i, "+"]
    try:
        assert run(monkeypatch, *words, "asks", programs / "2.txt") == 0
    finally:
        asked.ask(None)
    expected = [f"['--out', '{i}'] {{'settings': {settings}}}" for i, settings in enumerate(wanted)]
    assert [(programs / f"{i}.txt").read_text() for i in range(3)] == [*expected, "[] {}"]
