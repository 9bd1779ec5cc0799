"""Doses: the share of hard groups by the formula, from GRPO's own groups, declared before the runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from asymgrpo.errors import InputError
from asymgrpo.files import sha256_file, write_table
from asymgrpo.method.arms import ANALYSES, ARMS, MAIN, get_arm
from asymgrpo.study.config import Study
from asymgrpo.study.outcome import Diverged, stated
from asymgrpo.study.stored import load_study
from evals.artifacts.bundle_files import SCHEMA, write_bundle
from evals.protocol import content, dose, files
from evals.protocol.compare import study_changes

ROOT = Path(__file__).parents[2]
MINI = ROOT / "tests/workflow/mini.yaml"
COUNTS = np.array([5.0, 3, 1, 4, 1, 5, 9, 2, 6])
PILOT = 7
"""A training seed that the study does not have."""
SOME = ("reinforce", "grpo", "asymgrpo", "positive_only", "negative_only")


def write_run(results: Path, counts: list[list[int]], seed: int = 0, **about: Any) -> Path:
    path = results / f"runs/tiny/grpo/seed{seed}/metrics.parquet"
    told = {"model": "tiny", "arm": "grpo", "train_seed": seed, **about}
    write_table(pa.table({dose.COUNTS: pa.array(counts, pa.list_(pa.int64()))}), path, told)
    return path


def of(arm: str, counts: np.ndarray = COUNTS) -> float:
    found = dose.dose_of(get_arm(arm), counts)
    assert found is not None
    return found


def test_it_is_the_formula_of_the_family() -> None:
    p = np.arange(9) / 8
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (((1 - p) / p) ** 0.9 + (p / (1 - p)) ** 0.4) * p * (1 - p) * COUNTS
    assert of("asymgrpo") == pytest.approx(gain[1:4].sum() / gain[1:8].sum())


@pytest.mark.parametrize(("one", "other"), [("positive_only", "ent_increase"), ("negative_only", "ent_decrease")])
def test_mirror_images_have_one_dose(one: str, other: str) -> None:
    assert of(one) == pytest.approx(of(other))


def test_neither_the_size_of_an_advantage_nor_unanimous_groups_matter() -> None:
    more = COUNTS + 100 * np.eye(9)[0] + 7 * np.eye(9)[8]
    for arm in SOME:
        assert of(arm) == of(arm, more) == of(arm, 3 * COUNTS)
    assert of("reinforce") == of("dr_grpo_no_std") == of("psr") == of("reinforce_zero")


def test_a_larger_exponent_on_correct_rollouts_raises_it_and_one_on_wrong_ones_lowers_it() -> None:
    by_pos = [of(arm) for arm in ("beta_pos_0p25", "grpo", "beta_pos_0p75", "beta_pos_0p9")]
    by_neg = [of(arm) for arm in ("beta_neg_0p25", "beta_neg_0p4", "grpo", "beta_neg_0p75")]
    assert by_pos == sorted(by_pos)
    assert by_neg == sorted(by_neg, reverse=True)
    symmetric = COUNTS + COUNTS[::-1]
    assert of("grpo", np.where(np.arange(9) == 4, 0, symmetric)) == pytest.approx(0.5)


def test_only_a_function_of_the_group_and_the_own_reward_has_one() -> None:
    without = {name for name in ARMS if dose.dose_of(ARMS[name], COUNTS) is None}
    assert without == {"random_reward", "lite_ppo", "a_grae", "grpo_scaled", "dapo"}
    assert of("gspo") == of("grpo_entropy") == of("grpo")
    assert dose.besides(ARMS["gspo"]) == ["clip_high", "clip_low", "reduction", "surrogate"]
    alone = [arm.name for arm in (*MAIN, *ANALYSES) if not dose.besides(arm) and arm.name in _of_the_bundle()]
    assert len(alone) == 13


def _of_the_bundle() -> set[str]:
    study = load_study([ROOT / "config/study.yaml"]).study
    return {*study.arms, *study.analyses}


def test_groups_are_summed_over_steps_and_finished_runs(tmp_path: Path) -> None:
    first = write_run(tmp_path, [[1, 0, 2], [0, 3, 0]])
    write_run(tmp_path, [[0, 0, 4]], seed=1)
    write_run(tmp_path, [[9, 9, 9]], seed=2, **stated(Diverged(2, "the loss is nan")))
    found = dose.groups_of(tmp_path)["tiny"]
    assert found.counts.tolist() == [1, 3, 6]
    assert found.runs.keys() == {"tiny/grpo/seed0", "tiny/grpo/seed1"}
    assert found.runs["tiny/grpo/seed0"] == sha256_file(first)


def test_a_folder_and_its_bundle_give_the_same(tmp_path: Path) -> None:
    path = write_run(tmp_path / "results", [[1, 0, 2], [0, 3, 0]])
    name, content = path.relative_to(tmp_path / "results").as_posix(), path.read_bytes()
    entry = {"sha256": sha256_file(path), "bytes": len(content)}
    write_bundle(tmp_path / "b.zip", [(name, content)], {"schema": SCHEMA, "study": "s", "files": {name: entry}})
    (one,), (other,) = (dose.groups_of(tmp_path / place).values() for place in ("results", "b.zip"))
    assert one.counts.tolist() == other.counts.tolist() == [1, 3, 2]
    assert one.runs == other.runs


def test_runs_that_give_no_doses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run of grpo"):
        dose.groups_of(tmp_path)
    write_run(tmp_path, [[1, 0, 2]], seed=PILOT)
    study = load_study([MINI])
    size = study.train.group_size
    with pytest.raises(InputError, match=f"groups of 2 rollouts, the study of {size}"):
        dose.section(study, dose.groups_of(tmp_path))
    with pytest.raises(InputError, match=r"they are of large, the study of tiny\."):
        dose.section(study, {"large": dose.Groups(np.ones(size + 1))})
    write_run(tmp_path, [[1, 0, 2, 4]], seed=PILOT + 1)
    with pytest.raises(InputError, match="groups of 2 and 3 rollouts"):
        dose.groups_of(tmp_path)


def with_seeds(study: Study, **seeds: Any) -> Study:
    return study.model_copy(update={"study": study.study.model_copy(update=seeds)})


@pytest.mark.parametrize(
    ("given", "named"),
    [([0, 1, 2, PILOT], "0, 2"), ([PILOT, 5], "5"), ([1, PILOT], None)],
    ids=["arms", "analyses", "pilot"],
)
def test_runs_with_a_training_seed_of_the_study_are_refused(
    given: list[int], named: str | None, tmp_path: Path
) -> None:
    study = with_seeds(load_study([MINI]), seeds=[2, 0], analyses=["maxrl"], analysis_seeds=[5])
    for seed in given:
        write_run(tmp_path, [[1] * (study.train.group_size + 1)], seed=seed)
    groups = dose.groups_of(tmp_path)
    if named is None:
        assert set(dose.section(study, groups)["models"]) == {"tiny"}
        return
    with pytest.raises(
        InputError, match=rf"tiny with grpo have training seeds of this study \({named}\).*give a pilot's"
    ):
        content.protocol(study, groups)


def test_seeds_of_analyses_that_are_not_run_are_free() -> None:
    study = with_seeds(load_study([MINI]), analyses=[], analysis_seeds=[PILOT])
    groups = dose.Groups(np.ones(study.train.group_size + 1), {f"tiny/grpo/seed{PILOT}": "ab"})
    assert dose.section(study, {"tiny": groups})["models"]


def test_the_committed_study_is_not_declared_from_its_own_bundle() -> None:
    study = load_study([ROOT / "config/study.yaml"])
    with pytest.raises(InputError, match=r"training seeds of this study \(30, 31, .*, 51\)"):
        dose.section(study, dose.groups_of(ROOT / "artifacts/study.zip"))


def test_a_protocol_declares_doses_of_its_arms_or_that_there_are_none(tmp_path: Path) -> None:
    study = load_study([MINI])
    without = content.protocol(study)
    assert without["dose"] == {"models": {}, "why_not": dose.UNDECLARED}
    groups = {"tiny": dose.Groups(np.arange(1.0, study.train.group_size + 2), {f"tiny/grpo/seed{PILOT}": "ab"})}
    declared = content.protocol(study, groups)
    found = declared["dose"]["models"]["tiny"]
    assert found["arms"]["grpo"] == dose.dose_of(get_arm("grpo"), groups["tiny"].counts)
    assert found["arms"].keys() == declared["arms"].keys()
    assert found["besides"] == {"asymgrpo_clip_higher": ["clip_high"]}
    assert found["runs"] == {f"tiny/grpo/seed{PILOT}": "ab"}
    files.write(declared, tmp_path / "protocol.json")
    assert files.read(tmp_path / "protocol.json") == declared
    assert study_changes(declared, without) == []
