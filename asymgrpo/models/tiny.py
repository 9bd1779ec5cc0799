"""The tiny base model: Qwen3, Llama or Olmo3 trained on flawed chains of thought, so that RLVR has paths to lose and gain.

Part of the texts slip at a known rate per step (asymgrpo.tasks.chain_sum): a model that imitates them well is right about half
of the time at temperature 1 and keeps several styles. `python -m asymgrpo.models.tiny --spec SPEC --out DIR` takes 65 to
90 s on one core. With one thread every run gives the same bytes on one kind of CPU; another kind (AVX2 or AVX-512, another maker)
adds in another order and gives other bytes and a model that is as good.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asymgrpo.console import run
from asymgrpo.study.tiny_spec import SpecError, TinySpec, parse_spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CLASSES = {"qwen3": "Qwen3", "llama": "Llama", "olmo3": "Olmo3"}
"""Architecture -> what transformers' classes begin with."""
WINDOWS = 16
"""Olmo3's windows are so small a part of its positions: 4,096 of 65,536 in Olmo-3-1025-7B."""


def build_model(spec: TinySpec, tokenizer: PreTrainedTokenizerFast) -> Any:
    """Freshly initialised model of the spec's architecture, in float32.

    Embeddings are not tied: a tied output head costs a fix in some inference engines after a weight update, and untying adds
    only vocabulary x hidden parameters (2,352 at hidden size 112). Initial standard deviation 1/sqrt(hidden): transformers'
    0.02 is meant for widths in the thousands and learns far more slowly here.
    """
    import torch
    import transformers

    name = CLASSES[spec.architecture]
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(tokenizer),
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        head_dim=spec.head_dim,
        initializer_range=spec.hidden_size**-0.5,
        max_position_embeddings=spec.max_positions,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
        **(windows(spec) if spec.architecture == "olmo3" else {}),
    )
    with torch.random.fork_rng(devices=[]):
        # transformers draws initial weights from torch's global generator: seeded inside the fork, restored after it.
        torch.manual_seed(_seed(spec, "weights"))
        return getattr(transformers, f"{name}ForCausalLM")(config)


