"""Keys that a person looks up: every one has a sentence, the pages made from them are current, editors accept the presets."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from asymgrpo.study.__main__ import main
from asymgrpo.study.config import KEYS, parse
from asymgrpo.study.keys import all_keys, look_up, words
from asymgrpo.study.on_top import in_order
from asymgrpo.study.reference import files
from asymgrpo.study.schema import schema
from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS, Train
from asymgrpo.study.stored import merged
from asymgrpo.study.uses import read_at
from tests.helpers.started import started

ROOT = Path(__file__).parents[2]
PRESETS = [path for path in sorted((ROOT / "config").rglob("*.yaml")) if path.name != "data.lock.yaml"]
EDITOR_LINE = "# yaml-language-server: $schema={}schema.json"


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    Draft7Validator.check_schema(schema())
    return Draft7Validator(json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8")))


def explain(key: str):
    return started(main, "--explain", key)


@pytest.mark.parametrize("name", ["docs/keys.md", "config/schema.json"])
def test_what_is_made_from_the_fields_is_current(name):
    assert (ROOT / name).read_text(encoding="utf-8") == files()[name], "run `make docs` and commit what it writes"


def test_every_key_has_a_sentence():
    assert [key.dotted for key in all_keys() if not key.sentence.endswith(".")] == []


def test_keys_are_those_that_the_parser_knows():
    ours = {key.path for key in all_keys() if key.path[0] != "arms"} - {("models", "NAME")}
    assert ours == {path for path in KEYS if path[0] != "arms"}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: f"{path.relative_to(ROOT / 'config')}")
def test_a_preset_is_valid_by_itself_and_merged(path, validator):
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == EDITOR_LINE.format("../" * (len(path.relative_to(ROOT / "config").parts) - 1))
    alone, whole = yaml.safe_load(text), merged(in_order([path], ROOT))
    assert [error.message for mapping in (alone, whole) for error in validator.iter_errors(mapping)] == []
    parse(whole)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trian": {}},
        {"train": {"truncated": "zeros"}},
        {"train": {"steps": 0}},
        {"models": {"tiny": {"train": {"stepz": 3}}}},
        {"models": {"tiny": {"evaluation": {"benchmarks": ["chain2"]}}}},
        {"models": {"tiny": {"spec": {"layers": 0}}}},
        {"arms": {"grpo": {"clip_hi": 0.3}}},
        {"containers": "docker"},
    ],
    ids=json.dumps,
)
def test_the_schema_marks_mistakes(wrong, validator):
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"containers": "apptainer"},
        {"containers": {"mode": "apptainer", "wheels": None}},
        {"arms": {"asymgrpo": {"beta_pos": 0.8}, "grpo": {"adaptive_entropy": None}}},
        {"models": {"tiny": {"train": {"steps": 3}, "evaluation": {"temperature": 0}}}},
    ],
    ids=json.dumps,
)
def test_the_schema_takes_what_the_parser_takes(right, validator):
    assert validator.is_valid(right)


def test_a_key_is_explained():
    told = explain("train.truncated")
    assert told.code == 0
    first, *rest = told.stdout.splitlines()
    assert first == "train.truncated: zero or mask"
    assert "A response cut at max_tokens" in rest[0]
    assert "  Default: zero (config/default.yaml)" in rest
    assert "  A change makes again: training runs, and everything that is made from them." in rest
    assert any(line.startswith("    asymgrpo/training/trainer.py:") for line in rest)


def test_names_that_the_user_chooses_stand_for_any():
    assert look_up("models.mine.train.steps").dotted == "models.NAME.train.steps"
    assert "Default: the study's train.steps" in explain("models.mine.train.steps").stdout


@pytest.mark.parametrize("section", ["train", "models", "models.tiny", "containers", "arms.grpo"])
def test_a_section_lists_its_keys(section):
    told, key = explain(section), look_up(section)
    below = [other.path[-1] for other in all_keys() if other.path[:-1] == key.path]
    assert told.code == 0
    assert below
    assert [line.split()[0] for line in told.stdout.splitlines() if line.startswith("    ")] == below


@pytest.mark.parametrize(
    ("unknown", "near"),
    [
        ("truncated", "train.truncated"),
        ("train.truncate", "train.truncated"),
        ("trian.steps", "train.steps"),
        ("xyz", "docs/keys.md"),
    ],
)
def test_an_unknown_key_names_near_ones(unknown, near):
    told = explain(unknown)
    assert told.code == 2
    assert near in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_fields_without_effect_are_said_to_have_none():
    without = [key.path[-1] for key in all_keys() if key.path[0] == "train" and key.again == "nothing"]
    assert sorted(without) == sorted(NO_EFFECT_ON_RESULTS)


def test_every_field_of_train_is_found_where_it_is_read():
    assert [name for name in Train.model_fields if not read_at(("train", name))] == []


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ({"enum": ["zero", "mask"]}, "`zero` or `mask`"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 2**31}, "a whole number from 0 to 2147483647"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "names, each with a whole number"),
        ({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}, "a path, or null"),
    ],
    ids=str,
)
def test_types_are_told_in_words(node, told):
    assert words(node) == told
