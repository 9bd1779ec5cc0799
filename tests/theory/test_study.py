"""The tabular study: its draws, its steps, and what it says of the arms; the command and the table that it writes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.content import data_hash
from asymgrpo.errors import InputError
from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import ARMS, get_arm
from asymgrpo.study import settings
from asymgrpo.study.settings import SettingsError
from asymgrpo.study.stored import load_study
from asymgrpo.theory import result
from asymgrpo.theory.acts import acts_of
from asymgrpo.theory.policy import log_softmax, sample_counts
from asymgrpo.theory.study import Draws, make_prompts, train
from evals.io import read_metadata, read_table

PROMPTS, ANSWERS, GROUP = 24, 12, 8
ORDER = ("asymgrpo", "positive_only", "grpo", "reinforce", "negative_only")
"""By entropy at matched success, highest first: what the review of the small study saw."""


def crossing(arm: Arm, seeds: range, update: str, gradient: str = "plain", rate: float = 0.2) -> dict[str, np.ndarray]:
    """The state of an arm at success 0.6."""
    prompts = make_prompts(seeds, PROMPTS, ANSWERS, 5, 1.5)
    draws = Draws(seeds, PROMPTS, GROUP) if update == "sampled" else None
    acts = acts_of(arm, GROUP)
    return train(acts, prompts, draws, gradient, rate, [0.6], 500, [1, 16])[0].values


def test_a_draw_depends_on_its_seed_and_step_alone():
    every, one = Draws([5, 6, 7], PROMPTS, GROUP), Draws([6], PROMPTS, GROUP)
    np.testing.assert_array_equal(every.of_step(3)[1], one.of_step(3)[0])
    assert (every.of_step(3)[0] != every.of_step(3)[1]).all()
    assert (every.of_step(2) != every.of_step(3)).all()


def test_a_seed_trains_the_same_whichever_seeds_are_beside_it():
    many, one = crossing(ARMS["asymgrpo"], range(3), "sampled"), crossing(ARMS["asymgrpo"], range(2, 3), "sampled")
    for name, values in many.items():
        assert values[2] == pytest.approx(one[name][0], rel=1e-12), name


@given(st.integers(0, 2**31))
def test_counts_are_of_the_group_and_follow_the_probabilities(seed):
    draws = np.random.default_rng(seed)
    pi = np.exp(log_softmax(draws.normal(0, 1, 4)))
    counts = sample_counts(pi, draws.random((4000,)))
    assert counts.sum() == 4000
    assert (np.abs(counts / 4000 - pi) < 6 * np.sqrt(pi * (1 - pi) / 4000) + 1e-9).all()


@pytest.mark.parametrize("update", ["sampled", "expected"])
def test_entropy_at_matched_success_orders_the_arms(update):
    """Paired by seed: the same prompts and draws. 5 standard errors between neighbours, at learning rate 0.2."""
    found = [crossing(ARMS[arm], range(60), update)["entropy"] for arm in ORDER]
    for above, below in pairwise(found):
        gap = above - below
        assert gap.mean() > 5 * gap.std(ddof=1) / len(gap) ** 0.5


def test_expected_updates_explain_the_order_and_most_of_the_gaps():
    """The arms differ through s(q), the weights of prompts: sampling changes AsymGRPO - GRPO by less than a fifth."""
    gaps = {}
    for update in ("sampled", "expected"):
        gaps[update] = (
            crossing(ARMS["asymgrpo"], range(40), update)["entropy"]
            - crossing(ARMS["grpo"], range(40), update)["entropy"]
        ).mean()
    assert gaps["expected"] > 0.05
    assert gaps["sampled"] == pytest.approx(gaps["expected"], rel=0.2)


def test_centred_exponents_keep_entropy_too():
    """On the line of centred groups, beta_pos + beta_neg = 1, entropy at matched success rises with beta_pos."""
    found = {}
    for beta_pos in (0.9, 0.6, 0.5, 0.4):
        arm = get_arm("asymgrpo", {"beta_pos": beta_pos, "beta_neg": round(1 - beta_pos, 1)})
        assert acts_of(arm, GROUP).centred
        found[beta_pos] = crossing(arm, range(40), "sampled")["entropy"]
    for above, below in pairwise(found.values()):
        gap = above - below
        assert gap.mean() > 5 * gap.std(ddof=1) / len(gap) ** 0.5
    assert found[0.9].mean() > crossing(ARMS["asymgrpo"], range(40), "sampled")["entropy"].mean()


def test_arms_with_a_constant_s_are_one_arm_at_another_speed():
    """Expected natural updates depend on s alone: REINFORCE and Dr.GRPO have the same entropy at the same success."""
    one, other = (crossing(ARMS[arm], range(4), "expected", "natural", 0.02) for arm in ("reinforce", "dr_grpo"))
    np.testing.assert_allclose(one["entropy"], other["entropy"], atol=1e-4)
    np.testing.assert_allclose(other["steps"] / one["steps"], 2 / (1 - 1 / GROUP), rtol=1e-2)


def test_an_arm_that_does_not_arrive_has_no_value():
    prompts = make_prompts(range(2), 3, 4, 2, 1.0)
    acts = acts_of(ARMS["grpo"], GROUP)
    (found,) = train(acts, prompts, None, "plain", 1e-3, [0.99], 5, [1])
    assert np.isnan(found.values["entropy"]).all()
    assert result.summary(found.values["entropy"], found.values["entropy"])["value"] is None


def test_a_seed_that_begins_above_a_rate_is_read_off_at_once():
    prompts = make_prompts(range(2), 3, 4, 2, 1.0)
    (found,) = train(acts_of(ARMS["grpo"], GROUP), prompts, None, "plain", 0.1, [1e-6], 5, [1])
    assert (found.values["steps"] == 0).all()


@pytest.fixture(scope="module")
def asked() -> dict:
    study = load_study([Path(__file__).parents[1] / "workflow/mini.yaml"])
    return settings.theory(study)


@pytest.fixture(scope="module")
def written(asked, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("theory") / "theory.parquet"
    result.main(json.dumps(asked), out)
    return out


def test_the_table_states_its_settings_and_comes_out_the_same_again(asked, written, tmp_path):
    assert read_metadata(written)["settings"] == asked
    assert read_metadata(written)["acts_like"]["grpo_clip_higher"] == "grpo"
    result.main(json.dumps(asked, sort_keys=True), tmp_path / "again.parquet")  # as a file of settings sorts them
    assert written.read_bytes() == (tmp_path / "again.parquet").read_bytes()
    assert len(data_hash(read_table(written))) == 64


def test_every_part_has_every_arm_that_acts_by_itself(written):
    frame = read_table(written).to_pandas()
    arms = set(read_metadata(written)["acts_like"].values())
    for part, rows in frame.groupby("part"):
        assert set(rows["arm"]) == arms, part
    assert set(frame["part"]) == {"weight", "size", "crossing", "equation"}


def test_an_arm_of_the_study_itself_is_in_its_settings_and_changes_are_followed():
    study = load_study([Path(__file__).parents[1] / "workflow/mini.yaml"])
    arms = {"mine": {"base": "asymgrpo", "beta_pos": 0.33}, "maxrl": {"beta_pos": 0.8}}
    plan = study.study.model_copy(update={"arms": ["grpo", "mine"]})
    found = settings.theory(study.model_copy(update={"arms": arms, "study": plan}))["options"]["arms"]
    assert found["mine"]["advantage"]["beta_pos"] == 0.33
    assert found["maxrl"]["advantage"]["beta_pos"] == 0.8
    assert set(found) == {*ARMS, "mine"}


def test_settings_of_another_kind_are_refused_in_a_sentence(asked, tmp_path):
    with pytest.raises(InputError, match="theory is missing"):
        result.main(json.dumps(asked | {"options": {"arms": {}, "group_size": 8}}), tmp_path / "out.parquet")
    with pytest.raises(SettingsError, match="not valid JSON"):
        result.main("{", tmp_path / "out.parquet")
    without = {name: arm for name, arm in asked["options"]["arms"].items() if name != "grpo"}
    with pytest.raises(InputError, match="differences are taken from it"):
        result.main(json.dumps(asked | {"options": asked["options"] | {"arms": without}}), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
