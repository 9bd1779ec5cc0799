"""A bundle from elsewhere that is not what it says is refused by one sentence, and costs no more than it says."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from evals.artifacts.bundle_files import MANIFEST, SCHEMA, BundleError, open_bundle
from evals.artifacts.manifest import MOST_BYTES

LARGE = 300 * 2**20


def entry(content: bytes) -> dict:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def written(path: Path, manifest: object, method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> Path:
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in {MANIFEST: text, **files}.items():
            archive.writestr(name, content)
    return path


def told(**files: object) -> dict:
    return {"schema": SCHEMA, "study": "s", "files": files}


GOOD = entry(b"x")
WRONG = {
    "files are a list": (told() | {"files": ["a"]}, "has no list of files"),
    "no files": ({"schema": SCHEMA, "study": "s"}, "has no list of files"),
    "no study": ({"schema": SCHEMA, "files": {}}, "names no study"),
    "study is a number": (told() | {"study": 3}, "names no study"),
    "no bytes": (told(a={"sha256": GOOD["sha256"]}), "does not say how many bytes a has"),
    "bytes are text": (told(a=GOOD | {"bytes": "1"}), "does not say how many bytes a has"),
    "bytes are true": (told(a=GOOD | {"bytes": True}), "does not say how many bytes a has"),
    "bytes below 0": (told(a=GOOD | {"bytes": -1}), "does not say how many bytes a has"),
    "no sha256": (told(a={"bytes": 1}), "does not say the sha256 of a"),
    "sha256 is short": (told(a=GOOD | {"sha256": "ab"}), "does not say the sha256 of a"),
    "entry is text": (told(a="text"), "says 'text' of a"),
    "a file that is a folder": (told(**{"a/b": GOOD, "a": GOOD}), "names 'a/b', where 'a' is a file"),
    "a file far below one": (told(**{"a": GOOD, "a/b/c": GOOD}), "names 'a/b/c', where 'a' is a file"),
    "the manifest": (told(**{MANIFEST: GOOD}), "where 'manifest.json' is a file"),
    "below the manifest": (told(**{f"{MANIFEST}/a": GOOD}), "where 'manifest.json' is a file"),
    "outside": (told(**{"a/../../b": GOOD}), "outside of the bundle"),
    "from the root": (told(**{"/b": GOOD}), "outside of the bundle"),
    "one path in two ways": (told(**{"a//b": GOOD}), "which is no path of a file"),
    "no name": (told(**{"": GOOD}), "which is no path of a file"),
    "a line break": (told(**{"a\nb": GOOD}), "which is no path of a file"),
    "text": ("text", "is damaged"),
    "a list": ([], "is damaged"),
    "no schema": ({"study": "s", "files": {}}, "is damaged"),
    "another schema": (told() | {"schema": 2, "files": ["a"]}, "has schema 2, this code reads 1"),
    "cut short": (b'{"schema": 1', "is damaged"),
    "binary": (b"\xff\xfe{", "is damaged"),
    "nested": (b"[" * 100_000, "is damaged"),
    "a whole number without end": (b'{"schema": ' + b"1" * 10_000 + b"}", "is damaged"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_manifest_that_cannot_be_is_refused_by_one_sentence(tmp_path, case):
    manifest, words = WRONG[case]
    with pytest.raises(BundleError, match=words) as refused:
        open_bundle(written(tmp_path / "bad.zip", manifest, a=b"x"))
    assert len(str(refused.value).splitlines()) == 1
    assert MANIFEST in str(refused.value)


def test_one_that_says_what_there_is_is_taken(tmp_path):
    path = written(tmp_path / "good.zip", told(**{"a": GOOD, "b/c": entry(b"")}), **{"a": b"x", "b/c": b""})
    bundle = open_bundle(path)
    bundle.check()
    bundle.unpack(tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in ("a", "b/c")} == {"a": b"x", "b/c": b""}
    assert bundle.read("a") == b"x"
    assert bundle.differing(tmp_path / "out") == []
    (tmp_path / "out/a").write_bytes(b"y")
    (tmp_path / "out/b/c").unlink()
    (tmp_path / "out/b/c").mkdir()
    assert bundle.differing(tmp_path / "out") == [
        "a is changed (its sha256 is not that of the manifest)",
        "b/c is missing",
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_whose_size_nobody_can_bound_is_damaged(tmp_path, method):
    with pytest.raises(BundleError, match=r"manifest.json is damaged"):
        open_bundle(written(tmp_path / "other.zip", told(a=GOOD), method, a=b"x"))


CHECK = """
import resource, sys
from evals.artifacts.bundle_files import BundleError, open_bundle
try:
    open_bundle(sys.argv[1]).check()
except BundleError as refused:
    print(refused)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def refused_at(path: Path) -> tuple[str, int]:
    """What a check of this bundle says, and the most bytes of memory that its process had."""
    done = subprocess.run([sys.executable, "-c", CHECK, str(path)], capture_output=True, text=True, check=True)
    *said, peak = done.stdout.splitlines()
    return " ".join(said), int(peak) * 1024


def understated(path: Path) -> Path:
    """The zip with a member of LARGE bytes of which its table of contents says that it has one."""
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    assert content[at + 46 : at + 47] == b"a"
    content[at + 24 : at + 28] = (1).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_a_small_zip_takes_no_more_memory_than_a_small_file(tmp_path):
    zeros = bytes(LARGE)
    small = written(tmp_path / "small.zip", told(a=GOOD), a=b"y")
    said, most = refused_at(small)
    assert "a is changed" in said
    for name, manifest, words in (
        ("more", told(a=GOOD), f"a is changed ({LARGE} of 1 bytes)"),
        ("as many", told(a=GOOD | {"bytes": LARGE}), "a is changed (its sha256"),
        ("manifest", zeros, f"manifest.json has {LARGE} bytes, more than {MOST_BYTES}"),
    ):
        path = written(tmp_path / f"{name}.zip", manifest, a=b"x" if name == "manifest" else zeros)
        assert path.stat().st_size < 0.002 * LARGE
        said, peak = refused_at(path)
        assert words in said
        assert peak < most + LARGE / 10, name
    said, peak = refused_at(understated(written(tmp_path / "less.zip", told(a=GOOD), a=zeros)))
    assert "a is damaged" in said
    assert peak < most + LARGE / 10
