"""The environment of requirements/gpu.lock by itself, as JSON: files of two packages, unmet needs, failed imports."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import subprocess
import sys
from collections import defaultdict

PACKAGES = ("asymgrpo", "evals")
LIBRARIES = (
    "vllm",
    "vllm.entrypoints.llm",
    "lm_eval",
    "lm_eval.models.vllm_causallms",
    "deepspeed",
    "transformers",
    "math_verify",
)


def main() -> None:
    os.environ["DS_ACCELERATOR"] = "cpu"
    told = {"shared": shared_files(), "unmet": unmet_needs(), "not_imported": not_imported()}
    print(json.dumps(told | {"packages": len(list(importlib.metadata.distributions()))}))


def shared_files() -> list[str]:
    """Paths in the RECORD of more than one package: which one's file is there is chance."""
    owners = defaultdict(set)
    for package in importlib.metadata.distributions():
        for path in package.files or ():
            owners[str(path)].add(package.name)
    return [f"{path}: {', '.join(sorted(names))}" for path, names in sorted(owners.items()) if len(names) > 1]


def unmet_needs() -> list[str]:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else done.stdout.splitlines()


def not_imported() -> list[str]:
    """All modules of ours, and the libraries that they import when they need them."""
    names = [*LIBRARIES, *PACKAGES]
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        names += [found.name for found in pkgutil.walk_packages(folder, f"{package}.")]
    wrong = []
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # a program that runs when it is imported exits
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return wrong


if __name__ == "__main__":
    main()
