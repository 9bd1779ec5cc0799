"""The study of a pretrained model that learns: what it plans is what its page and its protocol say."""

from pathlib import Path

import pytest

from asymgrpo.study import layout, settings
from asymgrpo.study.config import Study
from asymgrpo.study.sections.train import indivisible
from asymgrpo.study.stored import merged
from asymgrpo.tasks import words
from evals.protocol import content
from workflow.checks import load

CONFIG = Path(__file__).parents[2] / "config/smollm2-words.yaml"


@pytest.fixture(scope="module")
def study() -> Study:
    return load(merged([CONFIG]))


def test_two_arms_with_two_seeds_each_are_planned_for_thirty_steps(study):
    runs = [(run["arm"], run["seed"]) for run in layout.trained_runs(study)]
    assert sorted(runs) == [(arm, seed) for arm in ("asymgrpo", "grpo") for seed in ("0", "1")]
    assert study.train.steps >= 30
    assert indivisible(study.train, "train") == []
    assert study.train.micro_batch % study.train.group_size == 0, "rows of a pass share their prompt"


def test_all_its_problems_can_be_made_and_the_longest_solution_fits(study):
    sizes = study.data.embedded
    words.rows(study.data.train, sizes.train_size, sizes.seed)
    words.rows(words.BENCHMARKS[0], sizes.benchmark_size, sizes.seed)
    longest = max(len(problem.solution.replace("boxed", "b")) for problem in words.every_problem())
    assert longest < study.train.max_tokens, (
        "`boxed` is one token, another character at most one, and the end token is one"
    )


def test_a_protocol_declares_its_arms_seeds_and_probe_states(study):
    declared = content.protocol(study)
    assert {arm: list(seeds) for arm, seeds in declared["seeds"].items()} == {"grpo": [0, 1], "asymgrpo": [0, 1]}
    assert settings.plan_of(study)["models"].keys() == {"smollm2"}
    assert all(state <= study.train.steps for state in study.probe.states)
