"""What a model directory must be before anything expensive reads it: judged from its small files and the headers of its weights.

Every finding is one sentence for the user (ModelError). Loading, training and sampling ask first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from asymgrpo.errors import ModelError
from asymgrpo.readers import read_object

MAKE_AGAIN = "make the model again, or fetch it again"
FAMILIES = {"qwen2": (False, True), "qwen3": (True, False), "llama": (False, False), "olmo3": (True, False)}
"""model_type -> (norms on queries and keys, biases on queries, keys and values). Their tensors are checked one by one."""
KINDS = {"F64", "F32", "F16", "BF16"}
"""Types of safetensors that hold weights as plain numbers."""
IGNORED = ("rotary_emb.inv_freq",)
"""Tensors of old files that every reader computes itself."""
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class Header(NamedTuple):
    """One tensor as its file announces it."""

    file: Path
    kind: str
    shape: tuple[int, ...]


def check_model(directory: str | Path, template: str | None = None, engine: str | None = None) -> None:
    """Raise ModelError, DataError or PromptError unless the directory holds a model that can be trained and sampled.

    Args:
        template: the prompt template that will be used, None if it is not known yet.
        engine: torch or vllm, None if it is not known yet: the torch sampler knows four families of models.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model directory; make it with python -m asymgrpo.models.load.")
    config = read_config(folder)
    if engine == "torch":
        from asymgrpo.models.architecture import check_sampled

        check_sampled(config, folder)
    check_weights(folder, config)
    check_tokenizer(folder, config, template)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a language model with plain weights."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} is not a model directory: config.json is missing; {MAKE_AGAIN}.")
    config = read_object(path)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"{path}: it names no model_type; {MAKE_AGAIN}.")
    if config.get("quantization_config"):
        raise ModelError(
            f"{path}: the weights are quantised and cannot be trained; use the model that they were made from."
        )
    dtype = config.get("dtype", config.get("torch_dtype"))
    if dtype not in (None, "auto", "float64", "float32", "float16", "bfloat16"):
        raise ModelError(f"{path}: dtype {dtype!r} is no type of weights; write float32, float16 or bfloat16.")
    if config["model_type"] in FAMILIES:
        _check_sizes(config, path)
    return config


SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    "max_position_embeddings",
)


