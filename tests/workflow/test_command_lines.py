"""No command grows with the study: the kernel limits an argument, and with it a job's whole command, to 128 KiB."""

import re

import dry
import pytest
import yaml

from asymgrpo.study.layout import Layout
from asymgrpo.study.settings import plan_of
from workflow import common
from workflow.checks import load
from workflow.given import GivenSettings
from workflow.tables import Tables

EVERY_RULE = (
    "counts",
    "score",
    "differences",
    "run_scores",
    "claims",
    "robust",
    "coverage",
    "figure",
    "page",
    "crate",
    "publish",
    "bundle",
    "contamination",
)
ANALYSES = "analyses: [positive_only, negative_only, ent_decrease, ent_increase]"


def commands(out, seeds: int) -> dict[str, int]:
    """Rule -> the length of its longest command, of a dry run of the mini study with this many seeds."""
    numbers = list(range(seeds))
    study = f"study={{seeds: {numbers}, {ANALYSES}, analysis_seeds: {numbers}}}"
    call = dry.arguments(out / "results", study)
    text = dry.said(out / "said", "all", "report", "crate", "publish", "bundle", "-n", "-p", *call)
    found: dict[str, int] = {}
    for rule, command in re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*Shell command: (.*)", text, re.MULTILINE):
        found[rule] = max(found.get(rule, 0), len(command))
    return found


def test_no_command_grows_with_the_number_of_runs(tmp_path):
    few, many = commands(tmp_path, 2), commands(tmp_path, 20)
    assert set(EVERY_RULE) <= set(few)
    assert few.keys() == many.keys()
    grown = {rule: (few[rule], many[rule]) for rule in few if many[rule] > few[rule] + 20}  # longer numbers
    assert grown == {}


@pytest.mark.long
def test_three_thousand_runs_are_planned(tmp_path):
    found = commands(tmp_path, 500)
    assert max(found.values()) < 8_000


@pytest.mark.parametrize(("arms", "said"), [(["grpo", "asymgrpo"], True), (["reinforce", "asymgrpo"], False)])
def test_a_table_is_asked_to_compare_only_with_an_arm_that_the_study_has(arms, said):
    mapping = yaml.safe_load((dry.ROOT / "config/default.yaml").read_text())
    mapping["study"] |= {"arms": arms, "analyses": []}
    study = load(mapping)
    layout = Layout(study)
    made = Tables(study, layout, common.tables(study, plan_of(study), layout), GivenSettings(layout.root))
    assert ("--against grpo" in made.robust().command) == said
