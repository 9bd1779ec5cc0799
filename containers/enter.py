"""From a definition to the job that runs in it: what an image is made from, what of it results depend on, how a job enters it.

1. containers/train.def, evaluate.def and report.def, with a lock from requirements/, say what is in an image; the project's code
   is not: the working directory is bound into it, so that an edited line needs no build.
2. `documents` collects the lines that matter. `content_text` makes of them a JSON file before anything is built; it
   is an input of every job in the image (`Images.inputs`): results depend on what an image holds, not on its file.
3. A rule starts its command with PYTHON_IN[word]; PURPOSES says which image that is, and `prefixes` makes the beginning.
4. Before the first job workflow.ready.make looks which images commands enter. The rules base_image, wheels and image make the
   missing ones, in a second call of snakemake. They are no target of the first call, because only an input is made before its
   job, and an image file as input makes results again whenever it is rebuilt; `ancient` would prevent that, but hides other
   reasons to run a job when its producer runs (9.27).
5. The rule prove runs containers.proof inside each image: it fails if the image is not the one that was recorded.
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

from asymgrpo import surroundings
from asymgrpo.files import write_text
from asymgrpo.study.config import Study
from asymgrpo.study.sections.machine import Containers
from asymgrpo.surroundings import EXPECTS_GPU
from asymgrpo.training.rendezvous import INTO_CONTAINER, PER_TASK, PER_TASK_PREFIXES
from containers import host
from containers.apptainer import content_of

NAMES = ("train", "evaluate", "report")
DEFINITIONS = Path("containers")
REPORT_LOCK = Path("requirements/report.lock")
PURPOSES = {
    "fetch": ("train", True),
    "train": ("train", True),
    "sample": ("evaluate", True),
    "evaluate": ("evaluate", False),
    "report": ("report", False),
}
"""Word after PYTHON_IN in a rule -> image, and whether the job computes on a GPU where the study has GPUs."""
EXPECT_GPUS = ("train", "sample")
"""Of PURPOSES: those whose rules ask for GPUs where the study has them, so that a job which sees none must not begin."""
FORWARDED = ("OMP_NUM_THREADS", *PER_TASK, "SLURM_JOB_ID", "SLURM_RESTART_COUNT")
"""Variables of a job that its container gets as well; with those of PER_TASK_PREFIXES, and of these a rank gets its own again."""
INFINIBAND = "/dev/infiniband"
"""Adapters of a fast network, which NCCL opens as files: without them it falls back to sockets without a word."""

OWN_FOLDER = "/tmp/" + surroundings.OWN.format(user="$UID", job=f"${{SLURM_JOB_ID:-{surroundings.NO_JOB}}}")
"""The job's own folder as its container sees it, for the shell that starts it; a container has no home."""


class Images:
    """Where the images of a study lie, and what they are made from."""

    def __init__(self, study: Study):
        self._lie_in(study.containers, study.results)

    @classmethod
    def of(cls, settings: Containers, results: Path) -> Images:
        """The same without the rest of the study."""
        images = cls.__new__(cls)
        images._lie_in(settings, results)
        return images

    def _lie_in(self, settings: Containers, results: Path) -> None:
        self.settings, self.results = settings, results
        self.root = f"{results}/config/images"
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
        return [image for image in NAMES if self.on and image not in self.settings.images]

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


def settings_of(images: Images) -> dict[str, Any]:
    """What a command needs to know of the images of a study (`Images.of`)."""
    return {"containers": images.settings.model_dump(mode="json"), "results": str(images.results)}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def text_of(value: Any) -> str:
    """A value as the text of a recipe or content file."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def requirements_text(images: Images, image: str) -> str:
    """The lines of an image's lock that matter, for pip."""
    return "\n".join(significant(images.lock(image).read_text(encoding="utf-8"))) + "\n"


def recipe_text(images: Images, image: str) -> str:
    """What an image to be built is made from, as its recipe file says it."""
    return text_of(recipe(images.settings, image, significant(images.lock(image).read_text(encoding="utf-8"))))


def documents(images: Images) -> dict[str, str]:
    """File -> text of everything that says what the images to be built are made from; they lie beside the images."""
    found = {}
    for image in images.to_build:
        found[images.requirements_of(image)] = requirements_text(images, image)
        found[images.recipe(image)] = recipe_text(images, image)
    if found:
        found[images.base_recipe] = text_of(base_recipe(images.settings))
    return found


def content_text(images: Images, image: str) -> str:
    """What results in an image depend on: {recipe_sha256, system_sha256}; {sif_sha256} of an image that other definitions made.

    Of an image to be built the system (Debian's packages, from the base) is null until the base is there. A given image is asked
    once; it is asked again when its file's size or date has changed.
    """
    if image in images.to_build:
        record = Path(images.base_record)
        system = json.loads(record.read_text(encoding="utf-8"))["system_sha256"] if record.exists() else None
        recipe_sha256 = digest(recipe_text(images, image))
        return text_of({"recipe_sha256": recipe_sha256, "system_sha256": system})
    sif, written = Path(images.sif(image)), Path(images.content.format(image=image))
    seen = written.with_suffix(".seen")
    if written.exists() and seen.exists() and seen.read_text(encoding="utf-8") == stamp(sif):
        return written.read_text(encoding="utf-8")
    return text_of(content_of(sif))


def stamp(sif: Path) -> str:
    """What tells a file from a newer one without reading it."""
    return f"{sif.resolve()} {sif.stat().st_size} {sif.stat().st_mtime_ns}\n"


