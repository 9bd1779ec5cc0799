"""From samples to Table 1, differences and figures, through the command lines, with the real verifier."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from asymgrpo.content import data_hash
from evals.estimates.cells import count_cells, read_graded
from evals.estimates.passk import pass_at_k
from evals.io import DataError, read_json, read_metadata, read_table, write_json, write_table
from evals.select import select_step
from evals.tables.table1 import render_markdown

ROOT = Path(__file__).parents[2]
N_SAMPLES, STEP = 4, 30
ARMS = {"base": (0,), "grpo": (0, 1), "asymgrpo": (0, 1)}
BENCHMARKS = {"amc23": 6, "math500": 8}
SCORE = ("--seed-variance", "own", "--draws", "500", "--seed", "0")


def run(module: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"evals.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


def reference_answer(problem: int) -> str:
    return str(10 + problem)


def sample_rows(arm: str, seed: int, rng: np.random.Generator) -> list[dict]:
    rows = []
    for benchmark, size in BENCHMARKS.items():
        for problem in range(size):
            for sample in range(N_SAMPLES):
                answer = reference_answer(problem) if rng.random() < (problem + 1) / size else str(rng.integers(90, 93))
                response = f"So it is \\boxed{{{answer}}}." if sample != 3 or problem else "I do not know."
                rows.append(
                    {
                        "model": "qwen",
                        "arm": arm,
                        "train_seed": seed,
                        "step": 0 if arm == "base" else STEP,
                        "benchmark": benchmark,
                        "problem_id": f"{benchmark}/{problem}",
                        "sample_id": sample,
                        "sample_seed": sample,
                        "response": response,
                        "finish_reason": "length" if (problem, sample) == (1, 0) else "stop",
                        "n_tokens": 5,
                        "logprob_sum": -1.0,
                    }
                )
    return rows


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three arms: samples, problems, selections, graded tables, scores."""
    home = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    for benchmark, size in BENCHMARKS.items():
        ids = [f"{benchmark}/{i}" for i in range(size)]
        table = {"problem_id": ids, "problem": ids, "answer": [reference_answer(i) for i in range(size)]}
        write_table(pa.table(table), home / f"{benchmark}.parquet", {})
    samples = []
    for arm, seeds in ARMS.items():
        for seed in seeds:
            path = home / f"samples-{arm}-{seed}.parquet"
            write_table(pa.Table.from_pylist(sample_rows(arm, seed, rng)), path, {"arm": arm})
            samples.append(path)
            if arm != "base":
                rules = [{"selection": rule, "step": STEP} for rule in ("last", "best_on:math500")]
                run_ = {"model": "qwen", "arm": arm, "train_seed": seed}
                write_json([run_ | rule for rule in rules], home / f"selection-{arm}-{seed}.json")
    problems = [home / f"{name}.parquet" for name in BENCHMARKS]
    run("grade", "--samples", *samples, "--problems", *problems, "--out", home / "graded.parquet")
    selections = sorted(home.glob("selection*.json"))
    ks = ("--k", 1, 2, 4, "--maj-k", 4)
    target = home / "scores.parquet"
    run("tables.score", "--graded", home / "graded.parquet", "--selection", *selections, *ks, *SCORE, "--out", target)
    return home


def test_verdicts_follow_the_conventions(study: Path) -> None:
    rows = read_table(study / "graded.parquet").to_pylist()
    assert len(rows) == 5 * N_SAMPLES * sum(BENCHMARKS.values())
    for row in rows:
        truncated, boxed = row["finish_reason"] == "length", "boxed" in row["response"]
        right = boxed and row["extracted"] == row["answer"] and not truncated
        expected = "truncated" if truncated else "unparsed" if not boxed else "correct" if right else "wrong"
        assert (row["verdict"], row["correct"], row["second_correct"]) == (expected, right, right)


def test_grading_again_changes_nothing_and_shows_what_a_new_reference_answer_changes(
    study: Path, tmp_path: Path
) -> None:
    graded, again = study / "graded.parquet", tmp_path / "again.parquet"
    problems = [study / f"{name}.parquet" for name in BENCHMARKS]
    told = run("grade", "--samples", graded, "--problems", *problems, "--previous", graded, "--out", again).stdout
    assert told.startswith("0 of ")
    assert data_hash(read_table(again)) == data_hash(read_table(graded))

    reference_answers = read_table(study / "amc23.parquet").to_pydict()
    reference_answers["answer"][5] = "999"
    write_table(pa.table(reference_answers), tmp_path / "amc23.parquet", {})
    changes = tmp_path / "changes.parquet"
    new = ("--problems", tmp_path / "amc23.parquet", study / "math500.parquet", "--changes", changes)
    told = run("grade", "--samples", graded, *new, "--previous", graded, "--out", again).stdout
    rows = read_table(changes).to_pylist()
    was_right = [r for r in read_table(graded).to_pylist() if r["problem_id"] == "amc23/5" and r["correct"]]
    assert len(rows) == len(was_right) > 0
    assert {(r["problem_id"], r["verdict_before"], r["verdict_after"]) for r in rows} == {
        ("amc23/5", "correct", "wrong")
    }
    assert f"{len(rows)} of " in told


