"""Every random number of a run is a function of where it is used: (run, step, prompt, sample), never of a generator's state.

A resumed run therefore needs no random state, and a sample is the same whatever else is in its batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np

SEED_BITS = 63  # fits a signed 64-bit column and every generator's seed argument


def derive(*parts: str | int) -> int:
    """A 63-bit seed from the named parts, by BLAKE2b: stable across machines, versions and processes.

    >>> derive("rollout", 0, 17, "train-3", 5) == derive("rollout", 0, 17, "train-3", 5)
    True
    >>> derive("rollout", 0, 17, "train-3", 5) == derive("rollout", 0, 17, "train-3", 6)
    False
    >>> derive("a", "bc") == derive("ab", "c")
    False
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEED_BITS)


def generator(*parts: str | int) -> np.random.Generator:
    """A counter-based generator (Philox) keyed by the named parts."""
    return np.random.Generator(np.random.Philox(key=derive(*parts)))


def uniforms(seeds: Sequence[int], n: int) -> np.ndarray:
    """[len(seeds), n] float64 in [0, 1): row i depends on seeds[i] alone, so a sample does not depend on its batch.

    >>> bool((uniforms([7, 8], 4)[1] == uniforms([8], 4)[0]).all())
    True
    """
    return np.stack([np.random.Generator(np.random.Philox(key=int(seed))).random(n) for seed in seeds])


def prompt_order(run_seed: int, step: int, prompts_per_step: int, n_problems: int) -> list[int]:
    """Indices of the problems of one step: each epoch is a fresh permutation, steps read it in turn.

    A step that crosses an epoch's end continues in the next permutation, so no problem is dropped.

    >>> sorted(prompt_order(0, 0, 2, 4) + prompt_order(0, 1, 2, 4))
    [0, 1, 2, 3]
    """
    first = step * prompts_per_step
    epochs = range(first // n_problems, (first + prompts_per_step - 1) // n_problems + 1)
    stream = np.concatenate([generator("prompts", run_seed, epoch).permutation(n_problems) for epoch in epochs])
    offset = first - epochs.start * n_problems
    return stream[offset : offset + prompts_per_step].tolist()


def occurrences(names: Sequence[Hashable]) -> list[int]:
    """How often each entry stood before its place: 0 for a first one.

    A step that is larger than the data, or that crosses an epoch's end, may hold a problem twice.

    >>> occurrences(["a", "b", "a", "a"])
    [0, 0, 1, 2]
    """
    seen: dict[Hashable, int] = {}
    found = []
    for name in names:
        found.append(seen.get(name, 0))
        seen[name] = found[-1] + 1
    return found
