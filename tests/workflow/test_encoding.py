"""Files are UTF-8 whatever the locale says: of a user with LC_ALL=C, on a node without locales, in a container."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workflow.changes import ROOT

CODE = sorted(
    path
    for folder in ("asymgrpo", "evals", "workflow", "containers", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def by_locale(source: str) -> Iterator[str]:
    """Calls that would read or write text in the locale's encoding."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and "encoding" not in {word.arg for word in node.keywords} and _is_text(node):
            yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def _is_text(call: ast.Call) -> bool:
    words = {word.arg: ast.unparse(word.value) for word in call.keywords}
    match call.func:
        case ast.Attribute(attr="read_text" | "write_text"):
            return True
        case ast.Attribute(value=ast.Name(id="os" | "Image") | ast.Attribute(attr="archive"), attr="open"):
            return False  # a zip archive gives bytes
        case ast.Name(id="open"):
            mode = words.get("mode") or (ast.unparse(call.args[1]) if len(call.args) > 1 else "r")
        case ast.Attribute(attr="open"):
            mode = words.get("mode") or (ast.unparse(call.args[0]) if call.args else "r")
        case ast.Attribute(attr="NamedTemporaryFile" | "TemporaryFile" | "fdopen"):
            mode = words.get("mode") or (ast.unparse(call.args[-1]) if call.args else "b")
        case ast.Attribute(attr="run" | "Popen" | "check_output"):
            return words.get("text") == "True" or words.get("universal_newlines") == "True"
        case _:
            return False
    return "b" not in mode


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_read_or_written_in_the_locales_encoding(path):
    assert not list(by_locale(path.read_text(encoding="utf-8")))


def test_what_the_test_above_looks_for():
    text = 'p.read_text()\np.open()\nopen(p, "w")\nrun(c)\nt.run(c, text=True)\nt.NamedTemporaryFile("w")\n'
    assert [line.split(":")[0] for line in by_locale(text)] == ["line 1", "line 2", "line 3", "line 5", "line 6"]
    assert not list(by_locale('p.read_text(encoding="utf-8")\np.open("rb")\nos.open(p, 1)\nsubprocess.run(c)\n'))


def in_ascii(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, env=os.environ | ASCII, timeout=300)


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "asymgrpo.planner", "--config", "config/paper.yaml"),
        ("-m", "asymgrpo.method", "asymgrpo"),
        ("-m", "asymgrpo.training.metrics"),
        ("-m", "evals.tables.table1", "--help"),
        ("-m", "snakemake", "-n", "--nolock", "--config", "results=RESULTS"),
    ],
    ids=lambda command: command[1],
)
def test_commands_work_under_an_ascii_locale(command, tmp_path):
    done = in_ascii(*(word.replace("RESULTS", str(tmp_path)) for word in command))
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "UnicodeEncodeError" not in text
    assert "UnicodeDecodeError" not in text
    assert "Traceback" not in text, text


def test_the_end_of_make_reproduce_is_printed_under_an_ascii_locale(tmp_path):
    """It has dashes and signs that ASCII lacks; they are escaped. It tells what is found and what stays open."""
    (tmp_path / "table1.md").write_text("GRPO 0.5 ± 0.1\n", encoding="utf-8")
    pq.write_table(pa.table({"verdict": ["supported", "inconclusive", "not tested"]}), tmp_path / "claims.parquet")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "theory_weight.json").write_text('{"finding": "half of it"}', encoding="utf-8")
    done = in_ascii("-m", "workflow.finish", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert b"GRPO 0.5 \\xb1 0.1" in done.stdout
    assert b"Exactly: half of it" in done.stdout
    assert b"2 of 3 claims need more" in done.stdout
