"""The lock of the GPU images: what of it can be checked without its wheels."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements" / "gpu.lock").read_text(encoding="utf-8")
VERSIONS = dict(re.findall(r"^([\w.-]+)==([\w.]+) ", LOCK, flags=re.MULTILINE))


def test_the_python_of_cuda_is_of_one_release():
    """cuda-python 12 holds files that are in cuda-bindings 13 as well: which of the two is imported would be chance."""
    releases = {VERSIONS[name].split(".")[0] for name in ("cuda-python", "cuda-bindings", "nvidia-cuda-runtime")}
    assert releases == {"13"}
    assert VERSIONS["cuda-python"].split(".")[:2] == VERSIONS["cuda-bindings"].split(".")[:2]


def test_what_is_asked_for_by_version_is_locked_so():
    asked = (ROOT / "requirements" / "gpu.in").read_text(encoding="utf-8")
    wanted = dict(re.findall(r"^([\w.-]+)==([\w.]+)", asked, flags=re.MULTILINE))
    assert len(wanted) > 8
    assert {name: VERSIONS[name.replace("_", "-")] for name in wanted} == wanted


@pytest.mark.parametrize("image", ["train", "evaluate"])
def test_an_image_with_vllm_is_tried_with_it(image):
    """A build that ends with an image in which vLLM cannot be imported costs the first user a day."""
    text = (ROOT / "containers" / f"{image}.def").read_text(encoding="utf-8").partition("%test")[2]
    assert "vllm" in VERSIONS
    assert "grep -q '^vllm' /opt/asymgrpo/requirements.lock" in text
    assert "from vllm import LLM" in text
