"""One sampler a process: evaluation gives it one checkpoint after another, and vLLM's sleep serves a single one."""

import gc
import json
import os
import sys
import types

import pytest
import torch

from asymgrpo import surroundings
from asymgrpo.errors import DataError
from asymgrpo.models import load
from asymgrpo.rollout import Limits, SamplerError, samplers, vllm_sampler
from asymgrpo.rollout.base import EVALUATION_LIMITS
from asymgrpo.tasks.tokenizer import build_tokenizer
from evals.checkpoints import Checkpoints
from tests.helpers.runs import asked_of_samples
from tests.helpers.tiny_trainer import tiny_model

PROBLEMS = [{"problem_id": f"p{i}", "problem": f"{i}+{i + 1}"} for i in range(5)]


@pytest.fixture
def steps(tmp_path):
    """Step -> folder of three checkpoints of one run."""
    tokenizer = build_tokenizer()
    shape = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    found = {step: tmp_path / f"step{step:06d}" for step in (5, 10, 15)}
    for step, folder in found.items():
        tiny_model(seed=step, **shape).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return found


@pytest.fixture
def made(monkeypatch):
    """The samplers that are made."""
    found, make = [], samplers.make_sampler

    def counting(*args, **more):
        found.append(make(*args, **more))
        return found[-1]

    monkeypatch.setattr(samplers, "make_sampler", counting)
    return found


@pytest.fixture
def asked(tmp_path):
    return json.loads(asked_of_samples(tmp_path, samples={"default": 3}, k=[1], max_tokens=8, batch=2))


def test_all_checkpoints_of_a_run_are_sampled_by_one_sampler(steps, made, asked):
    """On every benchmark, whichever checkpoint comes first; and give what a sampler of its own gives each of them."""
    models = Checkpoints(steps, asked)
    together, again = models.sample(PROBLEMS, asked), models.sample(PROBLEMS, asked)
    assert len(made) == 1
    assert together == again
    apart = [
        row for step, folder in steps.items() for row in Checkpoints({step: folder}, asked).sample(PROBLEMS, asked)
    ]
    assert len(made) == 1 + len(steps)
    assert together == apart
    by_step = [[row["response"] for row in together if row["step"] == step] for step in steps]
    assert by_step[0] != by_step[1] != by_step[2], "other weights"


@pytest.mark.parametrize(
    "change", [{"rms_norm_eps": 0.1}, {"rope_parameters": {"rope_theta": 5.0, "rope_type": "default"}}]
)
def test_checkpoints_of_two_models_are_refused_before_anything_is_sampled(steps, made, asked, change):
    path = steps[15] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"step000015: its config\.json or end tokens are not those of step 5"):
        Checkpoints(steps, asked)
    assert not made


def test_what_says_nothing_of_the_model_may_differ(steps, asked):
    path = steps[15] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transformers_version": "9.9"}))
    assert {row["step"] for row in Checkpoints(steps, asked).sample(PROBLEMS[:1], asked)} == set(steps)


def test_further_benchmarks_load_the_last_checkpoint_once(steps, made, asked, monkeypatch):
    """Of three checkpoints two are loaded for each further benchmark: the third is there."""
    loads = []
    read = load.read_weights
    monkeypatch.setattr(
        load, "read_weights", lambda folder, dtype: loads.append(folder.name[-2:]) or read(folder, dtype)
    )
    models = Checkpoints(steps, asked)
    for _ in range(3):
        models.sample(PROBLEMS[:1], asked)
    assert loads == ["05", "10", "15", "05", "10", "05", "15"]


class FakeLLM:
    """What vLLM's LLM is told, and nothing else."""

    def __init__(self, model, **options):
        self.options = options


@pytest.fixture
def on_a_gpu(monkeypatch):
    """vllm_sampler.start as on a machine with one GPU, where vLLM does nothing."""
    fake = types.ModuleType("vllm")
    fake.LLM = FakeLLM
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    for name in ("LOCAL_RANK", *vllm_environment_names()):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(vllm_sampler, "SLEEPERS", type(vllm_sampler.SLEEPERS)())


def vllm_environment_names():
    return ("VLLM_ENABLE_V1_MULTIPROCESSING", "OMP_NUM_THREADS", *surroundings.VLLM)


def test_a_second_sampler_that_sleeps_is_refused(on_a_gpu, tmp_path):
    training = Limits(max_model_len=64, memory_fraction=0.3, verify_weights_every=1, sleeps=True)
    first = vllm_sampler.start(tmp_path, "float32", training)
    assert first.options["enable_sleep_mode"] is True
    with pytest.raises(SamplerError, match="update_weights"):
        vllm_sampler.start(tmp_path, "float32", training)
    assert vllm_sampler.start(tmp_path, "float32", EVALUATION_LIMITS).options["enable_sleep_mode"] is False
    del first
    gc.collect()
    vllm_sampler.start(tmp_path, "float32", training)


def test_on_a_cpu_nothing_sleeps():
    """So several samplers may stand side by side there, as in tests/vllm."""
    for _ in range(2):
        vllm_sampler.refuse_second_sleeper(sleeps=False)


def test_vllm_leaves_the_process_its_threads_and_the_home_alone(on_a_gpu, tmp_path, monkeypatch):
    """Without OMP_NUM_THREADS vLLM sets the process to one thread; its import asks FlashInfer's sampler for a folder."""
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in (*surroundings.VLLM, *surroundings.FOLDERS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delenv("OMP_NUM_THREADS")
    vllm_sampler.start(tmp_path, "float32", EVALUATION_LIMITS)
    assert os.environ["OMP_NUM_THREADS"] == str(torch.get_num_threads())
    assert os.environ["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert os.environ["FLASHINFER_WORKSPACE_BASE"].startswith(str(surroundings.own_folder(os.environ)))
