"""How a job enters its image: what the image is made from, what of it the results depend on, and the prefix of a command.

The project's code is not in an image: the working directory is bound into it, so that an edited line needs no build. What the
results depend on is the image's content (lock, definition, base), as a small JSON file that is known before the image is built.
The image file is no input of a job: Snakemake would make results again whenever the file was, and `ancient` hides other reasons
to run a job when its producer runs (9.27). Images are made before the first job instead (workflow.ready).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asymgrpo.config import Containers, Study
from asymgrpo.files import write_text
from workflow import common

IMAGES = ("train", "evaluate", "report")
DEFINITIONS = Path("containers")
REPORT_LOCK = Path("requirements/report.lock")
CONTENT = "/opt/asymgrpo/content.json"
"""What an image says of itself, inside of it (containers/record.py)."""
PURPOSES = {
    "fetch": ("train", True),
    "train": ("train", True),
    "sample": ("evaluate", True),
    "evaluate": ("evaluate", False),
    "report": ("report", False),
}
"""Word after PYTHON_IN in a rule -> image, and whether the job computes on a GPU where the study has GPUs."""
FORWARDED = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_RESTART_COUNT")
"""Variables of a job that its container gets as well."""


CACHES = {"XDG_CACHE_HOME": "/tmp", "MPLCONFIGDIR": "/tmp/matplotlib", "TRITON_CACHE_DIR": "/tmp/triton"}
"""Where libraries may write what they make for themselves; a container has no home."""


class Images:
    """Where the images of a study lie, and what they are made from."""

    def __init__(self, study: Study):
        self.settings = study.containers
        self.root = f"{study.results}/config/images"
        self.content = f"{self.root}/{{image}}.json"
        built = DEFINITIONS / "built"
        self.base = f"{built}/{self.settings.base}/base.sif"
        self.base_recipe = f"{built}/{self.settings.base}/base.recipe.json"
        self.base_record = f"{built}/{self.settings.base}/base.json"
        self.wheels = f"{built}/wheels/{{lock}}"
        self.requirements = f"{built}/wheels/{{lock}}.txt"
        self._folder = built / f"{self.settings.base}-{self.settings.lock.stem}"

    @property
    def on(self) -> bool:
        return self.settings.mode == "apptainer"

    @property
    def to_build(self) -> list[str]:
        """Images that no path is given for."""
        return [image for image in IMAGES if self.on and image not in self.settings.images]

    def lock(self, image: str) -> Path:
        return REPORT_LOCK if image == "report" else self.settings.lock

    def sif(self, image: str) -> str:
        """The image file, given or to be built."""
        return str(dict[str, Path](self.settings.images.items()).get(image, self.built(image)))

    def built(self, image: str) -> str:
        return f"{self._folder}/{image}.sif"

    def recipe(self, image: str) -> str:
        """File of what the image is made from; it lies beside the image, studies share both."""
        return f"{self._folder}/{image}.recipe.json"

    def wheels_of(self, image: str) -> str:
        """Directory of wheels of the image's lock: the configured one, or what is downloaded."""
        return str(self.settings.wheels or self.wheels.format(lock=self.lock(image).stem))

    def requirements_of(self, image: str) -> str:
        """The lines that matter of the image's lock, as a file for pip."""
        return self.requirements.format(lock=self.lock(image).stem)

    def inputs(self, image: str) -> list[str]:
        """What a job in the image depends on: nothing without containers."""
        return [self.content.format(image=image)] if self.on else []


def significant(text: str) -> list[str]:
    """Lines that matter: a comment or an empty line changes no image.

    >>> significant("# why\\nFrom: x\\n\\n%post\\n    true # note\\n")
    ['From: x', '%post', 'true']
    """
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def base_recipe(settings: Containers) -> dict[str, Any]:
    name = {"docker": "base.def", "debootstrap": "base-debootstrap.def"}[settings.base]
    return {"base": settings.base, "definition": significant((DEFINITIONS / name).read_text(encoding="utf-8"))}


def recipe(settings: Containers, image: str, lock: list[str]) -> dict[str, Any]:
    """What an image is made from: the lines that matter of its base, its definition, its scripts and its lock (`lock`)."""
    texts = {
        name: (DEFINITIONS / name).read_text(encoding="utf-8") for name in (f"{image}.def", "install.sh", "record.py")
    }
    return {
        "base": base_recipe(settings),
        "definition": {name: significant(text) for name, text in texts.items()},
        "lock": lock,
    }


