"""Calls of Apptainer, and what an image says of itself."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from asymgrpo.errors import FailedError
from asymgrpo.files import sha256_file

CONTENT = "/opt/asymgrpo/content.json"
"""What an image says of itself, inside of it (containers/record.py)."""
CLOSED = ("--cleanenv", "--contain", "--no-home")


class ImageError(FailedError):
    """An image cannot be made; the message says what is missing and what to do."""


def run(command: list[str], missing: str) -> str:
    """The standard output of a command whose errors go to the log. Raises ImageError; `missing` says how to get the program."""
    if not shutil.which(command[0]):
        raise ImageError(f"containers: {command[0]} is not on PATH; {missing}")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, encoding="utf-8", errors="replace")
    if done.returncode:
        raise ImageError(f"containers: `{command[0]} {command[1]}` failed with exit code {done.returncode}; see above.")
    return done.stdout


def apptainer(*arguments: str) -> str:
    return run(["apptainer", *arguments], "load or install Apptainer 1.2 or newer, or set containers to none.")


@functools.cache
def content_of(sif: Path) -> dict[str, str]:
    """What results in an image depend on (containers.enter.content_text). Raises ImageError."""
    listed = apptainer("--silent", "exec", *CLOSED, str(sif), "sh", "-c", f"cat {CONTENT} 2> /dev/null || true")
    if not listed.strip():
        return {"sif_sha256": sha256_file(sif)}
    said = json.loads(listed)
    return {name: said[name] for name in ("recipe_sha256", "system_sha256")}


def system_of(sif: Path) -> str:
    """sha256 of an image's Debian packages with versions, as containers/record.py takes it. Raises ImageError."""
    query = ("dpkg-query", "--show", "--showformat", "${Package}=${Version}\\n")
    packages = apptainer("--silent", "exec", *CLOSED, str(sif), *query)
    return hashlib.sha256(("\n".join(sorted(packages.splitlines())) + "\n").encode()).hexdigest()
