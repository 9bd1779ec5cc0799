"""The table over trajectories and its figures: planted effects come out, and tables that do not belong are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asymgrpo.errors import InputError
from asymgrpo.files import write_table
from asymgrpo.probe.build import OPERATION, read
from asymgrpo.probe.measure import as_table as states_table
from asymgrpo.study import settings
from asymgrpo.study.stored import load_study
from evals.figures import probe_accuracy, probe_effects
from evals.figures.probe import read_steps
from evals.io import DataError, read_json
from evals.tables.probes import ALL, interval, of_trajectory

ROOT = Path(__file__).parents[2]
STUDY = load_study([ROOT / "tests/workflow/mini.yaml"])
ACCURACIES = (0.0, 0.25, 0.5, 1.0)
"""Of the four prompts of a batch: one in each bin."""
EFFECTS = {"none": -1.0, "grpo": 2.0, "asymgrpo": 5.0}
"""Change of every quantity on a prompt without a correct response; one more on each further prompt."""


def rows(seed: int) -> list[dict]:
    """One state with planted changes: those of trajectory `seed` are `seed` larger, momentum's as well."""
    found = []
    for prompt, accuracy in enumerate(ACCURACIES):
        about = {"batch": 0, "prompt": prompt, "accuracy": accuracy, "prompts": "own"}
        for quantity, value in (("entropy", 6.0), ("tokens", 3.0), ("success", accuracy)):
            found.append(about | {"part": "before", "quantity": quantity, "value": value})
        for arm, effect in EFFECTS.items():
            for scale in ("rate", "size") if arm != "none" else ("rate",):
                step = about | {"part": "step", "arm": arm, "scale": scale}
                for quantity in ("entropy", "tokens", "success", "logp_correct", "logp_wrong"):
                    value = seed * (effect if arm != "none" else 1) + effect + prompt
                    if quantity != "logp_correct" or accuracy > 0:
                        found.append(step | {"quantity": quantity, "value": value})
                found.append(step | {"quantity": "ess", "value": 0.9})
                if arm != "none":
                    found.append(step | {"part": "linear", "quantity": "entropy", "value": effect})
    for arm in EFFECTS:
        size = {"batch": 0, "part": "step", "arm": arm, "scale": "rate"}
        found.append(size | {"quantity": "norm", "value": 3.0})
    return found


def trajectory(seed: int) -> pd.DataFrame:
    return states_table(rows(seed)).to_pandas().assign(step=20)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> list[Path]:
    folder, found = tmp_path_factory.mktemp("probes"), []
    for seed in (0, 1):
        table = states_table(rows(seed))
        path = folder / f"seed{seed}.parquet"
        table = table.add_column(0, "step", [[20] * table.num_rows])
        write_table(table, path, {"settings": settings.probe(STUDY, "tiny", seed)})
        found.append(path)
    return found


