"""Every bad configuration gets one sentence with the key and the remedy, before anything runs."""

import copy
from pathlib import Path

import pytest
import yaml

from asymgrpo.study.config import ConfigError, parse
from workflow.checks import load

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "config/default.yaml").read_text())


def changed(**changes):
    """The default study with `section__key=value` changes."""
    config = copy.deepcopy(DEFAULT)
    for path, value in changes.items():
        *sections, key = path.split("__")
        part = config
        for section in sections:
            part = part[section]
        part[key] = value
    return config


def test_the_default_study_is_sound():
    assert load(DEFAULT).study.arms == [
        "reinforce",
        "grpo",
        "grpo_entropy",
        "grpo_clip_higher",
        "dr_grpo",
        "asymgrpo",
        "asymgrpo_clip_higher",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study__arms": ["grpo", "asymgrppo"]}, ["'asymgrppo'", "asymgrpo"]),
        ({"study__analyses": ["grpo"], "study__analysis_seeds": [0]}, ["'grpo'", "study.arms", "study.analyses"]),
        ({"study__analyses": ["positive_only"]}, ["study.analysis_seeds", "at least one seed"]),
        ({"study__analyses": ["positive_onli"], "study__analysis_seeds": [0]}, ["'positive_only'"]),
        ({"train__lerning_rate": 1e-4}, ["train.lerning_rate", "did you mean 'train.learning_rate'"]),
        ({"evaluation__k": [1, 64]}, ["evaluation.k", "64", "n = 32", "raise"]),
        ({"train__updates_per_rollout": 1}, ["clip_high", "updates_per_rollout", "at least 2"]),
        ({"train__top_p": 0.9}, ["train.top_p", "set it to 1"]),
        ({"evaluation__max_tokens": 40}, ["evaluation.max_tokens = 40", "train.max_tokens = 48", "raise"]),
        ({"data__source": "directory"}, ["data.dir", "folder"]),
        (
            {
                "data__source": "directory",
                "data__dir": "nowhere",
                "data__train": "math_train",
                "evaluation__benchmarks": ["math500"],
            },
            ["nowhere/math_train.parquet", "missing"],
        ),
        ({"data__source": "hub"}, ["chain_train", "another source"]),
        ({"data__train": "maths"}, ["data.train", "math_train"]),
        ({"evaluation__benchmarks": ["chain2", "chain99"]}, ["chain99", "known are"]),
        ({"evaluation__selection": ["best"]}, ["evaluation.selection", "best_on:<benchmark>"]),
        ({"evaluation__selection": ["best_on:math500"]}, ["math500", "evaluation.benchmarks"]),
        ({"evaluation__control_templates": ["plane"]}, ["control_templates", "'plane'", "plain"]),
        ({"study__models": ["big"]}, ["'big'", "models"]),
        ({"train__prompts_per_step": 15}, ["train.prompts_per_step = 15", "multiple of 4"]),
        ({"train__micro_batch": 48}, ["train.micro_batch = 48", "32 sequences", "divisor"]),
        ({"train__offload": True}, ["train.offload", "zero_stage"]),
        ({"arms__grpo_entropy": {"entropy_coeff": 1.0}}, ["grpo_entropy.entropy_coeff"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_input_is_named_with_its_remedy(changes, words):
    with pytest.raises(ConfigError) as caught:
        load(changed(**changes))
    message = str(caught.value)
    assert all(line.startswith("config: ") for line in message.splitlines())
    for word in words:
        assert word in message


def test_a_missing_key_is_named():
    config = copy.deepcopy(DEFAULT)
    del config["train"]["steps"]
    with pytest.raises(ConfigError, match=r"'train\.steps' is missing"):
        parse(config)


def test_several_problems_are_all_reported():
    with pytest.raises(ConfigError) as caught:
        load(changed(train__top_p=0.9, evaluation__max_tokens=40))
    assert len(str(caught.value).splitlines()) == 2
