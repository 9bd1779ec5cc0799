"""CONTRIBUTING.md: an arm, a benchmark and a figure are added where it says; plans, Table 1, figures and pages show them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.project_files import project_files

ROOT = Path(__file__).parents[2]
CONFIGURATION = "config/smollm2.yaml"
OF_DOCUMENTS = ("tests/method/doc_tables.py", "tests/method/peers/recorded.json")
RESULTS = """
import sys
from pathlib import Path
from types import SimpleNamespace
import matplotlib as mpl
import pyarrow as pa
from evals.figures import drawn, my_figure
from evals.io import write_table
from evals.report.results_page import drawn as drawn_of
from evals.report.results_page import figures
from evals.tables.table1 import SCHEMA, render_markdown, table_1

folder = Path(sys.argv[1])
numbers = {"metric": "avg_at_n", "estimate": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n_problems": 3, "n_samples": 3, "n_seeds": 1,
           "selection": "last", "model": "tiny", "truncated_share": 0.0, "unparsed_share": 0.0, "grader_disagreement": 0.0}
arms, benchmarks = ("mine", "rloo", "asymgrpo", "base", "grpo"), ("my_benchmark", "math500")
rows = [numbers | {"arm": arm, "benchmark": benchmark} for arm in arms for benchmark in benchmarks]
(folder / "table1.md").write_text(render_markdown(table_1(pa.Table.from_pylist(rows, SCHEMA), {})))
metrics = [folder / "mine.parquet", folder / "grpo.parquet"]
for path in metrics:
    steps = pa.table({"step": [1, 2], "entropy": [0.5, 0.4], "reward_mean": [0.2, 0.3]})
    write_table(steps, path, {"model": "tiny", "arm": path.stem, "train_seed": 0})
figure = my_figure.draw(metrics)
with mpl.rc_context({"svg.fonttype": "none"}):  # its letters as text
    figure.figure.savefig(folder / "my_figure.svg")
drawn.save("my_figure", figure, my_figure, folder / "figures" / "my_figure")
results = SimpleNamespace(folder=folder)
(folder / "results.md").write_text("".join(figures(results, "images", drawn_of(results))))
"""
"""Table 1, the new figure and its part of docs/results.md, from made-up numbers of the new arm on the new benchmark."""
CHANGES = {
    "study": {"arms": ["grpo", "mine"], "seeds": [0]},
    "evaluation": {"benchmarks": ["math500", "my_benchmark"]},
    "data": {"dir": "data"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with the three additions, each in its one place."""
    copy = tmp_path_factory.mktemp("added") / "project"
    for name in project_files(ROOT):
        if not name.startswith(("docs/images", "artifacts", "benchmarks", "tests")) or name in OF_DOCUMENTS:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    edit(
        copy / "asymgrpo/method/arms.py",
        "    GRPO,\n",
        '    GRPO,\n    variant("mine", "My arm", "Lower clip bound", "#F0E442", clip_low=0.1),\n',
    )
    folder = copy / "asymgrpo/tasks/benchmarks"
    text = (folder / "aime24.yaml").read_text(encoding="utf-8")
    text = text.replace("aime24", "my_benchmark").replace("title: AIME24", "title: My benchmark")
    (folder / "my_benchmark.yaml").write_text(text, encoding="utf-8")
    entry = "  my_benchmark:\n    rows: 30\n    content_sha256: " + 64 * "a" + "\n    revision: null\n"
    edit(copy / "config/data.lock.yaml", "datasets:\n", f"datasets:\n{entry}")
    figures = copy / "evals/figures"
    shutil.copy2(figures / "training_curves.py", figures / "my_figure.py")
    edit(
        figures / "table.py",
        "str, Entry] = {\n",
        'str, Entry] = {\n    "my_figure": Entry("My figure", ("metrics",)),\n',
    )
    for name in ("math_train.parquet", "math500.jsonl", "my_benchmark.jsonl"):  # planning looks whether they exist
        (copy / "data").mkdir(exist_ok=True)
        (copy / "data" / name).touch()
    return copy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new), encoding="utf-8")


def call(project: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=project, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_workflow_plans_the_new_arm_benchmark_and_figure(project):
    changes = [f"{key}={json.dumps(value)}" for key, value in CHANGES.items()]
    wanted = ("results-smollm2/figures/my_figure.png", "graded")
    plan = call(
        project, "snakemake", "-n", "-p", *wanted, "--configfile", CONFIGURATION, "--config", *changes, "--cores", "1"
    )
    assert "runs/smollm2/mine/seed0/done.json" in plan
    assert "samples/smollm2/mine/seed0/my_benchmark.parquet" in plan
    assert "evals.figures my_figure" in plan


def test_their_titles_are_in_table_1_the_figure_and_the_page(project, tmp_path):
    (tmp_path / "figures").mkdir()
    command = [sys.executable, "-c", RESULTS, str(tmp_path)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in (tmp_path / "table1.md").read_text().splitlines() if line.startswith("|")]
    assert lines[0] == "| arm | seeds | MATH-500 | My benchmark |"
    first = [line.split(" | ")[0].removeprefix("| ") for line in lines]
    assert first == ["arm", "---", "base model", "GRPO", "My arm", "AsymGRPO", "RLOO"]
    drawn = (tmp_path / "my_figure.svg").read_text(encoding="utf-8")
    assert drawn.index(">GRPO (n = 1)") < drawn.index(">My arm (n = 1)")
    assert "#f0e442" in drawn
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "### My figure" in page
    assert "My arm 0.4" in page, "the sentence of the figure"


def test_the_documents_list_the_new_arm(project):
    subprocess.run([sys.executable, "tests/method/doc_tables.py"], cwd=project, check=True)
    assert "| `mine` | My arm | main | clip_low = 0.1 | Lower clip bound |" in (project / "docs/method.md").read_text()


def test_the_new_arm_has_a_listing_and_the_benchmark_an_lm_eval_task(project):
    assert "clip_low" in call(project, "asymgrpo.method", "mine")
    call(project, "evals.lm_eval")
    assert "asymgrpo_my_benchmark" in (project / "evals/lm_eval/my_benchmark.yaml").read_text(encoding="utf-8")
