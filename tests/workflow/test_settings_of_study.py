"""config/settings/: each file, given after the study's, changes what it says and nothing else that a result depends on."""

from itertools import combinations
from pathlib import Path

import pytest

from asymgrpo.study.stored import load_study
from evals.pool.settings import OF_EACH, below, leaves
from workflow.checks import check_meaning

CONFIG = Path(__file__).parents[2] / "config"
STUDY = CONFIG / "study.yaml"
BEFORE = {"lcm2": ["lcm"]}
"""Setting -> those that are given before it."""
SPEC, TASK = "models.tiny.spec", ("data.train", "models.tiny.spec", "evaluation.benchmarks")
DIFFER = {"base2": (f"{SPEC}.seed",), "lcm": TASK, "lcm2": TASK, "rate2": ("train.learning_rate",)}


def study_of(name: str):
    return load_study([STUDY, *(CONFIG / "settings" / f"{one}.yaml" for one in [*BEFORE.get(name, []), name])])


SETTINGS = {name: study_of(name) for name in DIFFER}


def test_every_file_is_a_setting() -> None:
    assert {path.stem for path in (CONFIG / "settings").glob("*.yaml")} == SETTINGS.keys()


@pytest.mark.parametrize("name", DIFFER)
def test_a_setting_differs_from_the_study_as_it_says(name: str) -> None:
    mine, study = (dict(leaves(one.model_dump(mode="json"))) for one in (SETTINGS[name], load_study([STUDY])))
    apart = {key for key in {*mine, *study} if mine.get(key) != study.get(key) and not below(key, OF_EACH)}
    assert apart
    assert [key for key in apart if not below(key, DIFFER[name])] == []
    assert check_meaning(SETTINGS[name]) == []
    assert SETTINGS[name].evaluation.endpoint == "late"
    assert {"grpo", "asymgrpo"} <= set(SETTINGS[name].study.arms)
    assert SETTINGS[name].protocol == f"config/settings/{name}.protocol.json"


def test_no_two_share_a_seed_a_name_or_a_folder() -> None:
    every = [load_study([STUDY]), *SETTINGS.values()]
    for one, other in combinations(every, 2):
        seeds = [{*of.study.seeds, *of.study.analysis_seeds} for of in (one, other)]
        assert seeds[0].isdisjoint(seeds[1])
        assert one.name != other.name
        assert not {one.results, one.checkpoints} & {other.results, other.checkpoints}


def test_the_second_tasks_base_models_differ_as_the_first_tasks_do() -> None:
    seeds = {name: study.models["tiny"].spec["seed"] for name, study in SETTINGS.items()}
    assert seeds["lcm2"] == seeds["base2"] != seeds["lcm"] == seeds["rate2"]
    assert set(SETTINGS["rate2"].study.arms) <= set(load_study([STUDY]).study.arms)
