"""Every call and attribute of ours exists in vLLM for CUDA, and all else in the GPU lock is what the CPU's tests ran with."""

import ast
import filecmp
import re
from pathlib import Path

import cuda_vllm
import pytest

ROOT = Path(__file__).resolve().parents[3]
OF_THE_BUILD = {"_version.py", "platforms/__init__.py", "utils/cpu_triton_utils.py"}
"""Files of vLLM in which a build for the CPU may differ; the rest of what tests/vllm run is then the GPU's, line by line."""
OF_CUDA = ("third_party/", "vllm_flash_attn/")
"""Kernels for GPUs, which the build for the CPU leaves out."""


@pytest.mark.slow
def test_vllm_takes_all_our_calls(tmp_path):
    """The table of calls.py is complete: it names whatever vllm_sampler.py takes from an `llm`."""
    told = cuda_vllm.answer("calls.py", scratch=tmp_path)
    assert told["missing"] == []
    assert len(told["made_up"]) == 3
    assert told["sampling"] == {"seed": 3, "top_k": 0, "ignore_eos": True, "logprobs": 0}
    tree = ast.parse((ROOT / "asymgrpo" / "rollout" / "vllm_sampler.py").read_text())
    taken = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value).endswith("llm")}
    assert taken - {"LLM"} <= set(told["of_llm"])
    assert len(taken) > 5


def test_the_build_for_the_cpu_has_the_same_python():
    """What tests/vllm see of vLLM on a CPU is what runs on a GPU, but for platform, kernels and libraries."""
    theirs = cuda_vllm.folder() / "vllm"
    ours = cuda_vllm.cpu_build()
    names = {str(path.relative_to(theirs)) for path in theirs.rglob("*.py")}
    assert len(names) > 2000
    there = {name for name in names if (ours / name).exists()}
    assert {name for name in names - there if not name.startswith(OF_CUDA)} == set()
    differing = {name for name in there if not filecmp.cmp(theirs / name, ours / name, shallow=False)}
    assert differing == OF_THE_BUILD


def test_both_locks_have_the_same_libraries():
    """The trainer's, the graders' and lm-eval's tests on the CPU speak for the GPU images because versions are the same."""
    locks = [
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), flags=re.MULTILINE))
        for name in ("cpu.lock", "gpu.lock")
    ]
    both = {name: (locks[0][name], locks[1][name]) for name in locks[0].keys() & locks[1].keys()}
    other = {name for name, (one, two) in both.items() if one != two}
    assert {
        "torch",
        "deepspeed",
        "transformers",
        "accelerate",
        "tokenizers",
        "lm-eval",
        "math-verify",
    } <= both.keys() - other
    assert other <= OTHER_VERSIONS, {name: both[name] for name in other}


OTHER_VERSIONS = {"packaging"}
"""Snakemake, which no image has, holds it back."""
