"""Make the images of containers/: `python -m containers.images document | wheels | base | build | content`, each a rule.

Only `wheels` and `base` use a network: wheels are downloaded by this machine's own pip, with its configuration, and bound into
the builds, which install from nothing else. Everything is built as an ordinary user, by Apptainer's --fakeroot.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from asymgrpo import console
from asymgrpo.files import replace_atomically, whole_directory, write_json, write_text
from asymgrpo.study.sections.machine import Containers
from containers.apptainer import ImageError, apptainer, run, system_of
from containers.enter import DEFINITIONS, NAMES, Images, documents, write_content

DOCKER_IMAGE = "debian:bookworm-slim"
"""What base.def starts from, the same distribution as debootstrap's."""
PYTHON = (3, 11)
"""Of the images; wheels are downloaded for it."""
QUICK = "-comp gzip -Xcompression-level 1"
"""A tenth larger than the default, in a third of the time."""


def build_image(definition: Path, out: Path, arguments: dict[str, str], binds: list[str]) -> None:
    """Build a .sif and move it to `out` when it is whole. Apptainer tests it by the definition's %test."""
    flags = ["--fakeroot", "--force", "--mksquashfs-args", QUICK]
    for name, value in arguments.items():
        flags += ["--build-arg", f"{name}={value}"]
    for bind in binds:
        flags += ["--bind", bind]
    replace_atomically(out, lambda temporary: print(apptainer("build", *flags, str(temporary), str(definition))))


def debian_mirror() -> str:
    """The mirror that this machine's apt uses. Raises ImageError on other systems."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm"]
    found = run(
        command, "base: debootstrap needs a Debian machine; use base: docker, or give images built elsewhere."
    ).split()
    if not found:
        raise ImageError("containers: apt on this machine has no sources of Debian bookworm; use base: docker.")
    return sorted(found)[0]


def untagged(reference: str) -> str:
    """A container reference without its tag.

    >>> untagged("debian:bookworm-slim"), untagged("localhost:5000/debian")
    ('debian', 'localhost:5000/debian')
    """
    return re.sub(r":[^:/]+$", "", reference)


def docker_digest(reference: str) -> str:
    """The digest that a registry gives for a reference now, asked by skopeo."""
    remedy = "install skopeo, or write the digest into containers/base.lock.json yourself."
    return run(["skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", reference], remedy).strip()


def recorded(lock: Path, key: str, found: dict[str, str]) -> dict[str, str]:
    """Record what a base is when the lock does not say it yet, verify it when it does -> the recorded values.

    Raises:
        ImageError: the base is another one than the lock's.
    """
    known = json.loads(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    before = known.get(key, {})
    for name, value in found.items():
        if before.get(name, value) != value:
            raise ImageError(
                f"containers: the {key} base has {name} {value}, but {lock} has {before[name]}: its source has moved on. "
                f"Remove {key!r} from {lock} to accept the new base; results made in its images are then made again."
            )
    if before != before | found:
        write_json(known | {key: before | found}, lock)
    return before | found


AboutImages = Annotated[
    str, typer.Option(help="JSON: containers and results of the study (containers.enter.settings_of).")
]


def images_of(settings: str) -> Images:
    told = json.loads(settings)
    return Images.of(Containers.model_validate(told["containers"]), Path(told["results"]))


def document(
    settings: AboutImages, out: Annotated[Path, typer.Option(help="Recipe or requirements to write.")]
) -> None:
    """Write what an image is made from."""
    write_text(documents(images_of(settings))[str(out)], out)


def content(
    settings: AboutImages,
    image: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
) -> None:
    """Write what of an image the results made in it depend on."""
    write_content(images_of(settings), image, out)


def wheels(
    lock: Annotated[Path, typer.Option(help="Requirements with exact versions.")],
    out: Annotated[Path, typer.Option(help="Directory to write.")],
) -> None:
    """Download what a lock names; run where there is a network."""
    if sys.version_info[:2] != PYTHON:
        raise ImageError(
            f"containers: wheels are downloaded for Python {PYTHON[0]}.{PYTHON[1]}, but this is {sys.version.split()[0]}; run "
            "the workflow with that version, or give containers.wheels, a directory filled where there is one."
        )
    with whole_directory(out) as work:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
        run([*command, "--requirement", str(lock), "--dest", str(work)], "")


def base(
    kind: Annotated[str, typer.Option(help="docker or debootstrap.")],
    lock: Annotated[Path, typer.Option(help="Where the base is recorded, and verified ever after.")],
    out: Annotated[Path, typer.Option(help="The .sif to write.")],
    source: Annotated[str, typer.Option(help="Container image that a docker base starts from.")] = DOCKER_IMAGE,
) -> None:
    """Build the shared base, and say beside it (.json) what it is; run where there is a network."""
    if kind == "docker":
        known = (json.loads(lock.read_text(encoding="utf-8")) if lock.exists() else {}).get(kind, {})
        digest = known.get("digest") or docker_digest(f"docker://{source}")
        recorded(lock, kind, {"source": source, "digest": digest})
        definition, arguments = DEFINITIONS / "base.def", {"FROM": f"{untagged(source)}@{digest}"}
    else:
        definition, arguments = DEFINITIONS / "base-debootstrap.def", {"MIRROR": debian_mirror()}
    new = out.with_name(f".new-{out.name}")
    build_image(definition, new, arguments, [])
    try:
        record = recorded(lock, kind, {"system_sha256": system_of(new)})
        os.replace(new, out)
        write_json(record, out.with_suffix(".json"))
    finally:
        new.unlink(missing_ok=True)


def build(
    image: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")],
    base: Annotated[Path, typer.Option(help="The base's .sif.")],
    lock: Annotated[Path, typer.Option(help="Requirements with exact versions.")],
    recipe: Annotated[Path, typer.Option(help="JSON of what the image is made from (containers.enter).")],
    wheels: Annotated[Path, typer.Option(help="Directory of wheels and source archives.")],
    out: Annotated[Path, typer.Option(help="The .sif to write.")],
) -> None:
    """Build an image on the base, without a network."""
    arguments = {"BASE": str(base), "LOCK": str(lock), "RECIPE": str(recipe)}
    build_image(DEFINITIONS / f"{image}.def", out, arguments, [f"{wheels.resolve()}:/opt/asymgrpo/wheels:ro"])


if __name__ == "__main__":
    console.run(document, content, wheels, base, build)
