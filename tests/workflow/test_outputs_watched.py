"""Outputs that stand behind one of them as input are looked at when a job is to read them, and only then: on Snakemake itself."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from workflow import stale

STALE = stale.Stale(workflow)

def faults():
    print("<looks>", file=sys.stderr)
    return [f"{{name}} is wrong" for name in ("a.txt", "b.txt") if not Path(name).exists() or Path(name).read_text() != "x"]

rule page:
    input: "table.txt"
    output: "page.txt"
    shell: "cp {{input}} {{output}}"

rule table:
    input: "a.txt"
    output: "table.txt"
    shell: "cat a.txt b.txt > {{output}}"

rule other:
    output: "other.txt"
    shell: "touch {{output}}"

rule unpack:
    input: whole=lambda w: STALE.check_outputs("a.txt", "here", faults)
    output: "a.txt", "b.txt"
    shell: "for file in {{output}}; do printf x > $file; done"
"""


def run(folder: Path, *words: str) -> tuple[int, bool]:
    """How often the outputs were looked at, and whether they were written."""
    command = [sys.executable, "-m", "snakemake", *(words or ["page.txt"]), "--cores", "1", "--latency-wait", "0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert ("unpacked again" in said) == ("is wrong" in said)
    return said.count("<looks>"), "rule unpack" in said


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    assert run(tmp_path) == (0, True), "they are written anyway"
    return tmp_path


def test_they_are_looked_at_where_something_is_made_of_them(made):
    assert run(made) == (0, False)
    (made / "b.txt").unlink()
    assert run(made) == (0, False), "nothing is made"
    assert run(made, "page.txt", "other.txt") == (0, False), "nothing is made of them"
    (made / "page.txt").unlink()
    assert run(made, "-n") == (1, True)
    assert run(made) == (1, True)
    assert (made / "page.txt").read_text() == "xx"
    (made / "page.txt").unlink()
    assert run(made) == (1, False)
    assert run(made, "page.txt", "--forcerun", "unpack") == (0, True)


def test_a_changed_one_is_written_again(made):
    (made / "b.txt").write_text("y")
    for name in ("table.txt", "page.txt"):
        (made / name).unlink()
    assert run(made) == (1, True)
    assert [(made / name).read_text() for name in ("b.txt", "page.txt")] == ["x", "xx"]
