"""What --config says means what it would mean in a file, down to the bytes that jobs read."""

import json

import pytest

from asymgrpo.study.config import ConfigError
from tests.workflow.changes import by_command, by_file
from workflow.checks import load


def inputs(mapping) -> str:
    """Everything that is written of a study for its jobs."""
    study = load(mapping)
    sections = [study.model_dump(mode="json")]
    for name in study.study.models:
        sections += [study.train_of(name).model_dump(mode="json"), study.evaluation_of(name).model_dump(mode="json")]
    return json.dumps(sections, indent=1, sort_keys=True)


SAME = [
    'train={"mismatch_gate": null}',
    'train={"mismatch_gate": ~}',
    'train={"mismatch_gate": }',
    'train={"logits_chunk": 16, "verify_weights_every": Null}',
    'train={"learning_rate": 1e-5, "adam_eps": 1E-9, "weight_decay": 0}',
    'train={"learning_rate": .5, "steps": 1_0, "warmup_updates": 2.0}',
    'train={"gradient_checkpointing": true, "offload": no}',
    'study={"seeds": [0, 3], "analyses": [positive_only], "analysis_seeds": [1]}',
    'evaluation={"samples": {"default": 32, "chain2": 64}, "k": [1, 2], "limit": null, "temperature": 1}',
    'evaluation={"selection": ["best_on:chain6", last]}',
    'data={"dir": null, "train_limit": null, "embedded": {"seed": 7}}',
    'models={"tiny": {"spec": {"error_rate": 1e-1, "heads": 2, "hidden_size": 64, "styles": {"left": 1}}}}',
    'models={"tiny": {"train": {"steps": 3, "learning_rate": 1e-3, "mismatch_gate": null}, "evaluation": {"batch": 4}}}',
    'arms={"grpo_entropy": {"entropy_coef": 1e-3, "dual_clip": null}, "asymgrpo": {"beta_pos": 1}}',
    'arms={"asymgrpo": {"adaptive_entropy": {"low": 0, "high": 1e-2, "target": 0.1, "delta": 1e-4}}}',
    'machine={"memory_gb": 4, "hours": 1.5}',
    "results=2604",
    "results=2026-01-05",
    "results=Größe 2",
    "artifacts=null",
    "containers=none",
    'containers={"wheels": null, "mode": none}',
]


@pytest.mark.parametrize("entry", SAME)
def test_a_command_means_what_a_file_means(entry, tmp_path):
    key, value = entry.split("=", 1)
    assert inputs(by_command(entry)) == inputs(by_file(f"{key}: {value}\n", tmp_path))


def test_the_values_are_the_ones_that_were_written():
    study = load(by_command('train={"mismatch_gate": null, "learning_rate": 1e-5, "offload": false}'))
    assert (study.train.mismatch_gate, study.train.learning_rate, study.train.offload) == (None, 1e-5, False)
    study = load(
        by_command(
            'models={"tiny": {"spec": {"error_rate": 1e-1}, "train": {"steps": 3}}}',
            'arms={"grpo_entropy": {"entropy_coef": 1}, "asymgrpo": {"beta_pos": 1}}',
        )
    )
    assert study.models["tiny"].spec["error_rate"] == 0.1
    assert study.models["tiny"].train == {"steps": 3}
    assert study.arms == {"grpo_entropy": {"entropy_coef": 1.0}, "asymgrpo": {"beta_pos": 1.0}}


def test_numbers_in_quotes_are_numbers(tmp_path):
    quoted = by_file('train: {steps: "7", learning_rate: "1e-5"}\nmodels: {tiny: {spec: {epochs: "2"}}}\n', tmp_path)
    plain = by_file("train: {steps: 7, learning_rate: 0.00001}\nmodels: {tiny: {spec: {epochs: 2}}}\n", tmp_path)
    assert inputs(quoted) == inputs(plain)


def test_saying_a_default_again_changes_nothing(tmp_path):
    """Also of numbers: `weight_decay: 0` is 0.0."""
    again = 'train={"steps": 80, "weight_decay": 0, "learning_rate": 6e-4, "logits_chunk": null}'
    assert inputs(by_command(again)) == inputs(by_command())
    assert inputs(by_command('models={"tiny": {"spec": {"error_rate": 5e-2, "seed": 2604}}}')) == inputs(by_command())
    assert inputs(by_command('arms={"grpo_entropy": {"entropy_coef": 1e-2}}')) == inputs(by_command())


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('train={"steps": true}', ["train.steps = ", "true and false are no numbers"]),
        ('train={"learning_rate": yes}', ["train.learning_rate = ", "no numbers"]),
        ('study={"seeds": [true]}', ["study.seeds = ", "no numbers"]),
        ('evaluation={"samples": {"default": true}}', ["evaluation.samples = ", "no numbers"]),
        ('train={"steps": 2.5}', ["train.steps = ", "fractional part"]),
        ('train={"offload": 1}', ["train.offload = ", "write true or false"]),
        ('train={"offload": null}', ["train.offload = ", "write true or false"]),
        ('train={"learning_rate": .nan}', ["train.learning_rate = ", "finite number"]),
        ('train={"max_grad_norm": .inf}', ["train.max_grad_norm = ", "finite number"]),
        ('machine={"hours": .inf}', ["machine.hours = ", "finite number"]),
        ('evaluation={"temperature": .nan}', ["evaluation.temperature = ", "finite number"]),
        ('models={"tiny": {"spec": {"learning_rate": .nan}}}', ["models.tiny.spec.learning_rate = ", "finite number"]),
        ('models={"tiny": {"spec": {"epochs": true}}}', ["models.tiny.spec.epochs = ", "no numbers"]),
        ('models={"tiny": {"train": {"learning_rate": .inf}}}', ["models.tiny.train.learning_rate", "finite number"]),
        ('arms={"grpo_entropy": {"entropy_coef": .nan}}', ["arms.grpo_entropy.entropy_coef", "finite number"]),
        ('arms={"grpo_entropy": {"entropy_coef": true}}', ["arms.grpo_entropy", "no numbers"]),
        ('arms={"asymgrpo": {"beta_pos": .inf}}', ["arms.asymgrpo.advantage", "beta_pos", "finite number"]),
        ("results=1.5", ["results = 1.5", "./"]),
        ('train={"steps": null}', ["train.steps = ", "valid integer"]),
    ],
)
def test_what_is_no_value_is_refused_both_ways(entry, words, tmp_path):
    key, value = entry.split("=", 1)
    for mapping in (by_command(entry), by_file(f"{key}: {value}\n", tmp_path)):
        with pytest.raises(ConfigError) as caught:
            load(mapping)
        assert str(caught.value).startswith("config: ")
        assert "\n" not in str(caught.value)
        for word in words:
            assert word in str(caught.value), (word, str(caught.value))
