"""The results folder of a small study that nobody trained: drawn numbers, written by the project's own writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from asymgrpo.files import write_json, write_table, write_text
from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import get_arm
from asymgrpo.method.conventions import describe
from asymgrpo.study import layout, stored
from asymgrpo.tasks.chain_sum import rows as problems_of
from asymgrpo.tasks.table import write_problems
from asymgrpo.training.metrics import DESCRIPTIONS, SCHEMA
from asymgrpo.training.stopwatch import PHASES
from evals.claims.decided import SCHEMA as CLAIMS_SCHEMA
from evals.claims.measures import MEASURES
from evals.estimates.cells import count_cells
from evals.estimates.selection import Chosen, select
from evals.figures import drawn, training_curves
from evals.tables.options import SeedVarianceRule
from evals.tables.score import score
from evals.tables.table1 import table_1
from workflow.checks import load

ROOT = Path(__file__).parents[2]
BENCHMARKS = ("chain2", "chain4")
ARMS, ANALYSES, SEEDS, STEPS = ("grpo", "asymgrpo"), ("positive_only",), (0, 1), 60
HOSTILE = "</script><script>window.hacked = 1</script><b>7</b> & \u2028 so \\boxed{7}"
"""A response that would break a careless page."""


def make_study(folder: Path) -> Path:
    """Write the study into folder/results -> that path."""
    results = folder / "results"
    mapping = yaml.safe_load((ROOT / "config/default.yaml").read_text())
    mapping |= {"name": "synthetic <i>", "results": str(results), "checkpoints": str(folder / "checkpoints")}
    mapping["study"] = {
        "models": ["tiny"],
        "arms": [*ARMS],
        "seeds": [*SEEDS],
        "analyses": [*ANALYSES],
        "analysis_seeds": [0],
    }
    mapping["evaluation"] |= {
        "benchmarks": [*BENCHMARKS],
        "samples": {"default": 4},
        "k": [1, 2],
        "selection": ["validation"],
    }
    mapping["train"] |= {"steps": STEPS}
    study = load(mapping)
    write_text(stored.document(stored.configuration(study)), layout.Layout(study).study)
    tasks = {name: name for name in BENCHMARKS} | dict.fromkeys(("train", "validation"), "chain_train")
    for name, task in tasks.items():
        write_problems(results / "data" / f"{name}.parquet", problems_of(task, 12, 1), {})
    rng = np.random.default_rng(1)
    for run in layout.trained_runs(study):
        _write_run(rng, results / "runs" / run["model"] / run["arm"] / f"seed{run['seed']}", run)
        _write_benchmark(results / "benchmarks" / "train" / run["model"] / run["arm"] / f"{run['seed']}.tsv")
    graded = []
    for run in layout.with_base(study, layout.trained_runs(study)):
        path = results / "graded" / run["model"] / run["arm"] / f"seed{run['seed']}.parquet"
        graded.append(_graded(rng, results, run))
        write_table(graded[-1], path, {})
    _write_derived(results, pa.concat_tables(graded))
    return results


def _write_run(rng: np.random.Generator, folder: Path, run: dict[str, str]) -> None:
    group = 8

    def value(name: str, step: int):
        kind = SCHEMA.field(name).type
        if name == "step":
            return step
        if name.startswith("logp_change") and step % 5:
            return None
        if pa.types.is_list(kind):
            return [1] * (group + 1) if pa.types.is_integer(kind.value_type) else [0.5] * (group + 1)
        if name == "timeout_share":
            return 0.0
        return int(rng.integers(1, 40)) if pa.types.is_integer(kind) else float(rng.random() / (step + 3))

    metrics = [{name: value(name, step) for name in DESCRIPTIONS} for step in range(1, STEPS + 1)]
    timings = [
        {"step": n, **{p: float(rng.random()) for p in PHASES}, "response_tokens": 500} for n in range(1, STEPS + 1)
    ]
    checks = [{"step": n, "set": "validation", "n_problems": 8, "n_samples": 2, "accuracy": n / 100} for n in (30, 60)]
    identity = {"model": run["model"], "arm": run["arm"], "train_seed": int(run["seed"])}
    made_by = {
        "git_commit": "c0ffee" * 6,
        "git_dirty": False,
        "python": "3.11.7",
        "packages": {"torch": "2.13.0", "vllm": None},
    }
    write_table(pa.Table.from_pylist(metrics, SCHEMA), folder / "metrics.parquet", identity)
    write_table(pa.Table.from_pylist(timings), folder / "timings.parquet", {"machine": {"cores": 2}})
    write_table(pa.Table.from_pylist(checks), folder / "eval.parquet", identity)
    trained = Arm.model_validate(
        get_arm(run["arm"]).settings()
    )  # as a run's settings say it: without words for readers
    write_json({"arm": describe(trained), "train": {}}, folder / "conventions.json")
    write_json([identity | {"selection": "validation", "step": 60}], folder / "selection.json")
    write_json(identity | made_by, folder / "done.json")


def _write_benchmark(path: Path) -> None:
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
    write_text(f"{head}\n360.0\t0:06:00\t700.0\t1.0\t1.0\t1.0\t0.0\t0.0\t50.0\t180.0\n", path)


def _graded(rng: np.random.Generator, results: Path, run: dict[str, str]) -> pa.Table:
    """Verdicts at random; the first response is HOSTILE, and the second grader disagrees with the first verdict of each file."""
    rows = []
    for name in BENCHMARKS:
        for problem in pd.read_parquet(results / "data" / f"{name}.parquet").itertuples():
            for sample in range(4):
                verdict = str(rng.choice(["correct", "wrong", "unparsed", "truncated"]))
                correct = verdict == "correct"
                rows.append(
                    {
                        "model": run["model"],
                        "arm": run["arm"],
                        "train_seed": int(run["seed"]),
                        "step": 0 if run["arm"] == "base" else 60,
                        "benchmark": name,
                        "problem_id": problem.problem_id,
                        "sample_id": sample,
                        "extracted": str(rng.integers(0, 99)),
                        "verdict": verdict,
                        "correct": correct,
                        "second_correct": not correct if not rows else correct,
                        "n_tokens": int(rng.integers(2, 48)),
                        "response": f"sum {rng.integers(0, 9999)}" if rows else HOSTILE,
                    }
                )
    return pa.Table.from_pylist(rows)


def counted(graded: pa.Table, rows: list[dict]) -> tuple[dict, dict]:
    """Rule -> counts, and rule -> diverged runs, of samples at these selected checkpoints."""
    samples = select(graded, [Chosen(**row, diverged_at=None) for row in rows])
    return {rule: count_cells(found, votes=False) for rule, found in samples.items()}, {rule: {} for rule in samples}


def _write_derived(results: Path, graded: pa.Table) -> None:
    runs = [(arm, seed) for arm in ARMS for seed in SEEDS]
    chosen = [
        {"model": "tiny", "arm": arm, "train_seed": seed, "selection": rule, "step": 60}
        for arm, seed in runs
        for rule in ("best_on:chain4", "validation")
    ]
    main = graded.filter(np.isin(graded["arm"].to_pylist(), ["base", *ARMS]))
    scores = score(*counted(main, chosen), [1, 2], [], SeedVarianceRule.own, seed=1, draws=200)
    write_table(table_1(scores, {}), results / "table1.parquet", {})
    trained = [*runs, *((arm, 0) for arm in ANALYSES)]
    every = [{"model": "tiny", "arm": a, "train_seed": s, "selection": "validation", "step": 60} for a, s in trained]
    scores = score(*counted(graded, every), [1, 2], [], SeedVarianceRule.own, seed=1, draws=200)
    write_table(scores, results / "analyses.parquet", {})
    write_table(_claims(), results / "claims.parquet", {})
    metrics = sorted((results / "runs").glob("*/*/*/metrics.parquet"))
    drawn.save(
        "training_curves", training_curves.draw(metrics), training_curves, results / "figures" / "training_curves"
    )


def _claims() -> pa.Table:
    about = MEASURES["accuracy"].about
    common_part = {
        "model": "tiny",
        "version": "v1",
        "section": "main table",
        "reading": "as we read it",
        "measure": about,
        "unit": "points",
    }
    tested = {
        "estimate": 0.0286,
        "ci_low": 0.011,
        "ci_high": 0.046,
        "level": 0.99,
        "n_tests": 1,
        "n_seeds": 8,
        "p_family": 0.01,
        "margin": 0.01,
        "relevant": True,
    }
    rows = [
        {"id": "a", "claim": "AsymGRPO beats GRPO", "test": "t test over seeds", "verdict": "supported", **tested},
        {
            "id": "b",
            "claim": "It scales",
            "test": "t test over seeds",
            "verdict": "not tested",
            "why_not": "no such arm",
        },
    ]
    return pa.Table.from_pylist([common_part | row for row in rows], CLAIMS_SCHEMA)
