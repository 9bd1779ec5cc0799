"""Every tensor of the torch sampler lies where the weights lie; a rank's device is its own, and DeepSpeed and vLLM hear of it."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import chain

import pytest
import torch

from asymgrpo import devices
from asymgrpo.devices import DeviceError, own_device, take_own_device
from asymgrpo.rollout import Request
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.surroundings import EXPECTS_GPU
from asymgrpo.training.engine import leave_out_shared_memory
from tests.helpers import runs
from tests.helpers.elsewhere import ELSEWHERE, MixedDevicesError, PretendedGpu

REQUESTS = [
    Request((3, 4, 5), (1, 2, 3)),
    Request((6, 7, 8, 9, 10, 11), (4, 5)),
    Request((12,), (6, 7, 8, 9)),
]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9), (0.0, 1.0)])
def test_a_rollout_elsewhere_is_that_on_the_cpu(any_model, temperature, top_p):
    """The whole loop with its values: rows end at different times and the batch is compacted; results are Python's numbers."""
    weights = dict(any_model.named_parameters())
    ours = TorchSampler(any_model.config, weights.items(), (1, 2)).generate(REQUESTS, temperature, top_p, 24)
    with PretendedGpu():
        sampler = TorchSampler(any_model.config, weights.items(), (1, 2), ELSEWHERE)
        theirs = sampler.generate(REQUESTS, temperature, top_p, 24)
        sampler.update_weights(weights.items())
        assert {sampler.decoder.embedding.device, sampler.decoder.layers[0].qkv.device} == {ELSEWHERE}
    # A CPU has products of its own, so that rounding differs.
    for one, other in zip(chain(*ours), chain(*theirs), strict=True):
        assert replace(one, logprobs=()) == replace(other, logprobs=())
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    assert {type(x) for group in theirs for r in group for x in (*r.response_ids, *r.logprobs)} == {int, float}
    assert len({len(r.response_ids) for group in ours for r in group}) > 1 or temperature == 0


def test_the_pretended_gpu_refuses_what_a_gpu_refuses():
    """Without this the test above could pass for a mode that sees nothing."""
    with PretendedGpu():
        there, here = torch.arange(3, device=ELSEWHERE), torch.arange(3)
        for mixed in (
            lambda: there + here,
            lambda: torch.isin(there, here),
            lambda: here[there],
            lambda: torch.cat([there, here]),
            lambda: there.to(ELSEWHERE) * torch.zeros_like(here),
        ):
            with pytest.raises(MixedDevicesError):
                mixed()
        assert (there + 1).view(3).device == there[here].device == ELSEWHERE
        assert there.cpu().device == torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the process sees `n` GPUs and is local rank `rank` -> the device that became current."""
    current: list[torch.device] = []

    def pretend(n: int, rank: int) -> list[torch.device]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        return current

    return pretend


@pytest.mark.parametrize(("visible", "local_rank", "index"), [(1, 0, 0), (1, 3, 0), (4, 3, 3), (8, 0, 0)])
def test_the_local_rank_is_the_index_of_the_own_gpu(gpus, visible, local_rank, index):
    """DeepSpeed and vLLM call set_device(LOCAL_RANK): with one visible GPU a rank (--gpus-per-task=1) that must be 0."""
    current = gpus(visible, local_rank)
    for _ in range(2):  # asking again changes nothing
        assert take_own_device() == own_device() == torch.device("cuda", index)
        assert os.environ["LOCAL_RANK"] == str(index)
    assert current == [torch.device("cuda", index)] * 2


def test_without_a_gpu_the_local_rank_stays(gpus):
    gpus(0, 3)
    assert take_own_device() == torch.device("cpu")
    assert os.environ["LOCAL_RANK"] == "3"


def test_a_rank_without_a_gpu_of_its_own_is_told(gpus):
    gpus(2, 3)
    with pytest.raises(DeviceError, match=r"rank 3 of this node sees 2 GPUs.*ranks_per_node"):
        devices.take_own_device()


def test_alone_no_local_rank_is_needed(gpus, monkeypatch):
    """Evaluation is one process without a launcher."""
    gpus(4, 0)
    monkeypatch.delenv("LOCAL_RANK")
    assert own_device() == torch.device("cuda", 0)


def test_a_job_that_expects_a_gpu_refuses_a_cpu(gpus, monkeypatch):
    """The cause is torch's own; without the expectation the CPU is as good."""
    gpus(0, 0)
    monkeypatch.setenv(EXPECTS_GPU, "1")
    with pytest.raises(
        DeviceError, match=r"can use none \(Torch not compiled with CUDA.*driver >= 580.*--nv.*=0"
    ) as refused:
        own_device()
    assert torch.__version__ in str(refused.value)
    monkeypatch.setenv(EXPECTS_GPU, "0")
    assert own_device() == torch.device("cpu")
    monkeypatch.setenv(EXPECTS_GPU, "1")
    gpus(1, 0)
    assert own_device() == torch.device("cuda", 0)


@pytest.mark.parametrize("program", ["train", "sample"])
def test_training_and_sampling_refuse_before_they_read_anything(program, tmp_path, model_directory):
    command = runs.prepare(tmp_path, model_directory)
    if program == "sample":
        asked = runs.asked_of_samples(model_directory)
        command = [
            sys.executable,
            "-m",
            "evals.sample",
            f"--settings={asked}",
            "--problems=x",
            "--checkpoints=x",
            "--out=x",
        ]
    environment = os.environ | {EXPECTS_GPU: "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, cwd=runs.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "this job was to compute on a GPU" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("device", "asked"), [("cpu", True), ("cuda", False)])
def test_deepspeeds_compilers_are_not_tried_on_a_gpu(monkeypatch, device, asked):
    """Its table of operations tries them when it is first read."""
    import deepspeed

    class Operations:
        read = False

        @property
        def __compatible_ops__(self):
            Operations.read = True
            return {}

    monkeypatch.setattr(deepspeed, "ops", Operations())
    leave_out_shared_memory(torch.device(device))
    assert Operations.read == asked
