"""Model directories: made whole, the same bytes twice, and not accepted when altered."""

import json

import pytest
import torch

from asymgrpo.models import load as models
from asymgrpo.models import tiny as base_model
from asymgrpo.models.directory import load_tokenizer
from asymgrpo.tasks.chain_sum import STYLES
from tests.helpers.started import started

SPEC = {
    "seed": 1,
    "hidden_size": 32,
    "intermediate_size": 64,
    "layers": 1,
    "heads": 2,
    "kv_heads": 1,
    "head_dim": 16,
    "max_positions": 128,
    "examples": 200,
    "epochs": 1,
    "batch": 20,
    "learning_rate": 3e-3,
    "muon_learning_rate": 0.03,
    "error_rate": 0.1,
    "styles": dict.fromkeys(STYLES, 1.0),
    "probe_problems": 2,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two trainings of one specification on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    spec = base_model.parse_spec(SPEC)
    reports = [base_model.make(spec, folder / name) for name in ("a", "b")]
    torch.set_num_threads(threads)
    return folder, reports


def test_same_specification_gives_same_bytes(made):
    folder, _ = made
    for file in (folder / "a").iterdir():
        assert file.read_bytes() == (folder / "b" / file.name).read_bytes(), file.name


def test_training_lowers_the_loss_and_leaves_only_whole_directories(made):
    folder, (report, _) = made
    assert report["updates"] == 10
    assert report["loss"] < report["first_loss"]
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]


def test_training_touches_no_global_generator(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    base_model.make(base_model.parse_spec(SPEC | {"examples": 20}), tmp_path / "model")
    assert torch.equal(before, torch.get_rng_state())


def test_directory_loads_and_its_head_is_its_own(made):
    folder, _ = made
    model, tokenizer = models.load_model(folder / "a", "float32"), load_tokenizer(folder / "a")
    assert model.lm_head.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
    assert model.dtype == torch.float32
    assert (tokenizer.padding_side, tokenizer.pad_token_id) == ("left", model.config.pad_token_id)
    assert models.load_model(folder / "a", "bfloat16").dtype == torch.bfloat16


def test_altered_or_unfinished_directories_are_refused(made, tmp_path):
    folder, _ = made
    manifest = models.read_manifest(folder / "a", verify=True)
    assert "model.safetensors" in manifest["files"]
    config = folder / "a" / "config.json"
    text = config.read_text()
    try:
        config.write_text(json.dumps(json.loads(text) | {"rms_norm_eps": 1.0}))
        with pytest.raises(models.ModelError, match=r"config\.json is missing or altered"):
            models.read_manifest(folder / "a", verify=True)
    finally:
        config.write_text(text)
    with pytest.raises(models.ModelError, match=r"manifest\.json is missing"):
        models.read_manifest(tmp_path, verify=False)
    with pytest.raises(models.ModelError, match=r"config\.json is missing"):
        models.load_model(tmp_path, "float32")


def test_wrong_specifications_name_the_key():
    with pytest.raises(base_model.SpecError, match="key 'layer'"):
        base_model.parse_spec(SPEC | {"layer": 2})
    with pytest.raises(base_model.SpecError, match="key 'error_rate'"):
        base_model.parse_spec(SPEC | {"error_rate": 1.5})
    with pytest.raises(base_model.SpecError, match="tiny model: styles has 'sideways'; choose among left"):
        base_model.parse_spec(SPEC | {"styles": {"sideways": 1.0}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": float("nan")}, "key 'learning_rate'"),
        ({"error_rate": float("inf")}, "key 'error_rate'"),
        ({"seed": -1}, "key 'seed'"),
        ({"heads": 3, "kv_heads": 2}, "heads = 3 must be a multiple of kv_heads = 2"),
        ({"head_dim": 15}, "head_dim = 15 must be even"),
        ({"styles": {}}, "styles needs a weight above 0"),
        ({"styles": dict.fromkeys(STYLES, 0.0)}, "styles needs a weight above 0"),
    ],
)
def test_specifications_that_no_model_can_have_are_refused(changes, words):
    with pytest.raises(base_model.SpecError, match=f"tiny model: .*{words}.*; correct it"):
        base_model.parse_spec(SPEC | changes)


@pytest.mark.parametrize("spec", [None, [], "text", 7])
def test_a_specification_that_is_no_mapping_is_refused(spec):
    with pytest.raises(base_model.SpecError, match="not keys with values"):
        base_model.parse_spec(spec)


def test_a_specification_that_is_missing_or_no_yaml_is_one_sentence(tmp_path):
    (tmp_path / "bad.yaml").write_text("{seed: 1\n- x")
    for spec, words in (
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path / "bad.yaml", "not YAML"),
        ("{", "not YAML"),
    ):
        done = started(base_model.main, "--spec", spec, "--out", tmp_path / "out")
        assert (done.code, done.stderr.count("\n")) == (2, 1)
        assert words in done.stderr
    assert not (tmp_path / "out").exists()


def test_failed_training_leaves_nothing(tmp_path):
    spec = base_model.parse_spec(SPEC).model_copy(update={"styles": {"sideways": 1.0}})  # past its checks
    with pytest.raises(ValueError, match="unknown solution style"):
        base_model.make(spec, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_packaged_gguf_is_found():
    assert models.gguf_file().stat().st_size > 50_000_000
