"""Every command that a page tells a reader to type is run here, or marked with what it needs and where it is tested."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from page_commands import ROOT, written

from tests.helpers.project_files import project_files

FIRST = ("docs/evaluation.md", "docs/theory.md", "docs/probe.md")
PAGES = sorted((name for name in project_files(ROOT) if name.endswith(".md")), key=lambda name: name not in FIRST)
"""These first: other pages use the files that their commands make."""
COMMANDS = list(dict.fromkeys(command for page in PAGES for command in written(page)))
MARKS = {
    r"make pages": "tests/figures/test_results_page.py",
    r"make (test|lint|reproduce|vllm|docs|gpu-sources|validators)\b.*": "CI's own steps (.ci/run), or the whole default study",
    r"make (lock|peers|peer-packages|accept|gpu-\w+)": "the network, gigabytes of packages or a GPU",
    r"make \.venv/\.complete|python3\.11 -m venv .*|pytest .*": "makes an environment, or runs these tests",
    r"python tests/method/peers/record\.py": "the network, and other projects' packages (make peers)",
    r".*(<arm>|MODULE|NAME|HOST|artifacts=\.\.\.).*|python -m FOLDER": "names what the reader puts in",
    r".*--data-dir (DATA|FOLDER).*": "the benchmarks' files: tests/tasks/test_sources.py, tests/verifier/test_references.py",
    r"(asymgrpo accept|python tests/gpu/accept\.py) .*": "a GPU: tests/gpu/test_accept.py runs it small, on a CPU",
    r".*--machine (accept/)?machine\.json": "what `make accept` measures on a GPU: tests/planner/test_measured.py",
    r"make bench|python -m benchmarks\..*": "minutes of an idle machine, since it measures speed",
    r"asymgrpo audit-verifier .*|python -m asymgrpo\.verifier\.audit": "pairs of other projects that are not in the repository",
    r"(lm_eval run|asymgrpo harness|python -m evals\.lm_eval\.harness).*|lm_eval --use_cache": "tests/evals/test_lm_eval.py",
    r"tensorboard .*": "serves until it is stopped: tests/report/test_live.py reads what it would show",
    r"snakemake --unlock": "a folder that a killed Snakemake locked",
    r"snakemake --report .*": "tests/workflow/test_workflow.py",
    r"snakemake --snakefile .*": "a checkout elsewhere: tests/workflow/test_checkout.py",
    r"python -m evals\.report\.results_page|asymgrpo prereg": "named without its options; they are on the same page",
    r"snakemake .*protocol=protocol\.json": "a protocol of the study: tests/workflow/test_declared_study.py",
    r"asymgrpo prereg .*--runs .*": "a pilot with the study's own group size: tests/claims/test_dose.py",
    r"(asymgrpo|python -m evals\.)?\s?pool .*|snakemake pool( .*)?": "bundles of two laboratories: tests/pool/test_pool.py",
    r"snakemake results-lcm-study/.*": "two configuration files: tests/workflow/test_settings_of_study.py",
    r"snakemake .*artifacts=pooled\.zip": "what `asymgrpo pool join` writes: tests/pool/test_pool.py",
    r"python -m evals\.artifacts\.crate": "named beside the target of the workflow that calls it",
}
"""Pattern of a command -> what it needs that a quick test has not, or the test that runs it."""
DRY = [c for c in COMMANDS if c.startswith("snakemake ") and not any(re.fullmatch(mark, c) for mark in MARKS)]
REAL = [c for c in COMMANDS if c not in DRY and not any(re.fullmatch(mark, c) for mark in MARKS)]


def test_marks_are_of_commands_that_are_there():
    unused = [mark for mark in MARKS if not any(re.fullmatch(mark, command) for command in COMMANDS)]
    assert unused == []
    named = {path for reason in MARKS.values() for path in re.findall(r"\b(?:tests|workflow)/[\w/]+\.py", reason)}
    assert [path for path in named if not (ROOT / path).is_file()] == []
    assert len(REAL) > 35
    assert len(DRY) > 20


def test_targets_of_make_exist():
    targets = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [target for target in targets if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)] == []


@pytest.fixture(scope="module")
def checkout(results, bundle, tmp_path_factory) -> Path:
    """A folder like a checkout in which a study is finished, and files that a reader has beside it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("config", "evals", "tests", "Snakefile", "workflow", "Makefile", "profiles", "slurm"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(results, folder / "results")
    for name in ("results-study", "rebuilt"):
        (folder / name).symlink_to(folder / "results")
    for name in ("artifacts", "FOLDER"):
        (folder / name).mkdir()
    for name in ("artifacts/study.zip", "theirs.zip"):
        shutil.copy2(bundle, folder / name)
    for name in ("exploratory", "first_declared"):
        shutil.copy2(results / "claims.parquet", folder / f"artifacts/{name}.parquet")
    for name, table in (("math_train", "train"), ("math500", "chain2"), ("aime24", "chain4")):
        shutil.copy2(results / f"data/{table}.parquet", folder / f"{name}.parquet")
    return folder


def words_of(command: str, folder: Path) -> tuple[list[str], str | None]:
    """What Python starts, with the files that a shell would put in for patterns, and where its output goes."""
    words = shlex.split(command)
    out = words[words.index(">") + 1] if ">" in words else None
    words = words[: words.index(">")] if out else words
    words = words if words[0] == "asymgrpo" else words[1:] if words[1].endswith(".py") else words[2:]
    found = [sorted(glob.glob(word, root_dir=folder)) if "*" in word else [word] for word in words]
    return [word for some in found for word in some], out


@pytest.fixture(scope="module")
def ended(checkout) -> dict[str, tuple[int, str]]:
    """Exit code and output of every command, run in the order of the pages."""
    asked = [(["workflow.asked", "results", "--model", "tiny", "--arm", "grpo"], "run.json")]
    asked += [words_of(command, checkout) for command in REAL]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(ROOT / "tests/artifacts/page_commands.py"), "--run"]
    done = subprocess.run(
        program, cwd=checkout, env=environment, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(["run.json", *REAL], json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("command", REAL)
def test_it_works_as_written(ended, command):
    code, said = ended[command]
    assert code == 0, said


def dry_runs() -> dict[str, list[str]]:
    """Options of Snakemake -> all targets that pages give with them."""
    found: dict[str, list[str]] = defaultdict(list)
    for command in DRY:
        words, targets, options = shlex.split(command)[1:], [], []
        while words:
            word = words.pop(0)
            if word in ("--profile", "--configfile", "--forcerun"):
                options += [word, words.pop(0)]
            elif word == "--config":
                while words and "=" in words[0]:
                    options += ["--config", words.pop(0)]
            elif word.startswith("-"):
                continue  # -n and -p: what these tests do anyway
            else:
                targets.append(word)
        found[shlex.join(options)] += targets
    return dict(found)


@pytest.mark.parametrize("options", dry_runs())
def test_snakemake_plans_it(options, tmp_path):
    for name in ("math_train.parquet", "math500.jsonl"):
        (tmp_path / name).touch()
    words = [word.replace("FOLDER", str(tmp_path)) for word in shlex.split(options)]
    command = [sys.executable, "-m", "snakemake", "-n", *dict.fromkeys(dry_runs()[options]), *words]
    done = subprocess.run(
        [*command, "--nolock", "--cores", "1"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
