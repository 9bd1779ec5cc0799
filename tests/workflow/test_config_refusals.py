"""What is wrong in a configuration is refused before any job, in a sentence with its key."""

import json

import pytest

from asymgrpo.study.config import ConfigError
from tests.workflow.changes import by_command
from workflow.checks import load


def refused(*entries: str) -> list[str]:
    """The sentences with which a configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        load(by_command(*entries))
    sentences = str(caught.value).splitlines()
    assert all(sentence.startswith("config: ") and sentence.endswith((".", "?")) for sentence in sentences), sentences
    return sentences


@pytest.mark.parametrize(
    ("entry", "key", "item"),
    [
        ('study={"seeds": [0, 1, 0]}', "study.seeds", "0"),
        ('study={"seeds": [0, 0.0]}', "study.seeds", "0"),
        ('study={"arms": [grpo, asymgrpo, grpo]}', "study.arms", "'grpo'"),
        ('study={"models": [tiny, tiny]}', "study.models", "'tiny'"),
        (
            'study={"analyses": [random_reward, random_reward], "analysis_seeds": [0]}',
            "study.analyses",
            "'random_reward'",
        ),
        ('study={"analyses": [random_reward], "analysis_seeds": [4, 4]}', "study.analysis_seeds", "4"),
        ('evaluation={"benchmarks": [chain2, chain4, chain2]}', "evaluation.benchmarks", "'chain2'"),
        ('evaluation={"k": [1, 2, 2]}', "evaluation.k", "2"),
        ('evaluation={"selection": [last, last]}', "evaluation.selection", "'last'"),
        (
            'evaluation={"control_templates": [plain_boxed, plain_boxed]}',
            "evaluation.control_templates",
            "'plain_boxed'",
        ),
    ],
)
def test_what_is_there_twice_is_named(entry, key, item):
    (sentence,) = refused(entry)
    assert sentence.startswith(f"config: {key} = [")
    assert f"{item} is there 2 times; list it once." in sentence


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (['study={"seeds": [-1]}'], ["study.seeds.0 = -1", "greater than or equal to 0"]),
        (['study={"seeds": [2147483648]}'], ["study.seeds.0 = 2147483648", "less than 2147483648"]),
        (['evaluation={"bootstrap_seed": -1}'], ["evaluation.bootstrap_seed = "]),
        (['data={"embedded": {"seed": -3}}'], ["data.embedded.seed = "]),
        (['models={"tiny": {"spec": {"seed": -3}}}'], ["models.tiny.spec.seed = "]),
        (['train={"adam_beta2": 1}'], ["train.adam_beta2 = ", "less than 1"]),
        (["seeds=[1]"], ["unknown key 'seeds'", "did you mean 'study.seeds'?"]),
        (["learning_rate=0.1"], ["unknown key 'learning_rate'", "did you mean 'train.learning_rate'?"]),
        (["benchmark=[chain2]"], ["unknown key 'benchmark'", "did you mean 'evaluation.benchmarks'?"]),
        (["arms=[grpo]"], ["arms = ['grpo']", "did you mean 'study.arms'?"]),
        (["models=[tiny]"], ["models = ['tiny']", "did you mean 'study.models'?"]),
        (['train={"stepps": 3}'], ["unknown key 'train.stepps'", "did you mean 'train.steps'?"]),
        (['train={"seeds": [1]}'], ["unknown key 'train.seeds'", "did you mean 'study.seeds'?"]),
        (['models={"tiny": {"sepc": {}}}'], ["'models.tiny.sepc'", "did you mean 'models.tiny.spec'?"]),
        (['models={"tiny": {"spec": {"layer": 3}}}'], ["'models.tiny.spec.layer'", "'models.tiny.spec.layers'?"]),
        (['models={"tiny": {"train": {"step": 3}}}'], ["'models.tiny.train.step'", "'models.tiny.train.steps'?"]),
        (['models={"tiny": {"train": {"steps": 0}}}'], ["models.tiny.train.steps = ", "greater than 0"]),
        (['models={"tiny": {"evaluation": {"k": [1]}}}'], ["models.tiny.evaluation.k would give", "may differ"]),
        (['models={"tiny": {"evaluation": {"bach": 1}}}'], ["'models.tiny.evaluation.bach'", "evaluation.batch'?"]),
        (['models={"tiny": {"spec": {"styles": {"leftt": 1}}}}'], ["models.tiny.spec", "'leftt'", "choose among left"]),
        (['models={"tiny": {"spec": {"kv_heads": 3}}}'], ["models.tiny.spec", "heads = 4 must be a multiple of"]),
        (['arms={"asymgrppo": {"beta_pos": 1}}'], ["arms.asymgrppo", "Did you mean 'asymgrpo'?"]),
        (['arms={"asymgrpo": {"beta_posi": 1}}'], ["arms.asymgrpo.beta_posi", "choose from"]),
        (['arms={"asymgrpo": 3}'], ["arms.asymgrpo = ", "valid dictionary"]),
        (['evaluation={"samples": {"chain22": 64}}'], ["evaluation.samples.chain22", "known are default, "]),
        (['evaluation={"samples": {"chain2": 0}}'], ["evaluation.samples.chain2 = ", "greater than 0"]),
        (['evaluation={"engine": vlm}'], ["evaluation.engine = 'vlm'", "'torch' or 'vllm'"]),
        (['train={"rollout_engine": hf}'], ["train.rollout_engine = 'hf'", "'torch' or 'vllm'"]),
        (['containers={"mode": none, "images": {"trian": "a.sif"}}'], ["containers.images.trian"]),
        (['containers={"mod": none}'], ["'containers.mod'", "did you mean 'containers.mode'?"]),
        (['machine={"kind": gpu}'], ["machine.kind = 'gpu'", "neither cpu nor a GPU kind", "h100-80gb"]),
        (['study={"models": [undefined, tiny]}'], ["study.models names 'undefined'", "tiny"]),
        (['study={"models": [tiny, undefined]}'], ["study.models names 'undefined'", "tiny"]),
        (['study={"models": [undefined]}'], ["study.models names 'undefined'", "tiny"]),
        (['models={"a/b": {"kind": gguf, "template": plain}}'], ["models has the name 'a/b'", "letters, digits"]),
        (['models={"a b": {"kind": gguf, "template": plain}}'], ["models has the name 'a b'"]),
        (['models={"a.b": {"kind": gguf, "template": plain}}'], ["models has the name 'a.b'"]),
        (['models={"a@b": {"kind": gguf, "template": plain}}'], ["models has the name 'a@b'"]),
        (['models={"big": {"kind": hub, "template": plain}}'], ["models.big.hub_id is missing"]),
        (['models={"big": {"kind": hub, "template": plain, "hub_id": "a b; ls"}}'], ["models.big.hub_id = 'a b; ls'"]),
        (['models={"big": {"kind": gguf, "template": plane}}'], ["models.big.template names 'plane'"]),
        (['models={"big": {"kind": gguf, "template": plain, "spec": {"layers": 2}}}'], ["models.big.spec", "'gguf'"]),
        (['models={"big": {"kind": tiny, "template": plain}}'], ["'models.big.spec.seed' is missing"]),
        (['study={"arms": ["grpo/x"]}'], ["study.arms: arm 'grpo/x' is unknown"]),
        (['evaluation={"benchmarks": ["chain2 "]}'], ["evaluation.benchmarks names 'chain2 '"]),
        (["name=a/b"], ["name = 'a/b'", "leave out slashes"]),
        (["name=-n"], ["name = '-n'", "begin with a letter"]),
        (["name=../x"], ["name = '../x'", "leave out slashes"]),
        (
            ['data={"validation_size": 2000}'],
            ["data.validation_size = 2000", "2000 problems of data.embedded.train_size"],
        ),
        (['evaluation={"max_tokens": 250}'], ["evaluation.max_tokens = 250", "256 positions of model tiny", "lower"]),
        (['train={"evaluate_max_tokens": 250}'], ["train.evaluate_max_tokens = 250", "256 positions"]),
        (
            ['train={"max_prompt_tokens": 230}'],
            ["train.max_tokens = 48", "train.max_prompt_tokens = 230", "256 positions"],
        ),
        (
            ['models={"tiny": {"evaluation": {"max_tokens": 250}}}'],
            ["models.tiny.evaluation.max_tokens = 250", "256 positions"],
        ),
        (
            ['evaluation={"temperature": 0}'],
            ["evaluation.temperature = 0", "samples.default = 32", "temperature above 0"],
        ),
        (
            ['evaluation={"temperature": 0, "samples": {"default": 1}}'],
            ["evaluation.k has 16", "evaluation.k = [1, 2, 4, 8, 16]", "set k to [1]"],
        ),
        (['train={"evaluate_temperature": 0}'], ["train.evaluate_samples = 4", "train.evaluate_temperature = 0"]),
        (
            ['train={"rollout_engine": vllm, "temperature": 0.001}'],
            ["train.temperature = 0.001", "below vLLM's least, 0.01"],
        ),
    ],
    ids=lambda value: value[0][:60] if isinstance(value, list) else None,
)
def test_each_wrong_key_is_named_with_its_remedy(entries, words):
    found = "\n".join(refused(*entries))
    for word in words:
        assert word in found, (word, found)


def test_greedy_evaluation_with_one_sample_is_allowed():
    load(by_command('evaluation={"temperature": 0, "samples": {"default": 1}, "k": [1]}'))


def test_every_problem_is_told_once_and_with_its_key():
    found = refused('train={"top_p": 0.9}', 'evaluation={"max_tokens": 40}', 'study={"models": [tiny, nobody]}')
    assert len(found) == len(set(found)) == 3


def test_a_key_that_is_there_twice_in_a_file_is_refused(tmp_path):
    """YAML keeps the last one without a word; JSON too."""
    from workflow.read_once import repeated_keys

    path = tmp_path / "study.yaml"
    path.write_text("train: {steps: 3}\nevaluation: {k: [1]}\ntrain:\n  learning_rate: 0.1\n", encoding="utf-8")
    (sentence,) = repeated_keys(path)
    assert sentence.startswith(f"config: {path}")
    assert "'train' is there twice (lines 1 and 3)" in sentence
    path.write_text("train:\n  steps: 3\n  steps: 4\nmodels: {tiny: {spec: &a {x: 1}}, b: {spec: {<<: *a}}}\n")
    assert ["'steps' is there twice (lines 2 and 3)" in sentence for sentence in repeated_keys(path)] == [True]
    path.write_text(json.dumps({"train": {"steps": 3}, "study": {"seeds": [1]}}), encoding="utf-8")
    assert not list(repeated_keys(path))


@pytest.mark.parametrize(
    ("source", "benchmarks", "lacking", "other"),
    [
        ("directory", "[math500, hmmt_nov25, beyondaime]", "hmmt_nov25, beyondaime", "hub"),
        ("hub", "[math500, aime26, brumo25]", "aime26, brumo25", "directory"),
    ],
)
def test_sets_that_a_source_lacks_are_named_before_anything_runs(source, benchmarks, lacking, other, tmp_path):
    for name in ("math_train.parquet", "math500.jsonl"):
        (tmp_path / name).touch()
    data = f'data={{"source": {source}, "dir": {tmp_path}, "train": math_train, "validation_size": 8}}'
    (sentence,) = refused(data, f'evaluation={{"benchmarks": {benchmarks}, "selection": [last]}}')
    assert f"data.source {source!r} does not have {lacking}; " in sentence
    assert sentence.endswith(f"data.source {other!r}.")