def changed_content(images: Images, image: str) -> str | None:
    """The text that an existing content file should have, if it has another; null for a missing base counts as none."""
    written = Path(images.content.format(image=image))
    if not written.exists():
        return None
    before, now = (json.loads(text) for text in (written.read_text(encoding="utf-8"), content_text(images, image)))
    unknown = {key for key, value in now.items() if value is None} | {
        key for key, value in before.items() if value is None
    }
    same = before.keys() == now.keys() and all(before[key] == now[key] for key in now.keys() - unknown)
    return None if same else text_of(now)


def write_content(images: Images, image: str, out: Path) -> None:
    """Write what results in an image depend on; of a given image also when it was asked."""
    write_text(content_text(images, image), out)
    if image not in images.to_build:
        write_text(stamp(Path(images.sif(image))), out.with_suffix(".seen"))


def declared_binds(study: Study, here: Path) -> list[str]:
    """Folders that a job sees: the working directory, results and checkpoints that lie outside of it, the data (to read)."""
    binds = [str(here)]
    for folder in (study.results, study.checkpoints):
        place = (here / folder).resolve()
        if not place.is_relative_to(here.resolve()):
            binds += dict.fromkeys([str(here / folder), str((here / folder).resolve())])
    if study.data.dir:
        data = here / study.data.dir
        binds.append(f"{data.resolve()}:{os.path.normpath(data)}:ro")
    return binds


def make_bound_folders(study: Study) -> None:
    """Make the folders of results and checkpoints that are missing: a bind needs them."""
    for folder in (study.results, study.checkpoints):
        folder.mkdir(parents=True, exist_ok=True)


STRICT = "set -euo pipefail; "
"""Snakemake's own prelude, which `shell.prefix` replaces: without it a failing command before `| tee` counts as success."""


def shell_prelude(images: Images) -> str:
    """What every shell command starts with, so that a closed container still gets FORWARDED.

    Apptainer passes NAME on when APPTAINERENV_NAME is set. It happens before a launcher starts ranks, which may then set others.
    """
    if not images.on:
        return STRICT
    words = [f'[ -z "${{{name}+x}}" ] || export {INTO_CONTAINER}{name}="${name}"; ' for name in FORWARDED]
    many = " ".join(f"${{!{prefix}@}}" for prefix in PER_TASK_PREFIXES)
    words += [f'for name in {many}; do export "{INTO_CONTAINER}$name=${{!name}}"; done; ']
    return STRICT + "".join(words).replace("{", "{{").replace("}", "}}")  # Snakemake formats it


def prefixes(study: Study, images: Images) -> dict[str, str]:
    """The words before a module's name in a job's command, for each of PURPOSES; on the host when there are no containers.

    Only `fetch` may ask the hub, and only when the study takes something from there: its rules then run on the head node.
    """
    hub = study.data.source == "hub" or any(study.models[name].kind == "hub" for name in study.study.models)
    found = {}
    for purpose, (image, computes) in PURPOSES.items():
        variables = host.variables(offline=not (hub and purpose == "fetch"))
        nv = computes and study.machine.has_gpus
        expected = [EXPECTING] if study.machine.has_gpus and purpose in EXPECT_GPUS else []
        found[purpose] = (
            container_prefix(study, images.sif(image), nv, variables, expected)
            if images.on
            else host.host_prefix(variables, expected)
        )
    return found


PROVED_AS = {"train": "train", "evaluate": "sample", "report": "report"}
"""Image -> the purpose that asks most of it: what is proved has GPUs, if any job in it has."""


class Proof:
    """The prefix of a command that proves an image, as a format: `f"{proof:train}"`. Only there Snakemake fills in wildcards.

    >>> f"{Proof({'sample': 'python -m', 'report': 'python3 -m'}):evaluate}"
    'python -m'
    """

    def __init__(self, prefixes: Mapping[str, str]):
        self.prefixes = prefixes

    def __format__(self, image: str) -> str:
        return self.prefixes[PROVED_AS[image]]


EXPECTING = f'"{EXPECTS_GPU}=${{{EXPECTS_GPU}:-1}}"'
"""For a shell: the job is told that it has GPUs, unless whoever started the workflow has said otherwise."""


def container_prefix(study: Study, sif: str, nv: bool, variables: Mapping[str, str], for_shell: list[str]) -> str:
    """In a container no variable, home or folder of the host is seen but what is named here.

    `variables` as they are; `for_shell`: NAME=VALUE in double quotes, which the shell that starts the container fills in.

    /dev/shm and the node's scratch folder (as /tmp) are named, since ranks and compilers need more than the few megabytes in
    memory that an administrator may have left to closed containers.
    """
    here = Path.cwd()
    words = ["apptainer", "--silent", "exec", "--cleanenv", "--contain", "--no-home"]
    words += ["--nv"] if nv else []
    first = f'{shlex.join(words)} --bind "${{TMPDIR:-/tmp}}:/tmp"'  # before the others, which may lie below it
    first += f" $([ ! -e {INFINIBAND} ] || echo --bind {INFINIBAND})" if nv else ""
    own = [f'"{name}={folder}"' for name, folder in surroundings.folders(OWN_FOLDER).items()]
    first += "".join(f" --env {word}" for word in [*own, *for_shell])
    words = ["--pwd", str(here)]
    for bind in ["/dev/shm", *declared_binds(study, here)]:
        words += ["--bind", bind]
    for name, value in (dict(variables) | surroundings.VLLM).items():
        words += ["--env", f"{name}={value}"]
    return f"{first} {shlex.join([*words, sif])} python -W ignore -m"
