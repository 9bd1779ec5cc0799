"""Made-up runs: every column that figures read, with plain shapes."""

from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from evals.claims_table import BETA_NEG, BETA_POS, BONUSES

MAIN = ("reinforce", "grpo", "grpo_entropy", "grpo_clip_higher", "dr_grpo", "asymgrpo", "asymgrpo_clip_higher")
OTHERS = (
    "positive_only",
    "negative_only",
    "ent_decrease",
    "ent_increase",
    *BETA_POS,
    *BETA_NEG,
    *BONUSES,
    "random_reward",
)
EVERY_ARM = tuple(dict.fromkeys((*MAIN, *OTHERS)))
SEEDS = (0, 1, 2)
BENCHMARKS = ("chain4", "chain6")
STEPS, GROUP, PROBLEMS, SAMPLES = 20, 4, 5, 6

STUDY: dict[str, Any] = yaml.safe_load("""
name: made up
study: {models: [tiny], arms: [], seeds: [0, 1, 2], analyses: [], analysis_seeds: []}
models: {tiny: {kind: tiny}}
train: {steps: 20, prompts_per_step: 2, group_size: 4, updates_per_rollout: 2, learning_rate: 0.001, temperature: 1.0,
  max_tokens: 8, dtype: float32, nodes: 1, ranks_per_node: 1}
evaluation: {benchmarks: [chain4, chain6], samples: {default: 6}, temperature: 1.0, selection: ["best_on:chain4", validation]}
""")
STUDY["study"] |= {
    "arms": list(MAIN),
    "analyses": [a for a in EVERY_ARM if a not in MAIN],
    "analysis_seeds": list(SEEDS),
}


def metrics(entropy_coef: float, rng: np.random.Generator) -> dict[str, Any]:
    """Columns of a metrics table; log-probabilities are measured every fifth step."""
    step = np.arange(1, STEPS + 1)
    groups = rng.multinomial(8, np.full(GROUP + 1, 1 / (GROUP + 1)), size=STEPS)
    covariance = [[float(k) if n else None for k, n in enumerate(row)] for row in groups]
    change = [0.001 * rng.normal() if s % 5 == 0 else None for s in step]
    return {
        "step": pa.array(step, pa.int32()),
        "entropy": 0.1 + 0.2 * np.exp(-step / 5) + 0.01 * rng.random(STEPS),
        "reward_mean": 0.6 - 0.3 * np.exp(-step / 5) + 0.02 * rng.normal(size=STEPS),
        "none_solved_share": groups[:, 0] / 8,
        "groups_by_correct": pa.array(groups.tolist(), pa.list_(pa.int32())),
        "cov_by_correct": pa.array(covariance, pa.list_(pa.float64())),
        "logp_change_correct": pa.array(change, pa.float64()),
        "logp_change_wrong": pa.array([None if c is None else -c for c in change], pa.float64()),
        "entropy_coef": np.full(STEPS, entropy_coef),
    }


def graded(arm: str, seed: int, rng: np.random.Generator) -> pa.Table:
    """Graded samples of a run at the steps that the selection rules pick."""
    rows = []
    for step in (0,) if arm == "base" else (10, 20):
        for benchmark in BENCHMARKS:
            for problem in range(PROBLEMS):
                for sample in range(SAMPLES):
                    right = bool(rng.random() < (problem + 1) / (PROBLEMS + 1))
                    rows.append(
                        {
                            **{"model": "tiny", "arm": arm, "train_seed": seed, "step": step, "benchmark": benchmark},
                            **{"problem_id": f"{benchmark}/{problem}", "sample_id": sample, "extracted": "1"},
                            **{"correct": right, "second_correct": right, "verdict": "correct" if right else "wrong"},
                        }
                    )
    return pa.Table.from_pylist(rows)
