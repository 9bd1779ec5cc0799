"""Comparing result sets, and describing one for others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from bundled import ROOT

from evals.artifacts.compare_results import main as compare_results
from evals.artifacts.crate import PROFILE
from evals.artifacts.crate import main as write_crate
from evals.io import DataError, read_table, sha256_file

pytestmark = pytest.mark.slow


def compared(first: Path, second: Path, folder: Path, capsys) -> tuple[list[dict], str]:
    compare_results(str(first), str(second), out=folder / "differences.parquet")
    return read_table(folder / "differences.parquet").to_pylist(), capsys.readouterr().out


def test_a_set_does_not_differ_from_itself_or_its_bundle(results, bundle, tmp_path, capsys):
    for second in (results, bundle):
        rows, told = compared(results, second, tmp_path, capsys)
        assert {(row["a"], row["b"]) for row in rows} >= {("grpo", "grpo"), ("base", "base")}
        assert {row["metric"] for row in rows} == {"avg_at_n", "pass_at_k"}
        assert all(row["estimate"] == 0 for row in rows)
        assert all(row["ci_low"] <= 0 <= row["ci_high"] for row in rows)
        assert all(row["p_value"] == 1 for row in rows)
        for topic in ("configuration", "conventions", "code, packages and data"):
            assert f"## {topic}: 0 differ" in told
        assert "Only in" not in told


def test_what_differs_is_said(results, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(results, other, ignore=shutil.ignore_patterns("logs", "figures", "models", "samples", "*.md"))
    shutil.rmtree(other / "graded/tiny/asymgrpo")
    for path in other.glob("runs/tiny/asymgrpo/*/selection.json"):
        path.unlink()
    for path in other.glob("runs/tiny/grpo/*/conventions.json"):
        value = json.loads(path.read_text())
        value["train"]["learning_rate"] = 0.5
        path.write_text(json.dumps(value))
    study = json.loads((other / "config/study.json").read_text())
    study["config"]["train"]["learning_rate"] = 0.5
    (other / "config/study.json").write_text(json.dumps(study))
    rows, told = compared(results, other, tmp_path, capsys)
    assert "asymgrpo" not in {row["a"] for row in rows}
    assert "Only in the first set: " in told
    assert "/tiny/asymgrpo/chain4" in told
    assert "## configuration: 1 differ" in told
    assert "- train.learning_rate: 0.0006 | 0.5" in told
    assert "## conventions: 1 differ" in told
    assert "- runs/tiny/grpo.train.learning_rate: 0.0006 | 0.5" in told


def test_sets_without_a_common_arm_are_refused(results, tmp_path):
    for arm, side in (("grpo", "one"), ("asymgrpo", "two")):
        (tmp_path / side).mkdir()
        shutil.copy(results / f"graded/tiny/{arm}/seed0.parquet", tmp_path / side)
        shutil.copy(results / f"runs/tiny/{arm}/seed0/selection.json", tmp_path / side)
    options = {"k": [1], "draws": 100, "seed": 0, "seed_variance": "own"}
    with pytest.raises(DataError, match="no model, arm and benchmark in common"):
        compare_results(str(tmp_path / "one"), str(tmp_path / "two"), **options)
    with pytest.raises(DataError, match=r"give --k, --seed-variance"):
        compare_results(str(tmp_path / "one"), str(tmp_path / "two"), draws=100, seed=0)


@pytest.fixture(scope="module")
def crate(results, tmp_path_factory) -> tuple[Path, dict[str, dict]]:
    """A folder with its description, and the description's entities by identifier."""
    folder = tmp_path_factory.mktemp("crate") / "results"
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("logs", "models", "samples"))
    write_crate(folder, folder / "ro-crate-metadata.json")
    document = json.loads((folder / "ro-crate-metadata.json").read_text())
    assert document["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    assert len({entity["@id"] for entity in document["@graph"]}) == len(document["@graph"])
    return folder, {entity["@id"]: entity for entity in document["@graph"]}


def links(value) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item["@id"] for item in values if isinstance(item, dict)]


def test_the_crate_is_described_as_the_specification_asks(crate):
    """RO-Crate 1.1, chapters 'Root data entity' and 'Data entities', and Process Run Crate 0.5: what is required there.

    tests/artifacts/validate_crate.py has rocrate-validator look at it, which cannot be installed beside the workflow.
    """
    _, entities = crate
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert links(descriptor["conformsTo"]) == ["https://w3id.org/ro/crate/1.1"]
    assert root["@type"] == "Dataset"
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    assert links(root["conformsTo"]) == [PROFILE]
    assert entities[PROFILE]["@type"] == "CreativeWork"
    elsewhere = {"https://w3id.org/ro/crate/1.1"}
    for entity in entities.values():
        assert entity["@type"]
        for value in entity.values():
            assert set(links(value)) <= entities.keys() | elsewhere, entity["@id"]
    actions = [entity for entity in entities.values() if entity["@type"] == "CreateAction"]
    assert {action["@id"] for action in actions} == set(links(root["mentions"]))
    assert {action["@id"] for action in actions} == {"#problems", "#train", "#select", "#grade", "#derive"}
    for action in actions:
        (instrument,) = links(action["instrument"])
        assert entities[instrument]["@type"] == "SoftwareApplication"
        assert all(entities[instrument][key] for key in ("name", "softwareVersion", "url"))
        assert set(links(action["result"])) <= set(links(root["hasPart"]))
        assert set(links(action["object"])) <= set(links(root["hasPart"]))


def test_the_crate_has_the_files_that_are_there(crate):
    folder, entities = crate
    files = {name: entity for name, entity in entities.items() if entity["@type"] == "File"}
    assert set(links(entities["./"]["hasPart"])) == files.keys()
    assert {
        "table1.parquet",
        "figures/passk_curves.png",
        "graded/tiny/grpo/seed0.parquet",
        "data/chain4.parquet",
    } <= set(files)
    for name, entity in files.items():
        path = folder / unquote(name)  # identifiers are URIs
        assert entity["sha256"] == sha256_file(path)
        assert entity["contentSize"] == str(path.stat().st_size)
    made = {
        name for entity in entities.values() if entity["@type"] == "CreateAction" for name in links(entity["result"])
    }
    assert made == files.keys() - {"config/study.json"}


@pytest.mark.parametrize("module", ["bundle", "trace", "crate", "compare_results"])
def test_the_tools_need_no_training_packages(module):
    path = {"PYTHONPATH": f"{Path(__file__).parent / 'blocked'}:{ROOT}"}
    command = [sys.executable, "-m", f"evals.artifacts.{module}", "--help"]
    told = subprocess.run(command, cwd=ROOT, env=os.environ | path, capture_output=True, text=True, check=True).stdout
    assert "Usage" in told
    refused = [sys.executable, "-c", "import torch"]
    assert subprocess.run(refused, cwd=ROOT, env=os.environ | path, capture_output=True, check=False).returncode == 1
