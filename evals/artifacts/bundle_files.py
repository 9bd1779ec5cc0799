"""A bundle of results as files with a manifest: opening, checking, unpacking. evals.artifacts.bundle decides what goes
into one.

A bundle is a zip file or the folder that it unpacks to: `manifest.json` and the files that it names, at the paths that they
have in a study's folder of results (evals.artifacts.manifest says what it holds). Tables and figures that were made from them may
lie beside them in a folder, and what Snakemake writes of its jobs: a folder of results that was rebuilt is the bundle that it
was rebuilt from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from asymgrpo.files import PARTIAL, errors_of, replace_atomically, sha256_file
from evals.artifacts.manifest import MANIFEST, MOST_BYTES, SCHEMA, BundleError, parsed

__all__ = ["MANIFEST", "SCHEMA", "Bundle", "BundleError", "is_bundle", "open_bundle", "write_bundle"]

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member, so that the same files give the same zip."""
MAX_NAMED = 10
PIECE = 2**20
"""Bytes of a file that are in memory at once."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways of packing a member that unpack as many bytes at once as one asks for, and no more."""
WRITTEN = {"config", "proofs"}
"""Folders of a bundle into which a rebuild writes too: settings of its jobs, proofs of its images."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its manifest, and the bytes of its files on demand. `path` is a zip file or a folder."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        return self.manifest["files"]

    @property
    def manifest_text(self) -> str:
        """The manifest as it is written."""
        with _Store(self.path) as store:
            return _manifest(store).decode()

    def read(self, name: str) -> bytes:
        """Bytes of one file, checked against the manifest.

        Raises:
            BundleError: it is missing, damaged or another file than the manifest says.
        """
        pieces: list[bytes] = []
        with _Store(self.path) as store:
            fault = _fault(store, name, self.files.get(name), pieces.append)
        if fault:
            raise BundleError(f"{self.path}: {fault}; fetch the bundle again")
        return b"".join(pieces)

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def check(self) -> None:
        """Compare every file with the manifest.

        Raises:
            BundleError: naming the files that are missing, truncated, changed or not in the manifest (`_strange`).
        """
        with _Store(self.path) as store:
            self._refuse(store, [fault for name in self.files if (fault := self._fault(store, name, _drop))])

    def unpack(self, out: Path) -> None:
        """Write the manifest and every file below `out`, once all were checked. Raises BundleError as `check`."""
        with errors_of(out):
            place = TemporaryDirectory(prefix=PARTIAL, dir=_nearest(out))
        with place as folder, _Store(self.path) as store:
            written = {name: Path(folder) / str(i) for i, name in enumerate((MANIFEST, *self.files))}
            written[MANIFEST].write_bytes(_manifest(store))
            faults = []
            for name in self.files:
                with written[name].open("wb") as stream:
                    faults += [fault] if (fault := self._fault(store, name, stream.write)) else []
            self._refuse(store, faults)
            with errors_of(out):
                for parent in {(out / name).parent for name in written}:
                    parent.mkdir(parents=True, exist_ok=True)
                for name, path in written.items():
                    os.replace(path, out / name)

    def differing(self, folder: Path) -> list[str]:
        """What is wrong, by now, with the files that were unpacked to `folder`, as phrases. Others there do not matter."""
        with _Store(folder) as store:
            return [fault for name in self.files if (fault := self._fault(store, name, _drop))]

    def _strange(self, names: Iterable[str]) -> list[str]:
        """Those of the names that may not be beside the bundle's files. In a zip file nothing may; in a folder nothing where the
        files of runs, data and samples are, and all of them are the bundle's."""
        beside = [name for name in names if name not in self.files and name != MANIFEST]
        if self.path.is_file():
            return beside
        own = {name.split("/")[0] for name in self.files if "/" in name} - WRITTEN
        return [name for name in beside if name.split("/")[0] in own]

    def _fault(self, store: _Store, name: str, take: Callable[[bytes], object]) -> str | None:
        return _fault(store, name, self.files.get(name), take)

    def _refuse(self, store: _Store, faults: list[str]) -> None:
        faults = faults + [f"{name} is not in the manifest" for name in self._strange(store.names())]
        if faults:
            more = f" and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
            raise BundleError(
                f"{self.path}: {'; '.join(faults[:MAX_NAMED])}{more}; fetch the bundle again or make a new one"
            )


def _drop(piece: bytes) -> None:
    """For whoever only wants to know whether a file is right."""


