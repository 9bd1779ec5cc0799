"""The environment of the GPU images, whole, without a GPU: `make gpu-desk` installs it and runs this."""

import cuda_vllm
import pytest

NEVER_READ = {"build_backend.py"}
"""Used to build a package and shipped by mistake: flashinfer-python's and torch-c-dlpack-ext's."""
pytestmark = pytest.mark.desk


@pytest.fixture(autouse=True)
def _whole_environment():
    if cuda_vllm.PYTHON is None:
        pytest.skip("the environment of requirements/gpu.lock is not installed; `make gpu-desk` does it (10 GB)")


def test_the_environment_fits_together(tmp_path):
    """No file is in two packages, every need is met, and all that we import can be imported where there is no GPU."""
    told = cuda_vllm.answer("environment.py", scratch=tmp_path)
    assert told["packages"] > 200
    assert [path for path in told["shared"] if path.partition(":")[0] not in NEVER_READ] == []
    assert told["unmet"] == []
    assert told["not_imported"] == []


@pytest.mark.parametrize("home", [None, "/proc/nohome"])
def test_a_model_is_loaded_as_on_a_gpu(shape, tmp_path, home):
    """Worker, runner, layers and weights, with the compiled libraries; in an image the home cannot be written."""
    unwritable = {} if home is None else {"HOME": home, "TMPDIR": str(tmp_path)}
    told = cuda_vllm.answer("load.py", shape, scratch=tmp_path, **unwritable)
    assert told["runner"] == "vllm.v1.worker.gpu.model_runner"
    assert told["attention"] == ["FLASH_ATTN"]
    assert told["layers"] == 2
    assert told["weights"] > 1_000_000