def write_recipes(images: Images) -> None:
    """Write what the images to be built are made from, each file only if it changed."""
    for image in images.to_build:
        lines = significant(images.lock(image).read_text(encoding="utf-8"))
        write_text_if_changed(Path(images.requirements_of(image)), "\n".join(lines) + "\n")
        write_if_changed(Path(images.recipe(image)), recipe(images.settings, image, lines))
    if images.to_build:
        write_if_changed(Path(images.base_recipe), base_recipe(images.settings))


def write_contents(images: Images) -> None:
    """Write what results in each image depend on, only if it changed: {recipe_sha256, system_sha256}.

    Of an image to be built the system (Debian's packages, from the base) is null until the base is there; `workflow.ready` calls
    this once more then. A given image is asked again when its file's size or time changed.
    """
    for image in IMAGES if images.on else ():
        out = Path(images.content.format(image=image))
        if image in images.to_build:
            record = Path(images.base_record)
            system = json.loads(record.read_text(encoding="utf-8"))["system_sha256"] if record.exists() else None
            recipe_sha256 = hashlib.sha256(Path(images.recipe(image)).read_bytes()).hexdigest()
            write_if_changed(out, {"recipe_sha256": recipe_sha256, "system_sha256": system})
        else:
            write_given(Path(images.sif(image)), out)


def write_given(sif: Path, out: Path) -> None:
    """The same of an image given by path; {sif_sha256} of one that other definitions made."""
    seen = out.with_suffix(".seen")
    stamp = f"{sif.resolve()} {sif.stat().st_size} {sif.stat().st_mtime_ns}\n"
    if not (out.exists() and seen.exists() and seen.read_text(encoding="utf-8") == stamp):
        from workflow.images import content_of

        write_if_changed(out, content_of(sif))
        write_text(stamp, seen)


def write_if_changed(path: Path, value: Any) -> None:
    write_text_if_changed(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_text_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(text, path)


def declared_binds(study: Study, here: Path) -> list[str]:
    """Folders that a job sees: the working directory, results and checkpoints where they lie outside of it, the data (to read).

    A folder that is missing is made, since a bind needs one.
    """
    binds = [str(here)]
    for folder in (study.results, study.checkpoints):
        place = (here / folder).resolve()
        if not place.is_relative_to(here.resolve()):
            (here / folder).mkdir(parents=True, exist_ok=True)
            binds += dict.fromkeys([str(here / folder), str((here / folder).resolve())])
    if study.data.dir:
        data = here / study.data.dir
        binds.append(f"{data.resolve()}:{os.path.normpath(data)}:ro")
    return binds


STRICT = "set -euo pipefail; "
"""Snakemake's own prelude, which `shell.prefix` replaces: without it a failing command before `| tee` counts as success."""


def shell_prelude(images: Images) -> str:
    """What every shell command starts with, so that a closed container still gets FORWARDED.

    Apptainer passes NAME on when APPTAINERENV_NAME is set. It happens before a launcher starts ranks, which may then set others.
    """
    if not images.on:
        return STRICT
    words = (f'[ -z "${{{{{name}+x}}}}" ] || export APPTAINERENV_{name}="${name}"; ' for name in FORWARDED)
    return STRICT + "".join(words)  # braces are doubled: Snakemake formats it


def prefixes(study: Study, images: Images) -> dict[str, str]:
    """The words before a module's name in a job's command, for each of PURPOSES; on the host when there are no containers.

    Only `fetch` may ask the hub, and only when the study takes something from there: its rules then run on the head node.
    """
    hub = study.data.source == "hub" or any(study.models[name].kind == "hub" for name in study.study.models)
    found = {}
    for purpose, (image, computes) in PURPOSES.items():
        variables = common.variables(offline=not (hub and purpose == "fetch"))
        nv = computes and study.machine.has_gpus
        found[purpose] = (
            container_prefix(study, images.sif(image), nv, variables) if images.on else common.host_prefix(variables)
        )
    return found


def container_prefix(study: Study, sif: str, nv: bool, variables: Mapping[str, str]) -> str:
    """In a container no variable, home or folder of the host is seen but what is named here.

    /dev/shm and the node's scratch folder (as /tmp) are named, since ranks and compilers need more than the few megabytes in
    memory that an administrator may have left to closed containers.
    """
    here = Path.cwd()
    words = ["apptainer", "--silent", "exec", "--cleanenv", "--contain", "--no-home"]
    words += ["--nv"] if nv else []
    first = f'{shlex.join(words)} --bind "${{TMPDIR:-/tmp}}:/tmp"'  # before the others, which may lie below it
    words = ["--pwd", str(here)]
    for bind in ["/dev/shm", *declared_binds(study, here)]:
        words += ["--bind", bind]
    for name, value in (dict(variables) | CACHES).items():
        words += ["--env", f"{name}={value}"]
    return f"{first} {shlex.join([*words, sif])} python -W ignore -m"