def _check_sizes(config: Mapping[str, Any], path: Path) -> None:
    for name in (*SIZES, *(name for name in ("num_key_value_heads", "head_dim") if config.get(name) is not None)):
        value = config.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(f"{path}: {name} is {value!r}, not a whole number from 1; {MAKE_AGAIN}.")
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    if heads % kv_heads:
        raise ModelError(f"{path}: {heads} attention heads cannot share {kv_heads} key heads evenly; {MAKE_AGAIN}.")
    if (config.get("head_dim") or config["hidden_size"] // heads) % 2:
        raise ModelError(f"{path}: heads of an odd size cannot be rotated by position; {MAKE_AGAIN}.")


def headers(folder: Path) -> dict[str, Header]:
    """Name -> header of all tensors in the safetensors files, which are as long as their headers say."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} is not a model directory: it has no safetensors file; {MAKE_AGAIN}.")
    _check_index(folder, {path.name for path in files})
    found: dict[str, Header] = {}
    for path in files:
        try:
            with safe_open(path, framework="numpy") as stream:
                for name in stream.keys():  # noqa: SIM118 - not a dictionary
                    part = stream.get_slice(name)
                    if name in found:
                        raise ModelError(f"{path}: {name} is also in {found[name].file.name}; {MAKE_AGAIN}.")
                    found[name] = Header(path, part.get_dtype(), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: the file is cut short or damaged ({error}); {MAKE_AGAIN}.") from None
    return found


def _check_index(folder: Path, files: set[str]) -> None:
    path = folder / "model.safetensors.index.json"
    if not path.is_file():
        return
    listed = read_object(path, ["weight_map"])["weight_map"]
    missing = sorted(set(listed.values()) - files) if isinstance(listed, dict) else [str(listed)]
    if missing:
        raise ModelError(f"{folder / missing[0]} is missing, although {path.name} names it; {MAKE_AGAIN}.")


def check_weights(folder: Path, config: Mapping[str, Any]) -> None:
    """The weight files against config.json: types, the output head, and for known families every name and shape."""
    found = headers(folder)
    for name, header in found.items():
        if header.kind not in KINDS:
            raise ModelError(
                f"{header.file}: {name} has type {header.kind}, not a floating-point type; use plain weights."
            )
    _check_head(folder, config, found)
    if config["model_type"] in FAMILIES:
        _check_shapes(folder, expected_shapes(config), found)


def _check_head(folder: Path, config: Mapping[str, Any], found: Mapping[str, Header]) -> None:
    if config["model_type"] not in FAMILIES:
        return
    tied = tied_head(config)
    if not tied and HEAD not in found:
        raise ModelError(
            f"{folder}: config.json says that the output head is not tied to the embedding, but the weights have no {HEAD}; "
            f"set tie_word_embeddings to true if it is tied, else {MAKE_AGAIN}."
        )
    if tied and HEAD in found and EMBEDDING in found and not _equal(found, HEAD, EMBEDDING):
        raise ModelError(
            f"{folder}: config.json says that the output head is tied to the embedding, but {HEAD} is another tensor than "
            f"{EMBEDDING}; set tie_word_embeddings to false, or {MAKE_AGAIN}."
        )


def tied_head(config: Mapping[str, Any]) -> bool:
    """Whether the output head is the embedding; the known families have their own where config.json does not say."""
    return bool(config.get("tie_word_embeddings", False))


def _equal(found: Mapping[str, Header], one: str, other: str) -> bool:
    import torch
    from safetensors import safe_open

    tensors = []
    for name in (one, other):
        with safe_open(found[name].file, framework="pt") as stream:
            tensors.append(stream.get_tensor(name))
    return torch.equal(*tensors)


def expected_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of a model of the known families, a tied head left out."""
    qk_norm, qkv_bias = FAMILIES[config["model_type"]]
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    queries, keys = heads * width, (config.get("num_key_value_heads") or heads) * width
    everywhere = config["model_type"] != "qwen2" and bool(config.get("attention_bias"))
    mlp_bias = config["model_type"] == "llama" and bool(config.get("mlp_bias"))
    projections = {
        "self_attn.q_proj": (queries, hidden, qkv_bias or everywhere),
        "self_attn.k_proj": (keys, hidden, qkv_bias or everywhere),
        "self_attn.v_proj": (keys, hidden, qkv_bias or everywhere),
        "self_attn.o_proj": (hidden, queries, everywhere),
        **{f"mlp.{name}_proj": (inner, hidden, mlp_bias) for name in ("gate", "up")},
        "mlp.down_proj": (hidden, inner, mlp_bias),
    }
    layer: dict[str, tuple[int, ...]] = {f"{name}.weight": shape[:2] for name, shape in projections.items()}
    layer |= {f"{name}.bias": (rows,) for name, (rows, _, bias) in projections.items() if bias}
    olmo3 = config["model_type"] == "olmo3"  # it normalises what a block gives, and queries and keys over all heads
    norms = ("post_attention_layernorm", "post_feedforward_layernorm" if olmo3 else "input_layernorm")
    layer |= {f"{name}.weight": (hidden,) for name in norms}
    normed = {"q": queries, "k": keys} if olmo3 else {"q": width, "k": width}
    layer |= {f"self_attn.{x}_norm.weight": (size,) for x, size in normed.items() if qk_norm}
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for i in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
    return shapes if tied_head(config) else shapes | {HEAD: (config["vocab_size"], hidden)}


def _check_shapes(folder: Path, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, Header]) -> None:
    missing = [name for name in expected if name not in found]
    if missing:
        raise ModelError(
            f"{folder}: the weights lack {_some(missing)}, which config.json describes (they would be random); {MAKE_AGAIN}."
        )
    odd = [name for name in found if name not in expected and name != HEAD and not name.endswith(IGNORED)]
    if odd:
        raise ModelError(
            f"{folder}: config.json does not describe {_some(odd)}, which the weights have and would lose; {MAKE_AGAIN}."
        )
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise ModelError(
                f"{found[name].file}: {name} has shape {list(found[name].shape)}, config.json says {list(shape)}; {MAKE_AGAIN}."
            )


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def check_tokenizer(folder: Path, config: Mapping[str, Any], template: str | None) -> None:
    """The tokenizer fits the model, there is an end token, and the template can be filled in."""
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.tasks.prompts import render

    tokenizer = load_tokenizer(folder)
    largest, size = max(tokenizer.get_vocab().values(), default=-1), config.get("vocab_size")
    if largest < 0:
        raise ModelError(f"{folder / 'tokenizer.json'}: it has no tokens; {MAKE_AGAIN}.")
    if isinstance(size, int) and largest >= size:
        raise ModelError(
            f"{folder}: the tokenizer has tokens up to number {largest}, config.json a vocabulary of {size}; is it another "
            f"model's tokenizer? {MAKE_AGAIN.capitalize()}."
        )
    end_tokens(folder, tokenizer, size if isinstance(size, int) else None)
    if template is not None:
        render(template, "1 + 1", tokenizer)


def end_tokens(folder: Path, tokenizer: Any, size: int | None) -> list[int]:
    """Ids of the tokens that end a response: those of generation_config.json, else the tokenizer's one.

    Raises ModelError when there is none, or when one is no token of a vocabulary of `size`.
    """
    path = folder / "generation_config.json"
    listed = read_object(path).get("eos_token_id") if path.exists() else None
    place = path.name if listed is not None else "the tokenizer"
    if listed is None:
        listed = tokenizer.eos_token_id
    ids: Iterable[Any] = listed if isinstance(listed, list) else [listed]
    ends = [i for i in ids if i is not None]
    if not ends:
        raise ModelError(
            f"{folder}: neither generation_config.json nor the tokenizer names an end token, and no response would end before "
            "the limit; set eos_token_id in generation_config.json."
        )
    for i in ends:
        if isinstance(i, bool) or not isinstance(i, int) or i < 0 or (size is not None and i >= size):
            of = "" if size is None else f" of the model's {size}"
            raise ModelError(f"{folder}: the end token {i!r} in {place} is no token{of}; correct eos_token_id.")
    return sorted(set(ends))
