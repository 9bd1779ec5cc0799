"""What a container really is, found from inside it: `python -m containers.proof --content IMAGE.json --out PROOF.json`.

It fails when the image is not the one that the workflow believes in, or when anything of the host is imported.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import site
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from asymgrpo.console import run
from asymgrpo.errors import FailedError

CONTENT = Path("/opt/asymgrpo/content.json")
"""Written while the image was built (containers/record.py); missing in images made otherwise."""


class ProofError(FailedError):
    """The container is not what it should be; the message says in what."""


def foreign(paths: list[str], prefixes: list[str]) -> list[str]:
    """Entries of sys.path that belong neither to the image's Python nor to the project.

    >>> foreign(["/project", "/usr/lib/python3.11", "/home/me/.local/lib"], ["/usr", "/project"])
    ['/home/me/.local/lib']
    """
    inside = [Path(prefix).resolve() for prefix in prefixes]
    return [path for path in paths if not any(Path(path).resolve().is_relative_to(prefix) for prefix in inside)]


def cuda() -> dict[str, Any]:
    """What torch sees of GPUs: their names, and the CUDA that it was built for; null where there is no torch."""
    try:
        import torch
    except ImportError:
        return {"torch": None, "cuda": None, "devices": []}
    devices = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "devices": devices}


def proof(expected: dict[str, Any]) -> dict[str, Any]:
    """Versions, content and surroundings of this container.

    Args:
        expected: what results depend on (containers.enter); {sif_sha256} of an image that does not describe itself.

    Raises:
        ProofError: no container, another image than `expected`, or a module path or user site of the host.
    """
    if "APPTAINER_CONTAINER" not in os.environ:
        raise ProofError(
            "proof: this process is in no Apptainer container; start it by the workflow with containers: apptainer."
        )
    content = json.loads(CONTENT.read_text(encoding="utf-8")) if CONTENT.exists() else {}
    told = {key: value for key, value in expected.items() if value is not None and key != "sif_sha256"}
    if any(content.get(key) != value for key, value in told.items()):
        raise ProofError(
            "proof: this image's content is not what the workflow recorded; run snakemake again, so that it looks."
        )
    strangers = foreign([path for path in sys.path if path], [sys.prefix, sys.base_prefix, os.getcwd()])
    if strangers or site.ENABLE_USER_SITE:
        raise ProofError(
            f"proof: sys.path reaches out of the image: {', '.join(strangers) or site.getusersitepackages()}."
        )
    return {
        "digest": expected,
        "content_sha256": hashlib.sha256(CONTENT.read_bytes()).hexdigest() if content else None,
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
        "packages": dict(sorted((dist.name.lower(), dist.version) for dist in importlib.metadata.distributions())),
        "gpu": cuda(),
        "sys_path": [path.replace(os.getcwd(), "<project>") for path in sys.path],
        "variables": sorted(name for name in os.environ if not name.startswith(("APPTAINER", "SINGULARITY"))),
    }


def main(
    content: Annotated[Path, typer.Option(help="JSON: what the workflow recorded of the image.")],
    out: Annotated[Path, typer.Option(help="JSON to write.")],
) -> None:
    from asymgrpo.files import write_json

    write_json(proof(json.loads(content.read_text(encoding="utf-8"))), out)


if __name__ == "__main__":
    run(main)
