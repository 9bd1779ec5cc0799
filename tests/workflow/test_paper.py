"""The paper's own study has the paper's numbers beside its own, under whatever name it calls the model."""

import json
import shlex
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from evals.tables.paper_values import MODEL, PRINTED, paper_value
from workflow.checks import load
from workflow.common import of_paper, paper_option

CONFIG = Path(__file__).parents[2] / "config"


def configuration(*names: str) -> dict:
    merged: dict = {}
    for name in ("default", *names):
        update_config(merged, yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))
    return merged


@pytest.mark.parametrize("names", [("paper",), ("paper", "paper-1gpu")])
def test_the_papers_study_names_the_papers_model(names):
    study = load(configuration(*names))
    (name,) = of_paper(study)
    option, said = shlex.split(paper_option(study))
    assert option == "--paper"
    assert study.models[name].hub_id == "Qwen/Qwen3-4B"
    assert {arm: paper_value(json.loads(said)[name], arm, "average", "avg_at_n") for arm in study.study.arms} == {
        arm: PRINTED[arm][-1] / 100 for arm in study.study.arms
    }


def test_a_model_of_another_study_has_none():
    assert paper_option(load(configuration())) == ""


def test_a_model_that_the_paper_does_not_have_is_refused():
    mapping = configuration()
    mapping["models"]["tiny"]["paper"] = "qwen3-4b"
    with pytest.raises(
        Exception, match=rf"models\.tiny\.paper = 'qwen3-4b' is no model of the paper's table; use '{MODEL}'"
    ):
        load(mapping)
