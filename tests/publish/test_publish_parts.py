"""The parts of a published folder that no small study has: registered benchmarks, texts that may not be passed on, images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries

from asymgrpo.files import write_table
from asymgrpo.method.arms import ARMS
from asymgrpo.study.stored import load_study
from evals.artifacts.reading import VERDICTS
from evals.claims.decided import SCHEMA as CLAIM
from evals.io import read_table
from evals.publish import crate, croissant, eee, logbook, models, samples
from evals.publish.__main__ import main
from evals.publish.checklist import OPEN, items, page
from evals.publish.logbook import STATUSES, picture, status
from evals.publish.source import Source
from tests.helpers.started import started

SECRET, ANSWER, RESPONSE = "How many unguessable triangles are there?", "1729", "There are 1729 unguessable triangles."
COMMIT = "1" * 40


def graded(benchmark: str) -> pa.Table:
    """Two responses, the first correct, to the one problem of a benchmark."""
    numbers = {"train_seed": 0, "step": 5, "n_tokens": 7}
    texts = {"model": "tiny", "arm": "grpo", "benchmark": benchmark, "problem_id": f"{benchmark}/00000"}
    rows = [
        texts | numbers | {"sample_id": at, "extracted": ANSWER, "verdict": "correct", "correct": at == 0}
        for at in range(2)
    ]
    frame = pd.DataFrame(rows).assign(second_correct=True, response=RESPONSE)[[*VERDICTS, "response"]]
    return pa.Table.from_pandas(frame, preserve_index=False).cast(samples.SCHEMA)


@pytest.fixture
def source(tmp_path) -> Source:
    """A study of one run whose only benchmark must not be passed on, and one that may."""
    study = load_study([])
    changed = study.evaluation.model_copy(update={"benchmarks": ["aime26", "chain2"], "samples": {"default": 2}})
    study = study.model_copy(update={"evaluation": changed})
    run_folder = tmp_path / "results/runs/tiny/grpo/seed0"
    for name in ("aime26", "chain2"):
        problem = {"problem_id": [f"{name}/00000"], "problem": [SECRET], "answer": [ANSWER]}
        write_table(pa.table(problem), tmp_path / f"results/data/{name}.parquet", {"dataset": name})
    both = pa.concat_tables([graded("aime26"), graded("chain2")])
    write_table(
        both, tmp_path / "results/graded/tiny/grpo/seed0.parquet", {"samples": [{"evaluation": {"temperature": 0.6}}]}
    )
    write_table(both.slice(0, 0), tmp_path / "results/graded/tiny/base/seed0.parquet", {})
    done = {"git_commit": COMMIT, "git_dirty": False, "packages": {"torch": "2"}}
    run = SimpleNamespace(model="tiny", arm="grpo", seed=0, folder=run_folder, done=done, diverged=None)
    run_folder.mkdir(parents=True)
    (run_folder / "selection.json").write_text(json.dumps([{"selection": "validation", "step": 5}]))
    results = SimpleNamespace(
        folder=tmp_path / "results", study=study.model_dump(mode="json"), config_sha256="c" * 64, models=["tiny"],
        runs=[run], finished=[run], table=lambda name: None,
    )  # fmt: skip
    found = Source(results, "someone", "2026-11-26")  # type: ignore[arg-type]
    table = pd.DataFrame(
        {"benchmark": ["aime26", "chain2"], "selection": "validation", "metric": "avg_at_n", "k": [2, 2]}
    )
    found.__dict__["table1"] = table
    return found


def test_texts_that_may_not_be_passed_on_are_in_no_file(source, tmp_path):
    out = tmp_path / "out"
    rows = samples.write(source, out)
    samples.write_card(source, out, rows)
    croissant.write(source, out, rows)
    problems = {name: eee._problems(source, name) for name in ("aime26", "chain2")}
    lines = list(eee.instances(source, "tiny", "grpo", source.table1, problems, "id"))
    hidden, shown = lines
    assert (hidden["output"]["raw"], shown["output"]["raw"]) == ([], [RESPONSE, RESPONSE])
    assert SECRET not in json.dumps(hidden)
    assert "triangles" not in json.dumps(hidden)
    assert (hidden["evaluation"], hidden["metadata"]["n_correct"]) == ({"score": 0.5, "is_correct": False}, "1")
    assert read_table(out / "aime26.parquet")["response"].null_count == 2
    assert read_table(out / "chain2.parquet")["response"].null_count == 0
    asked = {row["benchmark"]: row for row in read_table(out / "problems.parquet").to_pylist()}
    assert asked["chain2"]["problem"] == SECRET
    assert SECRET not in asked["aime26"]["problem"]
    assert asked["aime26"]["answer"].startswith("sha256:")
    assert asked["aime26"]["licence"] == "CC-BY-NC-SA-4.0"
    for name in ("aime26.parquet", "README.md", "croissant.json"):
        assert b"triangles" not in (out / name).read_bytes()
    card = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert card["license"] == ["apache-2.0"]
    assert "identifiers and hashes only" in (out / "README.md").read_text()


def test_results_of_registered_benchmarks_are_as_the_hub_reads_them(source):
    scores = pd.DataFrame({"benchmark": ["aime26", "chain2"], "value": [0.4123, 0.5], "sampling_sd": [0.02, 0.02]})
    found = models.eval_results(source, source.results.runs[0], scores)
    assert list(found) == ["aime26"]
    written = yaml.safe_load(yaml.safe_dump([found["aime26"]], sort_keys=False))
    (entry,) = parse_eval_result_entries(written)
    assert isinstance(entry, EvalResultEntry)
    assert (entry.dataset_id, entry.task_id, entry.value) == ("MathArena/aime_2026", "MathArena/aime_2026", 41.23)
    assert (entry.date, "avg@2 at temperature 0.6" in entry.notes, "2.00" in entry.notes) == ("2026-11-26", True, True)
    assert eval_result_entries_to_yaml([entry]) == written


@pytest.mark.parametrize(
    ("name", "said"),
    [("grpo", f"by GRPO ({ARMS['grpo'].about})."), ("mine", "by mine.")],
)
def test_the_card_says_what_the_arm_is_or_nothing(source, name, said):
    run = source.results.runs[0]
    run.arm = name
    told = {"arm": name, "about": "", "differs_from_grpo": {}, "meaning": {}}
    run.conventions = {"arm": told, "train": {}}
    run.done |= {"model_sha256": {}, "sha256": "d" * 64}
    page = "\n".join(models.text(source, run, 5, pd.DataFrame(), weights=False))
    assert said in page
    assert "()" not in page


def test_a_job_names_the_image_that_it_ran_in(source, tmp_path):
    image = source.folder / "config/images/train.json"
    image.parent.mkdir(parents=True)
    image.write_text("{}")
    measured = {"seconds": 12.5, "cpu_seconds": None, "max_rss_mb": 300.0}
    job = {
        "rule": "train",
        "name": "tiny/grpo/0",
        "model": "tiny",
        "arm": "grpo",
        "seed": 0,
        "benchmark": None,
        "dataset": None,
    }
    entities = {e["@id"]: e for e in crate._all_jobs(source, ["config.json"], pd.DataFrame([job | measured]))}
    entities |= {e["@id"]: e for e in crate._images(source)}
    action = entities["#job/train/tiny/grpo/0"]
    assert entities[action["containerImage"]["@id"]]["sha256"] == crate.sha256_file(image)
    used = [entities[usage["@id"]] for usage in action["resourceUsage"]]
    assert [(usage["name"], usage["value"]) for usage in used] == [("wall time", "12.5"), ("peak memory", "300.0")]


def test_small_support_is_never_verified():
    verdicts = ("supported", "equivalent", "contradicted", "too small", "inconclusive", "not tested")
    assert {status(verdict, of_paper=False) for verdict in verdicts} == {"toy", "inconclusive"}
    assert (
        {status(verdict, of_paper=True) for verdict in verdicts}
        == {"verified", "falsified", "inconclusive"}
        < set(STATUSES)
    )


def claim(**numbers: object) -> dict:
    return dict.fromkeys(CLAIM.names) | {"measure": "avg@n, mean over the benchmarks"} | numbers


def test_the_picture_of_an_interval_has_its_parts_in_order():
    drawn = picture(claim(estimate=0.01, ci_low=-0.03, ci_high=0.05, margin=0.02))
    assert drawn is not None
    xs = {words: float(x) for x, words in _labels(drawn)}
    assert xs["−3.0"] < xs["0"] < xs["+1.0"] < xs["+5.0"]
    assert "± the margin 2.0 points" in drawn
    assert picture(claim(estimate=0.01, ci_low=float("-inf"), ci_high=0.05, margin=0.02)) is None
    assert picture(claim()) is None


def _labels(drawn: str) -> list[tuple[str, str]]:
    import re

    return re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="middle">([^<]+)<', drawn)


def test_the_index_counts_what_it_lists(source):
    rows = [
        claim(model="tiny", id=name, claim=name, verdict=verdict, relevant=False)
        for name, verdict in (("a", "supported"), ("b", "not tested"), ("c", "inconclusive"))
    ]
    first = logbook.index(source, rows)
    assert "3 claims. 1 toy, 2 inconclusive." in first
    assert "| [a](#/a) | toy | supported |" in first


def test_what_no_file_answers_is_left_to_the_author(source):
    text = page(source)
    assert text.count(OPEN) == sum("link" not in item for item in items()) > 5
    assert all(item["answer"] for item in items() if "link" in item)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--owner", "a b"), "--owner 'a b'"),
        (("--date", "tomorrow"), "--date 'tomorrow'"),
        ((), "there is something else in it"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(tmp_path, option, said):
    (tmp_path / "mine.txt").write_text("mine")
    done = started(main, "--results", tmp_path / "none", "--out", tmp_path, *option)
    assert done.code == 2
    assert said in done.stderr
    assert [Path(path).name for path in tmp_path.iterdir()] == ["mine.txt"]
