"""What a GPU machine without a network lacks to run the acceptance (accept.py): wheels, packed into `.gpu-wheels/1`.

    make gpu-wheels                      here, with a network
    sh .gpu-wheels/1/install.sh          there

    make gpu-sources                     only vLLM's Python files, unpacked, for tests/gpu/desk

The piece stays below LIMIT, so that it can be carried with the repository in 64 MiB. Versions and hashes are those of
requirements/gpu.lock. vLLM is cut down to what an engine for a dense model on a card of compute capability 9.0 (H100, H200)
runs: one architecture of its kernels, FlashAttention 3 alone, nothing for quantised weights or mixtures of experts.

The machine has Python 3.12 for x86-64 and what GPU images have: torch >= 2.11 for CUDA 13, transformers >= 5.16, numpy,
pandas, pyarrow, pytest, hypothesis.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import fatbin

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 50 << 20
"""Bytes of a piece."""
ARCHITECTURE = 90
"""Of the cards that the libraries are cut down to: compute capability times ten."""

TRAINER = [
    *("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "hjson"),
    *("math-verify", "latex2sympy2-extended", "antlr4-python3-runtime"),
]
ENGINE = [
    *(
        "apache-tvm-ffi",
        "astor",
        "cachetools",
        "cbor2",
        "compressed-tensors",
        "depyf",
        "fastapi",
        "httpx2",
        "llguidance",
    ),
    *(
        "loguru",
        "msgspec",
        "openai",
        "oss-harmony",
        "partial-json-parser",
        "pybase64",
        "pyzmq",
        "setproctitle",
        "sniffio",
    ),
    *("starlette", "xgrammar"),
]
"""What `LLM(...)` imports until it has generated; its servers, its other loaders and its structured outputs need more."""
BUILT = ["deepspeed"]
"""Published as sources only."""

KEPT = ("_C_stable_libtorch", "_vllm_fa3_C", "cumem_allocator", "spinloop", "fs_io_C")
"""vLLM's compiled libraries that are carried; the rest serves quantised, sparse and latent-attention models."""
LEFT_OUT = ("vllm/vllm-rs", "vllm/third_party/deep_gemm/", "vllm/third_party/fmha_sm100/", "vllm/third_party/tml_fa4/")

INSTALL = """#!/bin/sh
# Installs the wheels beside it into the environment of $PYTHON (python3 unless set). Needs no network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
"$python" -c 'import sys, torch, transformers; sys.exit(sys.version_info[:2] != (3, 12) and "Python 3.12 is needed")'
wheels=$(mktemp -d)
"$python" -m tarfile -e "$here/wheels.tar.xz" "$wheels"
"$python" -m pip install --quiet --no-index --no-deps --no-compile "$wheels"/*.whl
rm -r "$wheels"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--into", type=Path, default=ROOT / ".gpu-wheels", help="folder of the pieces (default: %(default)s)"
    )
    parser.add_argument(
        "--sources", action="store_true", help="unpack vLLM's Python files into its folder `sources`; no more"
    )
    arguments = parser.parse_args()
    into = arguments.into
    cache = into / "downloads"
    cache.mkdir(parents=True, exist_ok=True)
    if arguments.sources:
        download(["vllm"], cache)
        unpack_sources(found("vllm", cache), into / "sources")
        return
    download([*TRAINER, *ENGINE, "vllm"], cache)
    build(BUILT, cache)
    with tempfile.TemporaryDirectory() as scratch:
        for name in [*TRAINER, *ENGINE, *BUILT, "vllm"]:
            repack(found(name, cache), Path(scratch))
        size = pack(Path(scratch), into / "1")
    print(f"{into / '1'}: {size / (1 << 20):.1f} MiB")
    if size > LIMIT:
        sys.exit(f"this is more than {LIMIT >> 20} MiB; leave something out")


def download(names: Iterable[str], cache: Path) -> None:
    """The locked wheels for the GPU machine. Raises CalledProcessError when one cannot be had."""
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)]
    target = ["--python-version=3.12", "--implementation=cp", "--abi=cp312", "--abi=abi3", "--abi=none"]
    pip("download", "--only-binary=:all:", *target, *platforms, "--dest", cache, names=names)


def build(names: Iterable[str], cache: Path) -> None:
    """Wheels out of sources, without compiled operators: the trainer uses none."""
    pip("wheel", "--no-build-isolation", "--wheel-dir", cache, names=names, environment={"DS_BUILD_OPS": "0"})


def pip(*arguments: object, names: Iterable[str], environment: dict[str, str] | None = None) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("".join(locked(names)))
        wanted.flush()
        options = ["--quiet", "--no-deps", "--require-hashes", "--requirement", wanted.name]
        command = [sys.executable, "-m", "pip", *map(str, arguments), *options]
        subprocess.run(command, check=True, env=os.environ | (environment or {}))


def locked(names: Iterable[str]) -> list[str]:
    """Their entries in the GPU lock, hashes included. Raises KeyError for a package that it does not have."""
    text = (ROOT / "requirements/gpu.lock").read_text()
    entries = {}
    for block in text.replace("\\\n", "\\\0").splitlines(keepends=True):
        entries[block.partition("==")[0]] = block.replace("\\\0", "\\\n")
    return [entries[name] for name in names]


def found(name: str, cache: Path) -> Path:
    """The wheel of a package. A version that the lock no longer has is not taken."""
    version = locked([name])[0].partition("==")[2].split()[0]
    (wheel,) = cache.glob(f"{name.replace('-', '_')}-{version}-*.whl")
    return wheel


def repack(wheel: Path, folder: Path) -> None:
    """The same wheel without what is left out, and uncompressed: all wheels are compressed together, and better."""
    record = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/RECORD"
    rows: list[tuple[str, str, object]] = []
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(folder / wheel.name, "w") as target:
        for path in source.namelist():
            if path.endswith("/") or path == record or not is_kept(path):
                continue
            content = source.read(path)
            if is_library(path):
                content = for_one_architecture(content)
            target.writestr(path, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((path, f"sha256={digest}", len(content)))
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([*rows, (record, "", "")])
        target.writestr(record, table.getvalue())


def unpack_sources(wheel: Path, folder: Path) -> None:
    """What of a wheel Python reads: modules, tables and metadata, no libraries."""
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        wanted = [path for path in archive.namelist() if path.endswith((".py", ".json")) or ".dist-info/" in path]
        archive.extractall(folder, wanted)


def is_kept(path: str) -> bool:
    return not path.startswith(LEFT_OUT) and (
        not path.endswith(".so") or not path.startswith("vllm/") or is_library(path)
    )


def is_library(path: str) -> bool:
    """Whether it is one of vLLM's libraries that are carried."""
    return path.startswith("vllm/") and path.endswith(".so") and Path(path).name.partition(".")[0] in KEPT


def for_one_architecture(library: bytes) -> bytes:
    content = bytearray(library)
    try:
        fatbin.keep_one(content, ARCHITECTURE)
    except ValueError:  # no GPU code
        return library
    return bytes(content)


def pack(folder: Path, piece: Path) -> int:
    """One archive of a folder's wheels with its installer; returns the bytes of both."""
    shutil.rmtree(piece, ignore_errors=True)
    piece.mkdir()
    archive, installer = piece / "wheels.tar.xz", piece / "install.sh"
    with tarfile.open(archive, "w:xz", preset=6) as tar:
        for wheel in sorted(folder.iterdir()):
            tar.add(wheel, wheel.name)
    installer.write_text(INSTALL)
    return archive.stat().st_size + installer.stat().st_size


if __name__ == "__main__":
    main()
