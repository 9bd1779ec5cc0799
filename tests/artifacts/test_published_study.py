"""A published study, with weights, read by the formats' own tools (requirements/validators.in)."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest
import rocrate
from bundled import ROOT

from evals.io import read_json, read_table
from evals.publish.__main__ import main
from evals.publish.logbook import status
from tests.helpers.started import started

VALIDATORS = ROOT / ".venv-validators"
CONTEXT = Path(rocrate.__file__).parent / "data/ro-crate.jsonld"


def read_by(*arguments: object, folder: Path = ROOT) -> str:
    """What a program of the validators prints: tests/publish/read_by.py, or another."""
    assert (VALIDATORS / ".complete").exists(), "install what reads published folders: make validators"
    environment = os.environ | {"PYTHONPATH": str(VALIDATORS), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tool(*arguments: object):
    return json.loads(read_by(ROOT / "tests/publish/read_by.py", *arguments))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def published(results, tmp_path_factory) -> tuple[Path, str]:
    """The folder, and what the command said."""
    out = tmp_path_factory.mktemp("publish") / "published"
    done = started(main, "--results", str(results), "--out", str(out), "--date", "2026-11-26", "--owner", "someone")
    assert done.code == 0, done.stderr
    return out, done.stdout


def test_the_same_results_give_the_same_bytes(results, published, tmp_path):
    folder, _ = published
    again = tmp_path / "other place"
    assert (
        started(main, "--results", str(results), "--out", str(again), "--date", "2026-11-26", "--owner", "someone").code
        == 0
    )
    assert contents(again) == contents(folder)


def test_it_says_how_to_upload_and_what_there_is(published):
    folder, said = published
    assert "models/: 5 runs, 5 with weights" in said
    assert said.splitlines()[-1] == f"  hf upload asymgrpo-bundled {folder} . --repo-type dataset"


def test_every_checkpoint_loads_and_is_the_evaluated_one(results, published):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for place in sorted((published[0] / "models").iterdir()):
        arm, seed = place.name.split("-seed")
        chosen = read_json(results / f"runs/tiny/{arm}/seed{seed}/selection.json")
        step = next(row["step"] for row in chosen if row["selection"] == "validation")
        weights = results / f"runs/tiny/{arm}/seed{seed}/candidates/step{step:06d}/model.safetensors"
        assert (place / "model.safetensors").read_bytes() == weights.read_bytes()
        text = (place / "README.md").read_text()
        assert f"those of step {step}" in text
        assert "toy" in text
    assert AutoModelForCausalLM.from_pretrained(place).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(place)("1+1")["input_ids"]


def test_other_weights_are_refused(results, tmp_path):
    copied = tmp_path / "results"
    shutil.copytree(results, copied, ignore=shutil.ignore_patterns("samples", "logs", "models"))
    run = copied / "runs/tiny/grpo/seed0"
    for path in run.glob("candidates/*/model.safetensors"):
        path.write_bytes(path.read_bytes() + b"x")
    done = started(main, "--results", str(copied), "--out", str(tmp_path / "out"))
    assert done.code == 2
    assert "are not those whose samples were graded" in done.stderr
    assert not (tmp_path / "out").exists()


def test_samples_load_by_their_description(results, published):
    found = tool("croissant", published[0] / "samples")
    assert (found["errors"], found["warnings"]) == ([], [])
    graded = sum(pq.read_metadata(path).num_rows for path in results.glob("graded/tiny/*/*.parquet"))
    assert sum(records["rows"] for name, records in found["records"].items() if name != "problems") == graded
    assert found["records"]["problems"]["first"]["problems/licence"] == "Apache-2.0"
    told = read_json(published[0] / "samples/croissant.json")
    asked = ("Limitations", "Biases", "UseCases", "SocialImpact")
    assert all(told[name] for name in (*(f"rai:data{end}" for end in asked), "rai:personalSensitiveInformation"))
    assert told["rai:hasSyntheticData"] is True


def test_responses_are_those_that_were_graded(results, published):
    mine = read_table(published[0] / "samples/chain4.parquet").to_pandas()
    one = mine[(mine["arm"] == "grpo") & (mine["train_seed"] == 1)]
    theirs = read_table(results / "graded/tiny/grpo/seed1.parquet").to_pandas()
    theirs = theirs[theirs["benchmark"] == "chain4"]
    for column in ("problem_id", "sample_id", "response", "verdict"):
        assert one[column].tolist() == theirs[column].tolist()


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("eee/data/*/*/*/*.json"))]


def test_evaluations_obey_their_schemas(published):
    folder = published[0]
    schemas = VALIDATORS / "every_eval_ever/schemas"
    whole, line = (
        json.loads((schemas / f"{name}.schema.json").read_text()) for name in ("eval", "instance_level_eval")
    )
    for record in records(folder):
        jsonschema.validate(record, whole)
        detailed = record["detailed_evaluation_results"]
        lines = (folder / "eee" / detailed["file_path"]).read_text().splitlines()
        assert len(lines) == detailed["total_rows"]
        validator = jsonschema.validators.validator_for(line)(line)
        for told in map(json.loads, lines):
            validator.validate(told)
            assert (told["evaluation_id"], told["model_id"]) == (record["evaluation_id"], record["model_info"]["id"])


def test_every_number_of_table_1_is_there_with_its_interval(results, published):
    table = read_table(results / "table1.parquet").to_pandas()
    found = {
        (record["model_info"]["additional_details"]["arm"], told["evaluation_result_id"]): told["score_details"]
        for record in records(published[0])
        for told in record["evaluation_results"]
    }
    assert len(found) == len(table)
    for row in table.itertuples():
        k = "all" if math.isnan(row.k) else int(row.k)
        score = found[row.arm, f"{row.benchmark}/{row.metric}/{k}/{row.selection}"]
        interval = score["uncertainty"]["confidence_interval"]
        assert (score["score"], interval["lower"], interval["upper"]) == (row.estimate, row.ci_low, row.ci_high)


def test_the_mean_over_lines_is_the_score(published):
    for record in records(published[0]):
        scores = {e["evaluation_result_id"]: e["score_details"]["score"] for e in record["evaluation_results"]}
        lines = (published[0] / "eee" / record["detailed_evaluation_results"]["file_path"]).read_text().splitlines()
        by_result: dict[str, list[float]] = {}
        for told in map(json.loads, lines):
            by_result.setdefault(told["evaluation_result_id"], []).append(told["evaluation"]["score"])
        assert by_result
        for name, values in by_result.items():
            assert math.isclose(sum(values) / len(values), scores[name], abs_tol=1e-12)


def test_the_logbook_reads_as_the_claims(results, published, tmp_path):
    shutil.copytree(published[0] / "logbook", tmp_path / "logbook")
    found = json.loads(read_by(VALIDATORS / "bin/trackio", "logbook", "read", "--json", folder=tmp_path / "logbook"))
    claims = {row["id"]: row for row in read_table(results / "claims.parquet").to_pylist()}
    pages = {page["slug"]: page for page in found["pages"]}
    first = pages.pop("index")["markdown"]
    assert list(pages) == list(claims), "in the order of the claims"
    for name, row in claims.items():
        bodies = {cell["title"]: cell.get("body", "") for cell in pages[name]["cells"]}
        (told,) = re.findall(r"```json\n(.*?)\n```", bodies["As numbers"], re.DOTALL)
        assert json.loads(told) == row
        assert row["sentence"] in bodies["What was found"]
        assert f"(#/{name}) | {status(row['verdict'], of_paper=False)} |" in first
    assert "verified" not in first
    assert read_json(published[0] / "logbook/.trackio/metadata.json")["paper"] == {"arxiv_id": "2604.04894"}


def test_the_crate_obeys_its_profiles(published):
    assert tool("crate", published[0] / "crate", CONTEXT) == []


def test_the_crate_says_what_ran_and_for_how_long(results, published):
    asked = tool("questions", published[0] / "crate", CONTEXT)
    answers = {made: (program, seconds, image) for made, program, seconds, image in asked}
    lines = (results / "benchmarks/train/tiny/grpo/1.tsv").read_text().splitlines()
    measured = float(lines[-1].split("\t")[lines[0].split("\t").index("s")])
    program, seconds, image = answers["runs/tiny/grpo/seed1/done.json"]
    assert (program, float(seconds), image) == ("python -m asymgrpo.training", measured, None)  # on the host
    assert {"table1.parquet", "claims.parquet", "graded/tiny/base/seed0.parquet"} <= answers.keys()


@pytest.mark.parametrize("page", ["checklist.md", "README.md"])
def test_every_link_leads_to_a_file(published, page):
    links = re.findall(r"\]\(([^)]+)\)", (published[0] / page).read_text())
    assert len(links) > 5
    assert [link for link in links if not link.startswith("https://") and not (published[0] / link).exists()] == []


def test_a_bundle_gives_the_same_but_for_weights(rebuilt, published, tmp_path):
    out = tmp_path / "published"
    done = started(main, "--results", str(rebuilt), "--out", str(out), "--date", "2026-11-26", "--owner", "someone")
    assert done.code == 0, done.stderr
    assert "5 runs, 0 with weights" in done.stdout
    assert {path.name for path in out.glob("models/*/*")} == {"README.md"}
    assert "There are no weights here" in (out / "models/grpo-seed0/README.md").read_text()
    mine, theirs = contents(out), contents(published[0])
    same = [name for name in theirs if name.endswith(".jsonl") or name.startswith("logbook/")]
    assert len(same) > 40
    assert {name: mine[name] for name in same} == {name: theirs[name] for name in same}
