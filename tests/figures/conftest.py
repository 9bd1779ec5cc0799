"""A study of every arm with made-up runs, small; its tables are made by the project's own commands."""

from pathlib import Path

import pytest
from made_up import EVERY_ARM, LOST, SEEDS, write_study

from evals.claims import decided as claims
from evals.tables import compare, coverage, robust, score
from evals.tables import run_scores as table_runs
from evals.tables import table1 as tables
from evals.tables.options import SeedVarianceRule

# The page is committed with the bundle that it is made of, when the full study has been run.
collect_ignore = [] if (Path(__file__).parents[2] / "artifacts/study.zip").exists() else ["test_results_page.py"]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with all tables, without figures."""
    home = tmp_path_factory.mktemp("figures") / "results"
    write_study(home, {})
    derive(home)
    return home


@pytest.fixture(scope="session")
def some_diverged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study, but the runs of LOST diverged."""
    home = tmp_path_factory.mktemp("diverged") / "results"
    write_study(home, LOST)
    derive(home)
    return home


@pytest.fixture(scope="session")
def all_diverged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study, but every run diverged in its second step."""
    home = tmp_path_factory.mktemp("diverged") / "results"
    write_study(home, {(arm, seed): 2 for arm in EVERY_ARM for seed in SEEDS})
    derive(home)
    return home


def derive(home: Path) -> None:
    """Every table that figures and the page of results are made of."""
    graded_files, selections = (
        sorted(home.glob("graded/tiny/*/*.parquet")),
        sorted(home.glob("runs/tiny/*/*/selection.json")),
    )
    draws = {"k": [1, 4], "seed_variance": SeedVarianceRule.own, "draws": 200, "seed": 0}
    score.main(graded=graded_files, selection=selections, out=home / "scores.parquet", **draws)
    compare.main(graded=graded_files, selection=selections, against="grpo", out=home / "differences.parquet", **draws)
    tables.main(home / "scores.parquet", home / "table1.parquet", home / "table1.md")
    table_runs.main(graded=graded_files, selection=selections, k=[1, 4], out=home / "run_scores.parquet")
    every = sorted(home.glob("runs/tiny/*/*/metrics.parquet"))
    claims.main(
        home / "run_scores.parquet",
        every,
        home / "measures.parquet",
        home / "claims.parquet",
        home / "claims_sensitivity.parquet",
        home / "claims.md",
    )
    coverage.main(
        graded=graded_files,
        selection=selections,
        out=home / "coverage.parquet",
        markdown=home / "coverage.md",
        **draws,
    )
    robust.main(home / "run_scores.parquet", 50, 0, home / "robust.parquet", home / "robust.md", "grpo")
