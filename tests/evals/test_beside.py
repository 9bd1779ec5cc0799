"""Pieces of work shared out among processes: each is done once, stage after stage, until one fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evals import beside

ROOT = Path(__file__).resolve().parents[2]


def writes(path: Path, code: int = 0, seconds: float = 0.0):
    """A piece that writes its process and the names of what was there before, then ends with a code."""

    def piece() -> int:
        there = sorted(other.name for other in path.parent.iterdir())
        path.write_text(f"{os.getpid()} {' '.join(there)}")
        time.sleep(seconds)
        return code

    return piece


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_piece_is_done_once_and_no_stage_begins_before_the_last_has_ended(tmp_path, processes) -> None:
    sizes = [5, 1, 4]
    stages = [[writes(tmp_path / f"{i}{j}", seconds=0.02) for j in range(size)] for i, size in enumerate(sizes)]
    assert beside.in_stages(stages, processes) == 0
    said = {path.name: path.read_text().split() for path in tmp_path.iterdir()}
    assert len(said) == sum(sizes)
    assert 1 <= len({process for process, *_ in said.values()}) <= processes
    for name, (_, *there) in said.items():
        before = {other for other in said if other[0] < name[0]}
        assert before <= set(there)
        assert not any(other[0] > name[0] for other in there)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_failure_ends_the_call_with_its_code(tmp_path, processes) -> None:
    first = [writes(tmp_path / "at work", seconds=0.2), writes(tmp_path / "fails", code=75, seconds=0.1)]
    never = [writes(tmp_path / f"never {i}") for i in range(3)]
    assert beside.in_stages([[*first, *never], [writes(tmp_path / "later")]], processes) == 75
    assert {path.name for path in tmp_path.iterdir()} == {"at work", "fails"}


def test_a_process_that_was_killed_is_not_waited_for(tmp_path, capfd) -> None:
    parent = os.getpid()

    def dies() -> int:
        while os.getpid() == parent:  # until the other one has taken its own
            if (tmp_path / "dead").exists():
                return 0
            time.sleep(0.01)
        (tmp_path / "dead").write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert beside.in_stages([[dies, dies]], 2) == 1
    assert "a process was killed by signal 9" in capfd.readouterr().err


def test_programs_beside_each_other_have_one_core_each_and_whole_lines(tmp_path) -> None:
    program = "import os, sys; [print(sys.argv[1] * 2000, os.environ['OMP_NUM_THREADS']) for _ in range(20)]"
    (tmp_path / "says.py").write_text(program)
    words = ["--no-frames", "--processes", "2", "says", "a", "//", "says", "b", "++", "says", "c"]
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "evals.together", *words],
            cwd=ROOT,
            env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "OMP_NUM_THREADS": "2"},
            stdout=log,
            check=False,
        )
    assert done.returncode == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{letter * 2000} 1" for letter in "abc" for _ in range(20))
    assert all(line.startswith("c") for line in lines[40:])