def test_scores_are_the_means_of_the_samples(study: Path) -> None:
    rows = read_table(study / "graded.parquet").to_pylist()
    scores = read_table(study / "scores.parquet").to_pylist()
    assert {row["selection"] for row in scores} == {"last", "best_on:math500"}
    for score in scores:
        if score["benchmark"] == "average" or score["metric"] == "maj_at_k":
            continue
        mine = [r for r in rows if r["arm"] == score["arm"] and r["benchmark"] == score["benchmark"]]
        assert score["n_samples"] == len(mine)
        assert score["n_seeds"] == len(ARMS[score["arm"]])
        share = np.mean([r["verdict"] == "truncated" for r in mine])
        assert score["truncated_share"] == pytest.approx(share)
        cells: dict[tuple, list[bool]] = {}
        for r in mine:
            cells.setdefault((r["train_seed"], r["problem_id"]), []).append(r["correct"])
        k = 1 if score["metric"] == "avg_at_n" else score["k"]
        expected = np.mean([pass_at_k(len(c), sum(c), k) for c in cells.values()])
        assert score["estimate"] == pytest.approx(expected, abs=1e-11)
        assert score["ci_low"] <= score["estimate"] <= score["ci_high"]


def test_the_average_is_the_mean_over_benchmarks(study: Path) -> None:
    scores = read_table(study / "scores.parquet").to_pandas()
    keys = ["arm", "selection", "metric", "k"]
    parts = scores[scores["benchmark"] != "average"].groupby(keys)["estimate"].mean()
    average = scores[scores["benchmark"] == "average"].set_index(keys)["estimate"]
    assert len(average) == len(parts) > 0
    assert average.sort_index().to_numpy() == pytest.approx(parts.sort_index().to_numpy(), abs=1e-9)


def test_table_1_carries_paper_values_and_both_rules(study: Path, tmp_path: Path) -> None:
    out, markdown = tmp_path / "table1.parquet", tmp_path / "table1.md"
    extra = tmp_path / "config.json"
    write_json({"config_hash": "abc"}, extra)
    source = study / "scores.parquet"
    paper = json.dumps({"qwen": "Qwen3-4B"})
    run(
        "tables.table1", "--scores", source, "--out", out, "--markdown", markdown, "--metadata", extra, "--paper", paper
    )
    table = read_table(out)
    contract = [
        "arm",
        "benchmark",
        "metric",
        "k",
        "estimate",
        "ci_low",
        "ci_high",
        "n_problems",
        "n_samples",
        "n_seeds",
        "paper_value",
    ]
    assert table.column_names[:11] == contract
    rows = table.to_pylist()
    paper = {(r["arm"], r["benchmark"]): r["paper_value"] for r in rows if r["metric"] == "avg_at_n"}
    assert paper["asymgrpo", "math500"] == 0.8933
    assert paper["base", "math500"] is None
    assert all(r["paper_value"] is None for r in rows if r["metric"] != "avg_at_n")
    assert read_metadata(out)["config"] == {"config_hash": "abc"}
    assert read_metadata(out)["data_hash"] == data_hash(table)
    text = markdown.read_text()
    assert text == render_markdown(table)
    for words in (
        "best on MATH-500 (selected on",
        "last step",
        "| AsymGRPO | 2 |",
        "(paper 89.3)",
        "× 4 samples",
    ):
        assert words in text


def test_two_runs_give_the_same_bytes(study: Path, tmp_path: Path) -> None:
    hashes = []
    for _ in range(2):
        target = tmp_path / "scores.parquet"
        files = ("--graded", study / "graded.parquet", "--selection", *sorted(study.glob("selection*.json")))
        run("tables.score", *files, "--k", 1, 2, *SCORE, "--out", target)
        hashes.append(target.read_bytes())
    assert hashes[0] == hashes[1]


