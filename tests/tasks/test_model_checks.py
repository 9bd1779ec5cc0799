"""A model that cannot be trained or sampled is named in one sentence, exit code 2, before anything expensive."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from asymgrpo.errors import DataError, InputError, ModelError
from asymgrpo.models.checks import check_model, expected_shapes
from asymgrpo.models.load import load_model, make_hub, read_weights
from asymgrpo.tasks.prompts import PromptError
from asymgrpo.tasks.table import write_problems
from asymgrpo.tasks.tokenizer import VOCABULARY, build_tokenizer
from tests.helpers import runs
from tests.helpers.tiny_trainer import tiny_model

SIZES = {
    "vocab_size": 24,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


BIASES = {"attention_bias": True, "mlp_bias": True}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory, tokenizer = tmp_path_factory.mktemp("whole") / "base", build_tokenizer()
    tiny_model(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def model(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model" / "base")


def edit(path, drop=(), **changes):
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({key: value for key, value in (content | changes).items() if key not in drop}))


def reweigh(model, change):
    path = model / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path, metadata={"format": "pt"})


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def other_head(model):
    edit(model / "config.json", tie_word_embeddings=True)


def no_head(model):
    reweigh(model, lambda weights: weights.pop("lm_head.weight"))


def lost_layer(model):
    reweigh(model, lambda weights: [weights.pop(name) for name in list(weights) if "layers.1." in name])


def small_vocabulary(model):
    edit(model / "config.json", vocab_size=12)
    reweigh(model, lambda w: w.update({n: w[n][:12].clone() for n in ("lm_head.weight", "model.embed_tokens.weight")}))


def no_end(model):
    edit(model / "config.json", eos_token_id=None)
    edit(model / "generation_config.json", ["eos_token_id"])
    edit(model / "tokenizer_config.json", ["eos_token"])


def integer_weights(model):
    reweigh(model, lambda weights: weights.update({"model.norm.weight": torch.ones(24, dtype=torch.int8)}))


def index_of_more(model):
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-2.safetensors"}}))


FAULTS = {
    "no such model directory": shutil.rmtree,
    r"config\.json is missing": lambda m: (m / "config.json").unlink(),
    r"config\.json: not valid JSON": lambda m: cut(m / "config.json", 0.5),
    r"config\.json: holds an array": lambda m: (m / "config.json").write_text("[]"),
    "names no model_type": lambda m: edit(m / "config.json", ["model_type"]),
    "the weights are quantised": lambda m: edit(m / "config.json", quantization_config={"quant_method": "gptq"}),
    "dtype 'int9' is no type": lambda m: edit(m / "config.json", dtype="int9"),
    "hidden_size is '24', not a whole": lambda m: edit(m / "config.json", hidden_size="24"),
    "num_hidden_layers is 0": lambda m: edit(m / "config.json", num_hidden_layers=0),
    "2 attention heads cannot share 3": lambda m: edit(m / "config.json", num_key_value_heads=3),
    "it has no safetensors file": lambda m: (m / "model.safetensors").unlink(),
    "cut short or damaged": lambda m: cut(m / "model.safetensors", 0.7),
    r"damaged \(.*header": lambda m: cut(m / "model.safetensors", 0),
    r"model-2\.safetensors is missing": index_of_more,
    "norm.weight has type I8": integer_weights,
    "have no lm_head.weight": no_head,
    "lm_head.weight is another tensor than": other_head,
    "weights lack model.layers.1.*would be random": lost_layer,
    "does not describe model.layers.1.*would lose": lambda m: edit(m / "config.json", num_hidden_layers=1),
    r"has shape \[24, 24\], config.json says \[48, 24\]": lambda m: edit(m / "config.json", num_attention_heads=4),
    r"tokenizer\.json is missing": lambda m: (m / "tokenizer.json").unlink(),
    r"tokenizer_config\.json is missing": lambda m: (m / "tokenizer_config.json").unlink(),
    "the tokenizer cannot be read": lambda m: cut(m / "tokenizer.json", 0.5),
    "tokens up to number 20, config.json a vocabulary of 12": small_vocabulary,
    "names an end token": no_end,
    "the end token 21 in generation_config.json is no token of the model's 21": lambda m: edit(
        m / "generation_config.json", eos_token_id=[1, 21]
    ),
    "the end token 'eos'": lambda m: edit(m / "generation_config.json", eos_token_id="eos"),
}


def test_a_whole_model_passes(whole):
    check_model(whole, "plain", "torch")
    assert load_model(whole, "float32").config.vocab_size == len(VOCABULARY)


@pytest.mark.parametrize("words", FAULTS)
def test_every_fault_is_one_sentence(model, words):
    FAULTS[words](model)
    with pytest.raises((ModelError, DataError), match=words) as caught:
        check_model(model, "plain", "torch")
    assert "\n" not in str(caught.value)
    assert "model" in str(caught.value)


def test_the_prompt_template_must_be_possible(model):
    with pytest.raises(PromptError, match=r"no chat template; use the prompt template 'plain'"):
        check_model(model, "chat_boxed")
    with pytest.raises(PromptError, match="unknown prompt template 'plane'"):
        check_model(model, "plane")
    edit(model / "tokenizer_config.json", chat_template="{{ raise_exception('no system role') }}")
    with pytest.raises(PromptError, match=r"chat template fails \(TemplateError: no system role\)"):
        check_model(model, "qwen_boxed")
    edit(model / "tokenizer_config.json", chat_template="{% if %}")
    with pytest.raises(PromptError, match=r"chat template fails"):
        check_model(model, "qwen_boxed")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "gpt2"}, "knows llama, qwen2, qwen3, olmo3, not 'gpt2'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "not 'yarn'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "not 'linear'"),
        ({"hidden_act": "gelu"}, "not 'gelu'"),
        ({"use_sliding_window": True}, "sliding window"),
        ({"attention_bias": True}, "biases"),
    ],
)
def test_the_torch_engine_refuses_what_it_would_compute_otherwise(model, changes, words):
    edit(model / "config.json", **changes)
    with pytest.raises(ModelError, match=f"{words}.*set rollout_engine: vllm"):
        check_model(model, None, "torch")


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "olmo3"])
@pytest.mark.parametrize("more", [{}, {"tie_word_embeddings": True}, {"head_dim": 10}, BIASES])
def test_the_expected_shapes_are_those_of_transformers(tmp_path, kind, more):
    config = AutoConfig.for_model(kind, **SIZES, **more)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    written = {name: tuple(tensor.shape) for name, tensor in read_weights(tmp_path, "float32").items()}
    assert expected_shapes(json.loads((tmp_path / "config.json").read_text())) == written


def test_old_files_with_rotary_tables_and_an_equal_tied_head_pass(model):
    edit(model / "config.json", tie_word_embeddings=True)
    reweigh(model, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}))
    reweigh(model, lambda w: w.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(6)}))
    check_model(model, "plain", "torch")


def test_loading_refuses_what_headers_do_not_show(model):
    reweigh(model, lambda weights: weights["model.norm.weight"].__setitem__(3, torch.nan))
    check_model(model, "plain", "torch")
    with pytest.raises(ModelError, match=r"model\.norm\.weight holds numbers that are not finite"):
        load_model(model, "float32")
    lost_layer(model)
    with pytest.raises(ModelError, match="would be random"):
        load_model(model, "float32")
    cut(model / "model.safetensors", 0.5)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(model, "float32")
    with pytest.raises(ModelError, match="damaged"):
        read_weights(model, "float32")


# --- the three programs ---------------------------------------------------------------------------------------------------


def unsampled_temperature(model):
    """What some models on the hub have, and transformers loads but refuses to save."""
    edit(model / "generation_config.json", do_sample=False, temperature=0.6, top_p=0.9, eos_token_id=[1, 2])


def test_a_temperature_without_sampling_trains_and_keeps_its_end_tokens(model, tmp_path):
    unsampled_temperature(model)
    command = runs.prepare(tmp_path / "study", model, steps=1, evaluate_every=1, max_tokens=4, evaluate_max_tokens=4)
    runs.finish(command)
    (candidate,) = (runs.out_of(command) / "candidates").iterdir()
    assert json.loads((candidate / "generation_config.json").read_text())["eos_token_id"] == [1, 2]
    check_model(candidate, "plain", "torch")


def test_models_makes_a_model_with_such_a_temperature_and_refuses_a_broken_one(model, tmp_path):
    lock = tmp_path / "lock.yaml"
    lock.write_text("datasets: {}\nmodels: {}\n")
    unsampled_temperature(model)
    manifest = make_hub(str(model), "main", lock, tmp_path / "made")
    assert set(manifest["files"]) >= {"config.json", "model.safetensors", "tokenizer.json"}
    check_model(tmp_path / "made", "plain", "torch")
    with pytest.raises(ModelError, match="no chat template"):
        make_hub(str(model), "main", lock, tmp_path / "chat", "chat_boxed")
    no_end(model)
    with pytest.raises(ModelError, match=rf"{model}: neither generation_config.json nor"):
        make_hub(str(model), "main", lock, tmp_path / "endless")
    edit(model / "config.json", model_type="unheard_of")
    with pytest.raises(ModelError, match="cannot be loaded"):
        make_hub(str(model), "main", lock, tmp_path / "unknown")
    assert not {"chat", "endless", "unknown"} & {path.name for path in tmp_path.iterdir()}


def refused(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=runs.ROOT, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("words", ["cut short or damaged", "names an end token"])
def test_training_and_sampling_end_with_code_2(model, tmp_path, words):
    FAULTS[words](model)
    assert words in refused(runs.prepare(tmp_path / "study", model))
    write_problems(tmp_path / "p.parquet", [{"problem_id": "p", "problem": "1+1", "answer": "2", "source": "s"}], {})
    options = {
        "settings": runs.asked_of_samples(model),
        "problems": tmp_path / "p.parquet",
        "checkpoints": model,
        "out": tmp_path / "s.parquet",
    }
    assert words in refused([sys.executable, "-m", "evals.sample", *(f"--{k}={v}" for k, v in options.items())])
    assert not (tmp_path / "s.parquet").exists()


def test_one_word_for_wrong_input():
    assert issubclass(ModelError, InputError)
    assert issubclass(PromptError, InputError)
    assert issubclass(DataError, InputError)
