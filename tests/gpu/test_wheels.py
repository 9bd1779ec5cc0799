"""What is carried to a GPU machine: the locked versions, wheels that pip accepts, and an installer that needs no network."""

import csv
import subprocess
import sys
import zipfile

import pytest
import wheels

FILES = {
    "vllm/__init__.py": b"ANSWER = 42\n",
    "vllm/a,b.json": b"{}",
    "vllm/_C_stable_libtorch.abi3.so": b"\x7fELF" + bytes(100),
    "vllm/_flashmla_C.abi3.so": b"large",
    "vllm/vllm-rs": b"large",
    "vllm-0.0.1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: vllm\nVersion: 0.0.1\n",
    "vllm-0.0.1.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
    "vllm-0.0.1.dist-info/RECORD": b"",
}
LEFT_OUT = {"vllm/_flashmla_C.abi3.so", "vllm/vllm-rs"}


@pytest.fixture
def piece(tmp_path):
    """A piece with one small wheel."""
    wheel, folder = tmp_path / "vllm-0.0.1-py3-none-any.whl", tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in FILES.items():
            archive.writestr(path, content)
    wheels.repack(wheel, folder)
    assert wheels.pack(folder, tmp_path / "piece") < wheels.LIMIT
    return tmp_path / "piece"


def test_a_repacked_wheel_lists_what_it_has(piece):
    with zipfile.ZipFile(piece.parent / "wheels" / "vllm-0.0.1-py3-none-any.whl") as archive:
        assert set(archive.namelist()) == FILES.keys() - LEFT_OUT
        record = csv.reader(archive.read("vllm-0.0.1.dist-info/RECORD").decode().splitlines())
        assert {path: size for path, _, size in record if size} == {
            path: str(len(archive.read(path))) for path in archive.namelist() if not path.endswith("RECORD")
        }


def test_its_libraries_lose_no_byte_where_there_is_no_gpu_code():
    library = FILES["vllm/_C_stable_libtorch.abi3.so"]
    assert wheels.for_one_architecture(library) == library


def test_the_installer_needs_no_network(piece, tmp_path):
    """Its check of the machine's Python is left out: the tests' is another."""
    script = piece / "install.sh"
    lines = script.read_text().splitlines(keepends=True)
    script.write_text("".join(line for line in lines if "Python 3.12 is needed" not in line))
    target = tmp_path / "site"
    environment = {"PYTHON": sys.executable, "PIP_TARGET": str(target), "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", str(script)], env=environment, check=True, cwd=tmp_path)
    assert (target / "vllm" / "a,b.json").exists()
    assert not (target / "vllm" / "vllm-rs").exists()


def test_everything_carried_is_locked_with_its_hashes():
    for entry in wheels.locked([*wheels.TRAINER, *wheels.ENGINE, *wheels.BUILT, "vllm"]):
        assert "==" in entry.splitlines()[0]
        assert "--hash=sha256:" in entry
    with pytest.raises(KeyError):
        wheels.locked(["no-such-package"])
