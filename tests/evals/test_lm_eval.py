"""lm-eval and our sampler on one checkpoint, the lm-eval task files, and the prompt template control."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from asymgrpo.tasks.benchmarks import BENCHMARKS, load
from evals.estimates.passk import avg_at_n, pass_at_k
from evals.grade import grade_samples, reference_answers
from evals.io import read_json, read_metadata, read_table, write_json, write_table
from evals.lm_eval import FOLDER, SAMPLES, task_config
from evals.lm_eval.__main__ import task_text

ROOT = Path(__file__).parents[2]
STUDY = yaml.safe_load((ROOT / "config/default.yaml").read_text())
CHAINS = ("chain2", "chain3", "chain4")
MAX_TOKENS = 16
# How the model of these tests is taught to answer problem i; {a} is the reference answer.
LESSONS = {
    "right": "\\boxed{{{a}}}",
    "wrong": "\\boxed{{{a}0}}",
    "no box": "{a}",
    "blanks around": "\n\n\\boxed{{{a}}} \n",
    "break within": "{a}\n\n\\boxed{{{a}}}",
    "box, then cut": "\\boxed{{{a}}}" + "=" * MAX_TOKENS,
}
VERDICTS = {"correct", "wrong", "unparsed", "truncated"}


def run(module: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", f"evals.{module}", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Problem tables, evaluation settings and a small Qwen3 that has learnt by heart how to answer each problem."""
    import torch

    from asymgrpo.models.tiny import build_model, encode, parse_spec, train
    from asymgrpo.tasks.chain_sum import rows
    from asymgrpo.tasks.table import write_problems
    from asymgrpo.tasks.tokenizer import build_tokenizer

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("parity")
    texts, styles = [], list(LESSONS.values())
    for chain in CHAINS:
        problems = rows(chain, 10, 1)
        write_problems(folder / "data" / f"{chain}.parquet", problems, {})
        texts += [(p["problem"], styles[i % len(styles)].format(a=p["answer"])) for i, p in enumerate(problems)]
    size = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16, "epochs": 60, "batch": 15}
    spec = parse_spec(STUDY["models"]["tiny"]["spec"] | size)
    tokenizer = build_tokenizer()
    model = build_model(spec, tokenizer)
    train(model, encode(texts, tokenizer), spec, tokenizer.pad_token_id)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    settings = STUDY["evaluation"] | {"max_tokens": MAX_TOKENS}
    write_json(settings | {"temperature": 0.0, "samples": {"default": 1}}, folder / "greedy.json")
    write_json(settings | {"temperature": 2.0, "samples": {"default": 4, "chain2": 6}}, folder / "sampled.json")
    return folder