def test_arms_and_sets_are_compared(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "differences.parquet"
    run("tables.compare", study, *SCORE, "--against", "grpo", "--out", out)
    rows = read_table(out).to_pylist()
    assert {(r["a"], r["b"]) for r in rows} == {("base", "grpo"), ("asymgrpo", "grpo")}
    scores = read_table(study / "scores.parquet").to_pandas()
    found = scores[scores["metric"] == "avg_at_n"].set_index(["arm", "benchmark", "selection"])["estimate"]
    for row in rows:
        a, b = (found[row[side], row["benchmark"], row["selection"]] for side in ("a", "b"))
        assert row["estimate"] == pytest.approx(a - b, abs=1e-11)
        assert row["p_value"] <= row["p_holm"] <= min(1, row["p_value"] * row["comparisons"]) + 1e-12

    for side, std in (("one", "population"), ("two", "sample")):
        (tmp_path / side / "graded").mkdir(parents=True)
        (tmp_path / side / "graded" / "all.parquet").write_bytes((study / "graded.parquet").read_bytes())
        write_json({"advantage": {"std": std}}, tmp_path / side / "conventions.json")
    told = run("artifacts.compare_results", tmp_path / "one", tmp_path / "two", *SCORE, "--k", 1).stdout
    assert "0.0 [" in told
    assert "conventions: 1 differ" in told
    assert "advantage.std: 'population' | 'sample'" in told


@pytest.mark.slow
def test_figures_are_the_same_bytes_and_name_their_data(study: Path, tmp_path: Path) -> None:
    metrics = []
    for seed in range(2):
        metrics.append(tmp_path / f"metrics{seed}.parquet")
        columns = {"step": [1, 2, 3], "entropy": [0.3, 0.2, 0.1 + seed / 10], "reward_mean": [0.1, 0.2, 0.4]}
        about = {"arm": "grpo", "model": "tiny", "train_seed": seed}
        write_table(pa.table(columns), metrics[-1], about)
    scored = ["--scores", study / "scores.parquet"]
    for name, inputs in (("training_curves", ["--metrics", *metrics]), ("passk_curves", scored)):
        for attempt in ("one", "two"):
            run("figures", name, *inputs, "--out-prefix", tmp_path / attempt / name)
        for ending in ("pdf", "png", "json"):
            one, two = ((tmp_path / side / f"{name}.{ending}").read_bytes() for side in ("one", "two"))
            assert one == two
            assert len(one) > 100
        sidecar = read_json(tmp_path / "one" / f"{name}.json")
        assert sidecar["figure"] == name
        assert all(len(value) == 64 for value in sidecar["data_hashes"].values())
    scores = read_table(study / "scores.parquet")
    assert read_json(tmp_path / "one" / "passk_curves.json")["data_hashes"] == {"scores": data_hash(scores)}


def test_selection_rules() -> None:
    table = pa.table(
        {
            "step": [10, 10, 20, 20, 30, 30],
            "set": ["validation", "math500"] * 3,
            "accuracy": [0.5, 0.7, 0.6, 0.9, 0.6, 0.8],
        }
    )
    steps = [select_step(table, rule) for rule in ("last", "validation", "best_on:math500")]
    assert steps == [30, 20, 20]
    for rule, words in (("best", "unknown selection rule"), ("best_on:aime24", "was not evaluated")):
        with pytest.raises(DataError, match=words):
            select_step(table, rule)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--k", 5), "k = 5: no benchmark has that many samples"),
        (("--graded", "twice"), "this file is given twice"),
        (("--selection", "missing step"), "no graded samples"),
    ],
)
def test_bad_input_is_one_sentence_and_no_file(study: Path, tmp_path: Path, change: tuple, words: str) -> None:
    graded, selections = [study / "graded.parquet"], sorted(study.glob("selection*.json"))
    ks: list[int] = [1]
    if change[0] == "--k":
        ks = [change[1]]
    elif change[0] == "--graded":
        graded *= 2
    else:
        rows = [row | {"step": 99} for row in read_json(selections[0])]
        write_json(rows, tmp_path / "selection.json")
        selections = [*selections[1:], tmp_path / "selection.json"]
    out = tmp_path / "out.parquet"
    options = ("--graded", *graded, "--selection", *selections, "--k", *ks)
    done = run("tables.score", *options, *SCORE, "--out", out, check=False)
    assert done.returncode != 0
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_a_sample_without_reference_answer_is_named(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "graded.parquet"
    files = ("--samples", study / "samples-base-0.parquet", "--problems", study / "amc23.parquet")
    done = run("grade", *files, "--out", out, check=False)
    assert done.returncode != 0
    assert "no reference answer for problem math500/0" in done.stderr


def test_incomplete_cells_are_refused(study: Path) -> None:
    graded = read_graded([study / "graded.parquet"])
    mask = [not (r["train_seed"] == 1 and r["problem_id"] == "amc23/2") for r in graded.to_pylist()]
    with pytest.raises(DataError, match="asymgrpo on amc23"):
        count_cells(graded.filter(pa.array(mask)), votes=False)


def test_tables_figures_and_statistics_need_no_training_packages() -> None:
    modules = [
        *(
            "evals.tables.table1",
            "evals.tables.score",
            "evals.estimates.stats",
            "evals.tables.compare",
            "evals.tables.contamination",
            "evals.select",
        ),
        *("evals.grade", "evals.figures.training_curves", "evals.figures.passk_curves"),
    ]
    heavy = {"torch", "transformers", "deepspeed", "vllm", "math_verify", "sympy"}
    code = f"import sys, json, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert not heavy & set(json.loads(told.stdout))
