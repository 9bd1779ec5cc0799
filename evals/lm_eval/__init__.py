"""The benchmarks of asymgrpo/tasks/benchmarks as lm-eval tasks `asymgrpo_<benchmark>`: our problem tables, prompts and verifier.

The YAML files of this folder follow from those of asymgrpo/tasks/benchmarks; `python -m evals.lm_eval` writes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PREFIX = "asymgrpo_"
"""lm-eval ships tasks named aime24 or gsm8k, with other prompts and graders."""
SAMPLES = 8
"""Samples per problem of a benchmark that the paper does not report."""


def passk_ks(n: int) -> list[int]:
    """Powers of two from 2 to n / 2: the k of pass@k for n samples (pass@1 is avg@n).

    >>> passk_ks(10), passk_ks(1)
    ([2, 4], [])
    """
    return [2**i for i in range(1, n.bit_length()) if 2 * 2**i <= n]


def task_config(benchmark: str, n: int) -> dict[str, Any]:
    """What sets the task of one benchmark with `n` samples per problem apart from `_benchmark.yaml`.

    >>> config = task_config("math500", 5)
    >>> config["task"], config["repeats"], [metric["metric"] for metric in config["metric_list"]]
    ('asymgrpo_math500', 5, ['avg_at_n', 'pass_at_2'])
    """
    metrics = ["avg_at_n", *(f"pass_at_{k}" for k in passk_ks(n))]
    return {
        "task": PREFIX + benchmark,
        "dataset_kwargs": {"benchmark": benchmark},
        "repeats": n,
        # Without a filter of its own, lm-eval keeps the first response only.
        "filter_list": [{"name": "all", "filter": [{"function": "take_first_k", "k": n}]}],
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in metrics],
    }
