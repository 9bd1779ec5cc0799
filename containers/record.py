"""Runs inside of each image at the end of its build: says what is in it, and fails when that is not what the lock says.

`record.py requirements.lock recipe.json content.json`. Only the standard library. What is written depends on what is installed
and on nothing else, so two builds of one lock on one base write the same bytes.
"""

import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

TOOLS = {"pip", "setuptools", "wheel"}
"""What an environment may have beyond its lock."""


def plain(name: str) -> str:
    """A distribution's name as PyPI compares it.

    >>> plain("Math_Verify")
    'math-verify'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, str]:
    """Name -> version of a lock's `name==version` lines.

    >>> locked("# comment\\nnumpy==2.3.5 \\\\\\n    --hash=sha256:00\\nA_b==1\\n")
    {'numpy': '2.3.5', 'a-b': '1'}
    """
    return {
        plain(name): version
        for name, version in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.MULTILINE)
    }


def differences(wanted: dict[str, str], installed: dict[str, str]) -> list[str]:
    """How an environment differs from its lock, one phrase each. A local label (2.13.0+cpu) does not count.

    >>> differences({"torch": "2.13.0", "numpy": "2"}, {"torch": "2.13.0+cpu", "numpy": "1", "pip": "23", "six": "1"})
    ['numpy is 1, locked is 2', 'six is not in the lock']
    """
    found = [
        f"{name} is {installed.get(name, 'missing')}, locked is {version}"
        for name, version in wanted.items()
        if installed.get(name, "").split("+")[0] != version.split("+")[0]
    ]
    return found + [
        f"{name} is not in the lock" for name in sorted(installed) if name not in wanted and name not in TOOLS
    ]


def system_packages() -> str:
    """Debian's packages with versions, sorted, one a line."""
    command = ["dpkg-query", "--show", "--showformat", "${Package}=${Version}\\n"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    return "\n".join(sorted(listed.splitlines())) + "\n"


def main(lock: Path, recipe: Path, out: Path) -> None:
    installed = {plain(dist.name): dist.version for dist in importlib.metadata.distributions()}
    if wrong := differences(locked(lock.read_text(encoding="utf-8")), installed):
        sys.exit("image: the environment is not what its lock says: " + "; ".join(wrong) + ".")
    content = {
        "recipe_sha256": hashlib.sha256(recipe.read_bytes()).hexdigest(),
        "python": platform.python_version(),
        "python_packages": dict(sorted(installed.items())),
        "system_sha256": hashlib.sha256(system_packages().encode()).hexdigest(),
    }
    out.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
