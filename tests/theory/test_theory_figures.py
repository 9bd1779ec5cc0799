"""Figures of the theory say what its table says, and are drawn from the configuration alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asymgrpo.study import settings
from asymgrpo.study.stored import load_study
from asymgrpo.theory import result
from evals.figures import theory_entropy, theory_equation, theory_weight
from evals.figures.theory import read_part
from evals.io import DataError, read_json

ROOT = Path(__file__).parents[2]
FIGURES = ("theory_weight", "theory_entropy", "theory_equation")


def made(folder: Path, **train: int) -> Path:
    """The theory's table of the mini study with other values of `train`."""
    (folder / "change.yaml").write_text(json.dumps({"train": train}))
    asked = settings.theory(load_study([ROOT / "tests/workflow/mini.yaml", folder / "change.yaml"]))
    result.main(json.dumps(asked), folder / "theory.parquet")
    return folder / "theory.parquet"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("theory"))


@pytest.fixture(scope="module")
def table_of_twos(tmp_path_factory) -> Path:
    """Of groups of two rollouts, in which AsymGRPO and others are GRPO."""
    return made(tmp_path_factory.mktemp("twos"), group_size=2)


@pytest.mark.parametrize("kind", ["table", "table_of_twos"])
def test_figures_are_drawn_in_every_form_with_a_sentence(kind, tmp_path, request):
    table = request.getfixturevalue(kind)
    command = [sys.executable, "-m", "evals.together"]
    for name in FIGURES:
        command += ["+"] * (name != FIGURES[0]) + ["evals.figures", name, "--theory", str(table)]
        command += ["--out-prefix", str(tmp_path / name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in FIGURES:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "nan" not in read_json(tmp_path / f"{name}.json")["finding"]


def test_error_of_the_equation_is_nothing_where_it_holds(table):
    _, rows = read_part(table, "equation", tuple(theory_equation.ARMS))
    found = {key: theory_equation.slopes(rows, key[0], key[1]) for key in (("grpo", "natural"), ("grpo", "plain"))}
    assert (
        theory_equation.error(found["grpo", "natural"], "paper")
        < 1e-6
        < theory_equation.error(found["grpo", "plain"], "paper")
    )
    assert "error 0" in theory_equation.agreement(found["grpo", "natural"])


def test_intervals_are_students_around_the_paired_difference():
    rows = pd.DataFrame(
        {
            **{"arm": ["asymgrpo", "asymgrpo", "asymgrpo", "grpo"], "gradient": "plain", "update": "sampled"},
            **{"quantity": ["entropy", "entropy", "success", "entropy"], "at": [0.6, 0.4, 0.6, 0.6], "n_seeds": 5},
            **{"difference": [0.1, 0.2, 0.3, 0.0], "difference_se": [0.01, 0.01, 0.01, 0.0]},
        }
    )
    row, _ = theory_entropy.at_success(rows).itertuples()
    assert row.difference == 0.1
    assert (row.low, row.high) == pytest.approx((0.1 - 0.02776, 0.1 + 0.02776), abs=1e-5)


def test_an_arm_that_reaches_the_rate_with_its_fastest_seeds_alone_is_named_and_not_shown():
    rows = pd.DataFrame(
        {
            **{"arm": ["grpo", "asymgrpo", "pass_at_k"], "gradient": "natural", "update": "sampled"},
            **{"quantity": "entropy", "at": 0.6, "n_seeds": [5.0, 5.0, 3.0], "difference": 0.1, "difference_se": 0.01},
        }
    )
    assert theory_entropy.at_success(rows)["arm"].tolist() == ["grpo", "asymgrpo"]
    assert "Pass@k training (natural gradient, sampled groups: 3 of 5 seeds)" in theory_entropy.too_slow(rows)
    assert theory_entropy.too_slow(rows[:2]) == ""


def test_share_of_hard_prompts_is_in_the_sentence():
    size = pd.DataFrame({"quantity": ["hard_share"], "arm": ["asymgrpo"], "value": [0.6]})
    assert "AsymGRPO 60.0 %" in theory_weight.finding(pd.DataFrame(), size)


def test_a_table_without_the_arms_is_refused_in_a_sentence(table):
    with pytest.raises(DataError, match="no rows of weight of nobody"):
        read_part(table, "weight", ("nobody",))


def test_weights_of_the_table_are_those_of_the_formula(table):
    _, rows = read_part(table, "weight", ("reinforce",))
    assert np.allclose(rows.loc[rows["quantity"] == "s", "value"], 2)