@pytest.fixture(scope="module")
def made(tables) -> Path:
    out = tables[0].with_name("probes.parquet")
    command = [sys.executable, "-m", "evals.tables.probes", "--states", *map(str, tables), "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    return out


def test_effects_are_net_of_the_momentum_and_differences_from_grpo_in_the_same_batch():
    found = of_trajectory(trajectory(0)).set_index(["part", "arm", "scale", "prompts", "accuracy", "quantity"])
    of = found.loc[("step", "asymgrpo", "rate", "own")]
    assert of.loc[(ALL, "success")].tolist() == pytest.approx([6.0, 3.0])
    assert of.loc[("hard", "logp_wrong")].tolist() == pytest.approx([6.0, 3.0])
    assert (ALL, "ess") in of.index
    assert ("none", "logp_correct") not in of.index
    entropy = [
        (6 + 5 + 1.5) / (3 + 5 + 1.5),
        (6 - 1 + 1.5) / (3 - 1 + 1.5),
    ]  # after the arm's step, after the momentum's
    assert of.loc[(ALL, "token_entropy"), "value"] == pytest.approx(entropy[0] - entropy[1])
    assert "none" not in found.index.get_level_values("arm")


def test_linear_parts_are_summed_over_their_groups():
    found = of_trajectory(trajectory(0)).set_index(["part", "arm", "accuracy"]).loc[("linear", "grpo")]
    assert found.loc[ALL, "value"].tolist() == [8.0, 8.0]  # four groups, at both scales
    assert found.loc["easy", "value"].tolist() == [2.0, 2.0]


def test_intervals_are_students_over_trajectories(made):
    frame = pd.read_parquet(made)
    (row,) = frame[
        (frame["part"] == "step")
        & (frame["arm"] == "asymgrpo")
        & (frame["scale"] == "size")
        & (frame["accuracy"] == ALL)
        & (frame["quantity"] == "success")
    ].itertuples()
    values = np.array([6.0, 6.0 + 5 - 1])
    assert (row.value, row.value_low, row.value_high, row.value_t) == pytest.approx(tuple(interval(values).values()))
    assert row.value_high - row.value == pytest.approx(12.706 * 4 / 2, rel=1e-3)
    assert row.difference == pytest.approx(np.mean([3.0, 6.0]))
    assert row.n_trajectories == 2


def test_figures_are_drawn_in_every_form_with_a_sentence(made, tmp_path):
    command = [sys.executable, "-m", "evals.together"]
    for name in ("probe_effects", "probe_accuracy"):
        command += ["+"] * (name != "probe_effects") + ["evals.figures", name, "--probes", str(made)]
        command += ["--out-prefix", str(tmp_path / name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("probe_effects", "probe_accuracy"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    said = read_json(tmp_path / "probe_effects.json")["finding"]
    assert "GRPO +3.500 [−2.853, +9.853]; AsymGRPO +8.000 [−17.412, +33.412]" in said
    _, drawn = read_steps(made)
    assert "GRPO +3.500 and +3.500; AsymGRPO +8.000 and +8.000" in probe_accuracy.finding(
        drawn[drawn["scale"] == "size"]
    )


def test_success_is_drawn_in_points(made):
    _, drawn = read_steps(made)
    mine = drawn[(drawn["arm"] == "grpo") & (drawn["accuracy"] == ALL) & (drawn["scale"] == "size")]
    by_name = mine.set_index("quantity")["value"]
    assert by_name["success"] == pytest.approx(100 * by_name["entropy"])
    assert "tiny" in probe_effects.finding(mine)


def test_tables_that_are_not_asked_for_are_refused(tables, tmp_path):
    command = [sys.executable, "-m", "evals.tables.probes", "--settings", json.dumps(settings.probes(STUDY))]
    command += ["--out", str(tmp_path / "probes.parquet"), "--states", str(tables[1])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{tables[1]}: tiny seed 1 is not asked for" in done.stderr


def test_a_table_without_real_steps_is_refused_in_a_sentence(made, tmp_path):
    table = pd.read_parquet(made)
    path = tmp_path / "linear.parquet"
    table[table["part"] == "linear"].to_parquet(path)
    with pytest.raises(DataError, match="no real step"):
        read_steps(path)


def test_settings_of_a_probe_are_read_back():
    asked = settings.probe(STUDY, "tiny", 3)
    train, probe, arms = read(asked)
    assert list(arms) == ["grpo", "asymgrpo"]
    assert (train.dtype, train.zero_stage, train.world_size) == ("float32", 0, 1)
    assert (probe.states, probe.responses) == (STUDY.probe.states, STUDY.probe.responses)
    assert not {"steps", "evaluate_every", "rollouts_every"} & asked["train"].keys()
    assert train.group_size == STUDY.train.group_size
    assert OPERATION["keep_checkpoints"] == train.keep_checkpoints == 1
    with pytest.raises(InputError, match="arms is missing"):
        read({key: value for key, value in asked.items() if key != "arms"})
    with pytest.raises(InputError, match="not those of a probe"):
        read({"of": "run"})


def test_states_do_not_depend_on_the_length_of_the_run_or_other_states():
    longer = load_study([ROOT / "tests/workflow/mini.yaml"])
    longer.train.__dict__["steps"] += 1
    assert settings.probe(longer, "tiny", 0) == settings.probe(STUDY, "tiny", 0)