def windows(spec: TinySpec) -> dict[str, Any]:
    """Of Olmo3's layers each fourth attends to all tokens, the others to a window; here the last layer is one of those too."""
    whole = [number % 4 == 0 or number == spec.layers for number in range(1, spec.layers + 1)]
    return {
        "sliding_window": max(1, spec.max_positions // WINDOWS),
        "layer_types": ["full_attention" if one else "sliding_attention" for one in whole],
    }


def _seed(spec: TinySpec, what: str) -> int:
    from asymgrpo.seeds import derive

    return derive("base_model", what, spec.seed)


def encode(texts: list[tuple[str, str]], tokenizer: PreTrainedTokenizerFast) -> list[tuple[list[int], list[int]]]:
    """(tokens, labels) per text: prompt, solution, end; labels are -100 on the prompt, so only the solution is learnt."""
    from asymgrpo.tasks.prompts import render

    prompts = [render("plain", problem, tokenizer) for problem, _ in texts]
    # One call for all texts: thousands of calls for one text each would take longer than many updates.
    tokens: Any = tokenizer(prompts + [solution for _, solution in texts], add_special_tokens=False)["input_ids"]
    return [
        (prompt + solution + [tokenizer.eos_token_id], [-100] * len(prompt) + solution + [tokenizer.eos_token_id])
        for prompt, solution in zip(tokens[: len(texts)], tokens[len(texts) :], strict=True)
    ]


def batches(lengths: list[int], size: int, epochs: int, seed: int) -> list[list[int]]:
    """Index lists of all updates: each epoch permuted, then sorted by length within windows of 8 batches to save padding."""
    import numpy as np

    from asymgrpo.seeds import generator

    out: list[list[int]] = []
    for epoch in range(epochs):
        rng = generator("base_model", "order", seed, epoch)
        order = rng.permutation(len(lengths))
        cut: list[list[int]] = []
        for start in range(0, len(order), 8 * size):
            window = sorted(order[start : start + 8 * size].tolist(), key=lambda i: lengths[i])
            cut += [window[i : i + size] for i in range(0, len(window), size)]
        out += [cut[i] for i in rng.permutation(np.arange(len(cut)))]
    return out


def optimizers(model: Any, spec: TinySpec, updates: int) -> list[tuple[Any, Any]]:
    """(optimizer, schedule) of the layers' matrices (Muon, momentum 0.95) and of all else (AdamW, betas 0.9, 0.98).

    Muon learns the task in clearly fewer updates than AdamW alone; this concerns the base model only, RLVR uses AdamW.
    No weight decay. Both rates: linear warm-up over the first 5 % of the updates, then a cosine to a tenth.
    """
    import torch

    from asymgrpo.models.muon import Muon

    inner = [p for p in model.model.layers.parameters() if p.ndim == 2]
    ids = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in ids]
    warmup = max(1, updates // 20)

    def factor(update: int) -> float:
        if update < warmup:
            return (update + 1) / warmup
        return 0.55 + 0.45 * math.cos(math.pi * (update - warmup) / max(1, updates - warmup))

    chosen = [
        Muon(inner, lr=spec.muon_learning_rate, momentum=0.95),
        torch.optim.AdamW(rest, lr=spec.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    return [(one, torch.optim.lr_scheduler.LambdaLR(one, factor)) for one in chosen]


def train(model: Any, pairs: list[tuple[list[int], list[int]]], spec: TinySpec, pad: int) -> list[float]:
    """Token-mean cross-entropy on the solutions, gradient norm at most 1. Returns the loss of every update.

    Raises:
        SpecError: the loss or the gradient norm is not finite.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from tqdm import tqdm

    plan = batches([len(tokens) for tokens, _ in pairs], spec.batch, spec.epochs, spec.seed)
    both = optimizers(model, spec, len(plan))
    losses: list[float] = []
    model.train()
    for indices in tqdm(plan, desc="base model", unit="update", disable=None):
        tokens = pad_sequence([torch.tensor(pairs[i][0]) for i in indices], True, pad)
        labels = pad_sequence([torch.tensor(pairs[i][1]) for i in indices], True, -100)
        # Padding stands on the right of a causal model: no attention mask is needed.
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        model.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise SpecError(
                f"tiny model: its supervised training diverged in update {len(losses) + 1} (loss {loss.item()}, gradient norm "
                f"{norm.item()}); lower learning_rate or muon_learning_rate in the model's `spec`."
            )
        for optimizer, schedule in both:
            optimizer.step()
            schedule.step()
        losses.append(loss.item())
    model.eval()
    return losses


def sample_texts(
    model: Any, tokenizer: PreTrainedTokenizerFast, problems: list[str], n: int, seed: int
) -> list[list[str]]:
    """n samples at temperature 1 of at most 48 tokens per problem: a probe of the base model, not the sampler."""
    import torch
    from transformers import DynamicCache

    from asymgrpo.tasks.prompts import render

    prompts = [render("plain", p, tokenizer) for p in problems for _ in range(n)]
    tokenizer.padding_side = "left"
    batch = tokenizer(prompts, padding=True, add_special_tokens=False, return_tensors="pt")
    mask = batch["attention_mask"]
    rng = torch.Generator().manual_seed(seed)
    cache, tokens, drawn = DynamicCache(), batch["input_ids"], []
    done = torch.zeros(len(prompts), dtype=torch.bool)
    with torch.inference_mode():
        for _ in range(48):
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
            out = model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                logits_to_keep=1,
            )
            tokens = torch.multinomial(out.logits[:, -1].softmax(-1), 1, generator=rng)
            tokens[done] = tokenizer.pad_token_id
            drawn.append(tokens)
            done |= tokens[:, 0] == tokenizer.eos_token_id
            mask = torch.cat([mask, torch.ones_like(tokens)], 1)
            if done.all():
                break
    texts = tokenizer.batch_decode(torch.cat(drawn, 1), skip_special_tokens=True)
    return [texts[i : i + n] for i in range(0, len(texts), n)]


def probe(model: Any, tokenizer: PreTrainedTokenizerFast, spec: TinySpec) -> dict[str, dict[str, float]]:
    """Per chain length: accuracy, pass@8, share without a box; string equality of the answer is exact for integers."""
    from asymgrpo.tasks.families import family

    task = family(spec.task)
    table = {}
    for name in task.BENCHMARKS:
        problems = task.rows(name, spec.probe_problems, spec.seed)
        texts = sample_texts(model, tokenizer, [p["problem"] for p in problems], 8, _seed(spec, name))
        right = [
            [text.endswith(f"\\boxed{{{p['answer']}}}") for text in group]
            for p, group in zip(problems, texts, strict=True)
        ]
        n = 8 * len(problems)
        table[name] = {
            "accuracy": sum(map(sum, right)) / n,
            "pass_at_8": sum(map(any, right)) / len(problems),
            "without_box": sum("\\boxed{" not in text for group in texts for text in group) / n,
        }
    return table


def make(spec: TinySpec, out: Path) -> dict[str, Any]:
    """Train and save the model directory: weights, tokenizer, base_model.json (returned)."""
    from asymgrpo.files import whole_directory, write_json
    from asymgrpo.models.load import write_manifest
    from asymgrpo.tasks.families import family
    from asymgrpo.tasks.tokenizer import build_tokenizer

    started = time.perf_counter()
    tokenizer = build_tokenizer()
    model = build_model(spec, tokenizer)
    texts = family(spec.task).sft_texts(spec.examples, spec.styles, spec.error_rate, spec.seed)
    losses = train(model, encode(texts, tokenizer), spec, tokenizer.pad_token_id)
    tail = losses[-max(1, len(losses) // 20) :]
    report = {
        "spec": spec.model_dump(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "updates": len(losses),
        "first_loss": losses[0],
        "loss": sum(tail) / len(tail),
        "probe": probe(model, tokenizer, spec),
    }
    with whole_directory(out) as work:
        model.save_pretrained(work)
        tokenizer.save_pretrained(work)
        write_json(report, work / "base_model.json")
        write_manifest(work, kind="tiny", origin="asymgrpo.models.tiny", spec=spec.model_dump(mode="json"))
    return report | {"seconds": time.perf_counter() - started}


def main(
    spec: Annotated[str, typer.Option(help="The specification: a YAML or JSON file, or the JSON text itself.")],
    out: Annotated[Path, typer.Option(help="Directory of the finished model.")],
    threads: Annotated[int, typer.Option(help="Threads; equal bytes are promised for 1, on one kind of CPU.")] = 1,
) -> None:
    """Train the tiny base model into a directory that transformers loads."""
    import torch
    import yaml

    from asymgrpo.lean import arrow_alone, transformers_alone
    from asymgrpo.readers import read_text

    transformers_alone()
    arrow_alone()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        text = spec if spec.lstrip().startswith("{") else read_text(spec, "correct it")
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{spec[:80]}: not YAML or JSON ({' '.join(str(error).split())[:160]}); correct it.") from None
    report = make(parse_spec(found), out)
    accuracies = ", ".join(f"{name} {row['accuracy']:.2f}" for name, row in report["probe"].items())
    print(
        f"{out}: {report['parameters']:,} parameters, loss {report['loss']:.3f}, {report['seconds']:.0f} s; {accuracies}"
    )


if __name__ == "__main__":
    run(main)
