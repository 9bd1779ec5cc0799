"""Made-up runs: every column that figures read, with plain shapes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from asymgrpo.files import METADATA_KEY
from asymgrpo.method.arms import ARMS, BETA_NEG, BETA_POS
from asymgrpo.method.conventions import describe
from asymgrpo.study.outcome import Diverged, stated
from asymgrpo.training.stopwatch import PHASES
from evals.claims.table import BONUSES
from evals.io import write_json, write_table
from evals.select import selection_rows

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
        "clip_share_high": np.full(STEPS, 0.02),
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
                            **{"n_tokens": 3, "response": "=1"},
                        }
                    )
    return pa.Table.from_pylist(rows)


CHOSEN = {"best_on:chain4": 10, "validation": 20}
"""Selection rule -> the step that it picks."""
EVALUATIONS = pa.table({"step": [10, 20], "set": ["validation"] * 2, "accuracy": [0.5, 0.5]})
LOST = {("grpo", seed): 3 + seed for seed in SEEDS} | {("asymgrpo", 1): 1, ("positive_only", 2): 15}
"""Runs that diverge in `some_diverged`, and the step: all of GRPO's, with which most figures and claims compare, one of
AsymGRPO's in its first step, one of an analysis."""


def write_study(home: Path, lost: Mapping[tuple[str, int], int]) -> None:
    """The files of every run; lost: (arm, seed) -> the step at which it diverged."""
    rng = np.random.default_rng(0)
    write_json({"config": STUDY, "config_sha256": "0" * 64}, home / "config" / "study.json")
    write_table(graded("base", 0, rng), home / "graded/tiny/base/seed0.parquet", {})
    for arm in EVERY_ARM:
        for seed in SEEDS:
            folder = home / "runs" / "tiny" / arm / f"seed{seed}"
            about = {"model": "tiny", "arm": arm, "train_seed": seed}
            measured, samples = pa.table(metrics(ARMS[arm].entropy_coef, rng)), graded(arm, seed, rng)
            chosen = [about | {"selection": rule, "step": step} for rule, step in CHOSEN.items()]
            ended = None
            if step := lost.get((arm, seed)):
                ended = Diverged(step, f"the loss is not finite in update 1 of step {step}")
                measured, samples = measured.slice(0, step - 1), samples.slice(0, 0)
                about |= stated(ended)
                evaluations = EVALUATIONS.replace_schema_metadata({METADATA_KEY: json.dumps(about)})
                chosen = selection_rows(evaluations, list(CHOSEN), "tiny", arm, seed)
            write_table(measured, folder / "metrics.parquet", about)
            write_table(samples, home / f"graded/tiny/{arm}/seed{seed}.parquet", about)
            write_table(
                pa.table({"step": [1], "response_tokens": [9], **{phase: [0.5] for phase in PHASES}}),
                folder / "timings.parquet",
                about,
            )
            write_table(EVALUATIONS, folder / "eval.parquet", about)
            write_json({"arm": describe(ARMS[arm]), "train": {}}, folder / "conventions.json")
            write_json(chosen, folder / "selection.json")
            write_json(about | stated(ended), folder / "done.json")