def harness(home: Path, config: str, *changes: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    options = {"backend": "hf", "checkpoint": home / "model", "data": home / "data", "config": home / config}
    options |= {"template": "plain", "model": "tiny", "arm": "base", "train-seed": 0, "step": 0, "seed": 0}
    spread = [part for key, value in options.items() for part in (f"--{key}", value)]
    return run("lm_eval.harness", *spread, "--benchmarks", *CHAINS, *changes, check=check)


def graded(home: Path, samples: pa.Table) -> list[dict]:
    answers = reference_answers(home / "data" / f"{chain}.parquet" for chain in CHAINS)
    return grade_samples(samples, answers, workers=1).to_pylist()


def sampled_by_us(home: Path) -> list[dict]:
    """Graded rows of our own sampler with the settings of greedy.json."""
    from evals.checkpoints import SCHEMA, Checkpoints

    evaluation = read_json(home / "greedy.json") | {"dtype": "float32"}
    rows: list[dict] = []
    for chain in CHAINS:
        problems = read_table(home / "data" / f"{chain}.parquet").to_pylist()
        asked = {"model": "tiny", "arm": "base", "seed": 0, "benchmark": chain, "template": "plain", "n_samples": 1}
        asked["evaluation"] = evaluation
        rows += Checkpoints({0: home / "model"}, asked).sample(problems, asked)
    return graded(home, pa.Table.from_pylist(rows, SCHEMA))


@pytest.mark.slow
def test_greedy_decoding_is_the_same_in_lm_eval_and_in_our_sampler(home: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.parquet"
    harness(home, "greedy.json", "--out", theirs)
    ours = sampled_by_us(home)
    other = {"sample_seed", "logprob_sum"}  # docs/evaluation.md: lm-eval has neither
    found = [{k: v for k, v in row.items() if k not in other} for row in graded(home, read_table(theirs))]
    assert found == [{k: v for k, v in row.items() if k not in other} for row in ours]
    assert {row["verdict"] for row in found} == VERDICTS  # the comparison saw every ending there is here
    assert any(row["response"] != row["response"].strip() for row in found)
    results = read_metadata(theirs)["lm_eval"]["results"]
    for chain in CHAINS:
        share = [row["correct"] for row in found if row["benchmark"] == chain]
        assert results[f"asymgrpo_{chain}"]["avg_at_n,all"] == pytest.approx(sum(share) / len(share))


@pytest.mark.slow
def test_lm_eval_scores_several_samples_as_we_do(home: Path, tmp_path: Path) -> None:
    harness(home, "sampled.json", "--out", tmp_path / "samples.parquet")
    rows = graded(home, read_table(tmp_path / "samples.parquet"))
    results = read_metadata(tmp_path / "samples.parquet")["lm_eval"]["results"]
    for chain, n in {"chain2": 6, "chain3": 4, "chain4": 4}.items():
        correct: dict[str, list[bool]] = {}
        for row in rows:
            if row["benchmark"] == chain:
                correct.setdefault(row["problem_id"], []).append(row["correct"])
        assert {len(c) for c in correct.values()} == {n}
        counts = [sum(c) for c in correct.values()]
        mine = results[f"asymgrpo_{chain}"]
        assert mine["avg_at_n,all"] == pytest.approx(avg_at_n(n, counts).mean())
        assert mine["pass_at_2,all"] == pytest.approx(pass_at_k(n, counts, 2).mean())
        assert any(0 < c < n for c in counts)  # else the samples of a problem were copies of one response


@pytest.mark.slow
def test_the_task_files_work_in_lm_eval_itself(home: Path, tmp_path: Path) -> None:
    model = f"pretrained={home / 'model'},dtype=float32,add_bos_token=False"
    told = {"data": str(home / "data"), "template": "plain"}
    command: list[object] = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "lm_eval",
        "run",
        "--model",
        "hf",
        "--model_args",
        model,
    ]
    command += ["--include_path", FOLDER, "--tasks", "asymgrpo_chain2,asymgrpo_chain3", "--device", "cpu"]
    command += ["--gen_kwargs", f"do_sample=False,temperature=0.0,max_gen_toks={2 * MAX_TOKENS}", "--batch_size", "40"]
    command += ["--metadata", json.dumps(told), "--output_path", tmp_path / "out.json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    (written,) = tmp_path.rglob("out*.json")
    results = json.loads(written.read_text())["results"]
    for chain in ("chain2", "chain3"):
        found = results[f"asymgrpo_{chain}"]
        assert 0.3 < found["avg_at_n,all"] < 0.9
        assert found["pass_at_4,all"] == found["avg_at_n,all"]  # greedy: all samples of a problem are the same


def test_task_files_follow_from_the_benchmarks() -> None:
    written = {path.stem for path in FOLDER.glob("*.yaml")} - {"_benchmark"}
    assert {"math500", "aime24", "aime25", "amc23", "olympiadbench"} <= written <= set(BENCHMARKS)
    for name in written:
        text = task_text(name, load(name).paper_samples or SAMPLES, FOLDER)
        assert (FOLDER / f"{name}.yaml").read_text() == text, "run python -m evals.lm_eval"


def test_task_files_can_be_written_elsewhere(tmp_path: Path) -> None:
    run("lm_eval", "--out", tmp_path / "tasks", "--samples", 64)
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (tmp_path / "tasks").glob("*.yaml")}
    assert set(files) == set(BENCHMARKS)
    for name, content in files.items():
        assert (tmp_path / "tasks" / content.pop("include")).samefile(FOLDER / "_benchmark.yaml")
        assert content == task_config(name, 64)


@pytest.mark.slow
def test_errors_are_one_sentence(home: Path, tmp_path: Path) -> None:
    import importlib.util

    out = ("--out", tmp_path / "never.parquet")
    wrong: dict[str, tuple[object, ...]] = {
        "no such file": ("--data", tmp_path),
        "not a model directory": ("--checkpoint", tmp_path),
        "no chat template": ("--template", "chat_boxed"),
    }
    if importlib.util.find_spec("vllm") is None:
        wrong["vLLM is not installed"] = ("--backend", "vllm")
    for words, change in wrong.items():
        done = harness(home, "greedy.json", *change, *out, check=False)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def controlled(folder: Path, arm: str, template: str, right: list[int]) -> Path:
    """A graded table, through evals.grade, of 8 problems with 4 samples each, right[i] of them right."""
    from evals.checkpoints import SCHEMA

    rows = [
        {"model": "tiny", "arm": arm, "train_seed": 0, "step": 0, "benchmark": "chain2", "problem_id": f"chain2/{p}"}
        | {"sample_id": i, "sample_seed": i, "response": f"\\boxed{{{p if i < right[p] else 99}}}"}
        | {"finish_reason": "stop", "n_tokens": 5, "logprob_sum": -1.0}
        for p in range(8)
        for i in range(4)
    ]
    samples, problems = folder / f"samples-{arm}.parquet", folder / "problems.parquet"
    write_table(pa.Table.from_pylist(rows, SCHEMA), samples, {"evaluation": {"template": template}})
    ids = [f"chain2/{p}" for p in range(8)]
    write_table(pa.table({"problem_id": ids, "answer": [str(p) for p in range(8)]}), problems, {})
    out = folder / f"graded-{arm}.parquet"
    run("grade", "--samples", samples, "--problems", problems, "--out", out)
    return out


def test_template_control_reports_every_template_and_the_paired_difference(tmp_path: Path) -> None:
    base = controlled(tmp_path, "base", "plain", [3, 1, 2, 0, 4, 2, 1, 3])
    other = controlled(tmp_path, "base@plain_boxed", "plain_boxed", [4, 2, 3, 1, 4, 3, 2, 4])
    target = ("--k", 1, 2, "--draws", 1000, "--seed", 0, "--out", tmp_path / "t.parquet")
    text = run("tables.controls", "--graded", base, other, *target).stdout
    rows = {(row["template"], row["metric"], row["k"]): row for row in read_table(tmp_path / "t.parquet").to_pylist()}
    assert rows["plain", "avg_at_n", 4]["estimate"] == pytest.approx(16 / 32)
    assert rows["plain", "avg_at_n", 4]["difference"] is None
    changed = rows["plain_boxed", "avg_at_n", 4]
    assert changed["difference"] == pytest.approx(7 / 32)
    assert changed["difference_low"] < 7 / 32 < changed["difference_high"]
    expected = pass_at_k(4, [4, 2, 3, 1, 4, 3, 2, 4], 2) - pass_at_k(4, [3, 1, 2, 0, 4, 2, 1, 3], 2)
    assert rows["plain_boxed", "pass_at_k", 2]["difference"] == pytest.approx(expected.mean())
    assert "| plain_boxed | 71.9 [" in text

    named = {"model": "tiny", "arm": "base@plain_boxed", "train_seed": 0, "selection": "last", "step": 0}
    write_json([named], tmp_path / "selection.json")
    scored = (
        "--selection",
        tmp_path / "selection.json",
        "--seed-variance",
        "own",
        *target[:-1],
        tmp_path / "s.parquet",
    )
    run("tables.score", "--graded", base, other, *scored)
    scores = {(row["arm"], row["metric"], row["k"]): row for row in read_table(tmp_path / "s.parquet").to_pylist()}
    for (template, metric, k), row in rows.items():
        arm = "base" if template == "plain" else f"base@{template}"
        same = ("estimate", "ci_low", "ci_high")
        assert [scores[arm, metric, k][name] for name in same] == [row[name] for name in same]


def test_template_control_refuses_trained_and_misnamed_arms(tmp_path: Path) -> None:
    base = controlled(tmp_path, "base", "plain", [1] * 8)
    target = ("--k", 1, "--draws", 100, "--seed", 0, "--out", tmp_path / "t.parquet")
    cases = {
        "is trained": controlled(tmp_path, "grpo", "plain", [1] * 8),
        "name it after that": controlled(tmp_path, "base@chat_boxed", "qwen_boxed", [1] * 8),
        "at least one arm": base,
    }
    for words, table in cases.items():
        done = run("tables.controls", "--graded", *dict.fromkeys((base, table)), *target, check=False)
        assert done.returncode == 2
        assert words in done.stderr
