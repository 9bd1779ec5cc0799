"""A study of every arm with made-up runs, small; its tables are made by the project's own commands."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_up import EVERY_ARM, SEEDS, STUDY, graded, metrics

from asymgrpo.arms import ARMS
from evals import claims, compare, score, table_runs, tables
from evals.io import write_json, write_table
from evals.score import SeedVarianceRule

# The page is committed with the bundle that it is made of, when the full study has been run.
collect_ignore = [] if (Path(__file__).parents[2] / "artifacts/study.zip").exists() else ["test_results_page.py"]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with all tables, without figures."""
    home, rng = tmp_path_factory.mktemp("figures") / "results", np.random.default_rng(0)
    write_json({"config": STUDY, "config_sha256": "0" * 64}, home / "config" / "study.json")
    write_table(graded("base", 0, rng), home / "graded/tiny/base/seed0.parquet", {})
    for arm in EVERY_ARM:
        for seed in SEEDS:
            folder = home / "runs" / "tiny" / arm / f"seed{seed}"
            about = {"model": "tiny", "arm": arm, "train_seed": seed}
            write_table(pa.table(metrics(ARMS[arm].entropy_coef, rng)), folder / "metrics.parquet", about)
            write_table(graded(arm, seed, rng), home / f"graded/tiny/{arm}/seed{seed}.parquet", about)
            write_json(
                [about | {"selection": rule, "step": step} for rule, step in STEPS.items()], folder / "selection.json"
            )
            write_json({}, folder / "done.json")
    derive(home)
    return home


STEPS = {"best_on:chain4": 10, "validation": 20}


def derive(home: Path) -> None:
    """Every table that figures and the page of results are made of."""
    graded_files, selections = (
        sorted(home.glob("graded/tiny/*/*.parquet")),
        sorted(home.glob("runs/tiny/*/*/selection.json")),
    )
    draws = {"k": [1, 4], "seed_variance": SeedVarianceRule.own, "draws": 200, "seed": 0}
    score.main(graded_files, selections, out=home / "scores.parquet", **draws)
    compare.main(graded=graded_files, selection=selections, against="grpo", out=home / "differences.parquet", **draws)
    tables.main(home / "scores.parquet", home / "table1.parquet", home / "table1.md")
    table_runs.main(graded_files, selections, [1, 4], home / "run_scores.parquet")
    every = sorted(home.glob("runs/tiny/*/*/metrics.parquet"))
    claims.main(
        home / "run_scores.parquet", every, home / "measures.parquet", home / "claims.parquet", home / "claims.md"
    )