def _nearest(folder: Path) -> Path:
    """The folder, or the lowest one above it that exists, as a place for files that will be moved there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def open_bundle(source: str | Path, downloads: Path = Path("artifacts/downloads")) -> Bundle:
    """The bundle at a path or URL, with `#sha256=HEX` after it if the file must have that hash; only its manifest is read.

    Args:
        source: zip file, unpacked folder, or URL of a zip file. downloads: where a file from a URL is kept; it is fetched once.

    Raises:
        BundleError: nothing is there, it is no bundle, it has another hash, or it is of a version that this code cannot read.
    """
    place, _, wanted = str(source).partition("#sha256=")
    path = _download(place, downloads, wanted) if "://" in place else Path(place)
    if not path.exists():
        raise BundleError(
            f"{place}: there is no such file or folder; name a bundle (python -m evals.artifacts.bundle make writes one)"
        )
    if wanted and path.is_file() and sha256_file(path) != wanted:
        raise BundleError(f"{path}: its sha256 is not {wanted}; fetch it again or correct the hash")
    with _Store(path) as store:
        if MANIFEST not in store.names():
            raise BundleError(
                f"{path}: it has no {MANIFEST}, so it is no bundle; make one with python -m evals.artifacts.bundle make"
            )
        return Bundle(path, parsed(_manifest(store), path))


def write_bundle(path: Path, contents: Iterable[tuple[str, bytes]], manifest: Mapping[str, Any]) -> None:
    """Write the zip file: the manifest first, then the files in the order of their names; same input, same bytes."""

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
            for name, content in [(MANIFEST, text.encode()), *sorted(contents)]:
                info = zipfile.ZipInfo(name, EPOCH)
                info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
                archive.writestr(info, content)

    replace_atomically(path, write)


class _Store:
    """The files of a zip or of a folder under one face."""

    def __init__(self, path: Path):
        self.path, self.archive = path, None
        if path.is_file():
            try:
                self.archive = zipfile.ZipFile(path)
            except zipfile.BadZipFile:
                raise BundleError(f"{path}: not a whole zip file; fetch it again") from None

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self.archive:
            self.archive.close()

    def names(self) -> list[str]:
        if self.archive:
            return self.archive.namelist()
        return sorted(str(p.relative_to(self.path).as_posix()) for p in self.path.rglob("*") if p.is_file())

    def size(self, name: str) -> int:
        """Bytes of a file. Raises KeyError or FileNotFoundError when it is missing, BadZipFile when it is packed otherwise."""
        if not self.archive:
            if (path := self.path / name).is_file():
                return path.stat().st_size
            raise FileNotFoundError(path)
        member = self.archive.getinfo(name)
        if member.compress_type not in METHODS:
            raise zipfile.BadZipFile(f"method {member.compress_type}")
        return member.file_size

    def stream(self, name: str) -> IO[bytes]:
        """Raises BadZipFile, zlib.error or RuntimeError, also while it is read, when it is damaged or encrypted."""
        return self.archive.open(name) if self.archive else (self.path / name).open("rb")


DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


def _manifest(store: _Store) -> bytes:
    """The manifest as it is written. Raises BundleError when it is damaged, or larger than any can be."""
    try:
        if (size := store.size(MANIFEST)) > MOST_BYTES:
            raise BundleError(f"{store.path}: {MANIFEST} has {size} bytes, more than {MOST_BYTES}; do not use it")
        with store.stream(MANIFEST) as stream:
            return stream.read(size)
    except DAMAGE:
        raise BundleError(f"{store.path}: {MANIFEST} is damaged; fetch the bundle again") from None


def _fault(store: _Store, name: str, entry: Mapping[str, Any] | None, take: Callable[[bytes], object]) -> str | None:
    """What is wrong with a file, as a phrase; None if nothing is. Its bytes go to `take`, in pieces, if it has as many as it
    should: a small zip can hold a file that is larger than any memory."""
    if entry is None:
        return f"{name} is not in the manifest"
    digest = hashlib.sha256()
    try:
        if (size := store.size(name)) != entry["bytes"]:
            found = f"{size} of {entry['bytes']} bytes"
            return f"{name} is truncated ({found})" if size < entry["bytes"] else f"{name} is changed ({found})"
        with store.stream(name) as stream:
            while piece := stream.read(PIECE):
                digest.update(piece)
                take(piece)
    except (KeyError, FileNotFoundError):
        return f"{name} is missing"
    except DAMAGE:
        return f"{name} is damaged"
    return (
        None if digest.hexdigest() == entry["sha256"] else f"{name} is changed (its sha256 is not that of the manifest)"
    )


def _download(url: str, downloads: Path, wanted: str) -> Path:
    """The file of a URL, fetched once and kept under a name made from the URL. Raises BundleError when it cannot be fetched.

    pooch does this too; here it is one file, in ten lines and by our own atomic write, and not worth a dependency.
    """
    key = hashlib.sha256(f"{url}#{wanted}".encode()).hexdigest()[:12]
    path = downloads / f"{key}-{PurePosixPath(urllib.parse.urlparse(url).path).name or 'bundle.zip'}"
    if path.exists():
        return path

    def fetch(temporary: Path) -> None:
        with urllib.request.urlopen(url, timeout=60) as response, temporary.open("wb") as stream:
            shutil.copyfileobj(response, stream)
        if wanted and sha256_file(temporary) != wanted:
            raise BundleError(
                f"{url}: the file's sha256 is not {wanted}; it is another bundle, or the transfer was cut"
            )

    try:
        replace_atomically(path, fetch)
    except (urllib.error.URLError, OSError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(
            f"{url}: it could not be fetched ({error}); check the address or download it by hand"
        ) from None
    return path


def is_bundle(source: str) -> bool:
    """Whether a path or URL is a bundle (rather than a study's own folder of results)."""
    path = Path(source.partition("#sha256=")[0])
    return "://" in source or path.is_file() or (path / MANIFEST).exists()
