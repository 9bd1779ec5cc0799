"""Diverged runs in everything made of a study: no missing row, no zero, and no seed that is gone without a word."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import BENCHMARKS, EVERY_ARM, LOST, SEEDS, write_study
from test_figures import MODULES, draw

from asymgrpo.content import data_hash
from asymgrpo.study.layout import CONFIGURATION
from evals.artifacts import compare_results
from evals.claims.decided import render
from evals.claims.measures import MEASURES
from evals.claims.table import MAIN_TABLE, TESTS
from evals.estimates.outcomes import of_files
from evals.estimates.selection import by_rule, lost_of, read_selection
from evals.figures import drawn, series
from evals.io import DataError, read_json, read_metadata, read_table
from evals.report import results_page
from evals.report.page import render as render_page
from evals.report.results import read_results
from evals.tables import score
from evals.tables.compare import Settings, compare_arms
from evals.tables.options import SeedVarianceRule
from evals.tables.result_set import read_result_set
from evals.tables.table1 import render_markdown


def frame(results: Path, name: str) -> pd.DataFrame:
    return read_table(results / f"{name}.parquet").to_pandas()


def test_table_1_names_the_runs_and_estimates_over_the_others(results: Path, some_diverged: Path) -> None:
    whole, table = frame(results, "table1"), frame(some_diverged, "table1")
    keys = ["arm", "benchmark", "metric", "k", "selection"]
    assert table[keys].equals(whole[keys]), "no missing row"
    lost, partly, rest = (table[table["arm"] == arm] for arm in ("grpo", "asymgrpo", "reinforce"))
    for column in ("estimate", "ci_low", "ci_high", "truncated_share", "grader_disagreement"):
        assert lost[column].isna().all(), column
    assert set(lost["n_seeds"]) == {0}
    assert set(lost["n_diverged"]) == {3}
    assert {tuple(steps) for steps in lost["diverged_at"]} == {(3, 4, 5)}
    assert set(partly["n_seeds"]) == {2}
    assert {tuple(steps) for steps in partly["diverged_at"]} == {(1,)}
    assert partly["estimate"].notna().all()
    assert set(rest["n_seeds"]) == {3}
    assert set(rest["n_diverged"]) == {0}
    assert set(whole["n_diverged"]) == {0}
    graded = [frame(results, f"graded/tiny/asymgrpo/seed{seed}") for seed in (0, 2)]
    mine = pd.concat(graded).query("step == 20 and benchmark == 'chain4'")
    estimate = partly.query("selection == 'validation' and benchmark == 'chain4' and metric == 'avg_at_n'")["estimate"]
    assert float(estimate.iloc[0]) == pytest.approx(mine["correct"].mean())


def test_the_cells_of_table_1_say_diverged(results: Path, some_diverged: Path) -> None:
    lines = (some_diverged / "table1.md").read_text().splitlines()
    grpo = [line for line in lines if line.startswith("| GRPO |")]
    assert grpo == ["| GRPO | 0 |" + " diverged (3 of 3 seeds, steps 3, 4, 5) |" * 3] * 2
    asym = [line for line in lines if line.startswith("| AsymGRPO |")]
    assert all(line.count("]; diverged (1 of 3 seeds, step 1)") == 3 for line in asym)
    assert "nan" not in "\n".join(lines)
    assert "a diverged run has none" in lines[-1]
    assert "diverged" not in (results / "table1.md").read_text()


@pytest.mark.parametrize("study", ["results", "some_diverged", "all_diverged"])
def test_a_table_has_the_hash_that_it_states(study: str, request: pytest.FixtureRequest) -> None:
    """Also with a column of lists, whose type Parquet spells in its own way."""
    home: Path = request.getfixturevalue(study)
    for name in ("scores", "table1", "differences", "run_scores", "measures", "claims"):
        path = home / f"{name}.parquet"
        assert data_hash(read_table(path)) == read_metadata(path)["data_hash"], name


def test_every_run_has_its_row(results: Path, some_diverged: Path) -> None:
    whole, runs = frame(results, "run_scores"), frame(some_diverged, "run_scores")
    keys = ["arm", "train_seed", "selection", "benchmark", "metric", "k"]
    assert runs[keys].fillna(0).equals(whole[keys].fillna(0))
    without = runs["value"].isna()
    assert (without == runs["diverged_at"].notna()).all()
    found = {(r.arm, r.train_seed): int(r.diverged_at) for r in runs[without].itertuples()}
    assert found == LOST
    pd.testing.assert_series_equal(runs.loc[~without, "value"], whole.loc[~without, "value"])


def test_differences_to_an_arm_that_diverged_have_no_numbers(results: Path, some_diverged: Path) -> None:
    """They are against GRPO, of which no run finished."""
    whole, found = frame(results, "differences"), frame(some_diverged, "differences")
    assert len(found) == len(whole)
    assert found["estimate"].isna().all()
    assert set(found["n_diverged_b"]) == {3}
    assert set(found["comparisons"]) == {0}


def test_holm_counts_the_pairs_that_have_numbers(some_diverged: Path) -> None:
    found = read_result_set(some_diverged)
    settings = Settings((1,), SeedVarianceRule.own, 0, 100)
    rows = compare_arms(found.counts["validation"], "reinforce", settings, found.lost["validation"])
    mine = [row for row in rows if row["benchmark"] == "average" and row["metric"] == "avg_at_n"]
    lost = [row for row in mine if row["estimate"] is None]
    assert [row["a"] for row in lost] == ["grpo"]
    assert {row["comparisons"] for row in mine if row["estimate"] is not None} == {len(mine) - 1}
    assert {row["n_diverged_a"] for row in mine if row["a"] == "asymgrpo"} == {1}


def test_a_claim_that_compares_a_diverged_run_is_not_tested(results: Path, some_diverged: Path) -> None:
    rows = {row["id"]: row for row in read_table(some_diverged / "claims.parquet").to_pylist()}
    before = {row["id"]: row for row in read_table(results / "claims.parquet").to_pylist()}
    for claim in TESTS:
        if before[claim.id]["estimate"] is None:
            continue  # its arms, or the metrics that it needs, are not in the made-up study
        hit = [key for key in LOST if key[0] in claim.arms]
        assert rows[claim.id]["n_diverged"] == len(hit), claim.id
        assert before[claim.id]["n_diverged"] == 0
        if hit:
            assert rows[claim.id]["verdict"] == "not tested", claim.id
            assert rows[claim.id]["estimate"] is None
            assert rows[claim.id]["why_not"].startswith("diverged: ")
        else:
            assert rows[claim.id]["estimate"] == before[claim.id]["estimate"], claim.id
    assert "AsymGRPO (seed 1 at step 1)" in rows["asym_reinforce"]["why_not"]
    assert rows["bonus_entropy"]["why_not"] == "diverged: " + ", ".join(
        f"GRPO (seed {s} at step {3 + s})" for s in SEEDS
    )
    markdown = (some_diverged / "claims.md").read_text()
    assert "| diverged: AsymGRPO (seed 1 at step 1) |" in markdown
    assert markdown == render(list(rows.values()), read_table(some_diverged / "claims_sensitivity.parquet").to_pylist())
    n_tests = {row["n_tests"] for row in rows.values() if row["estimate"] is not None}
    assert n_tests == {len(TESTS)}, "a claim that is lost makes no other easier"


def test_measures_have_a_row_for_every_run(results: Path, some_diverged: Path) -> None:
    measures = frame(some_diverged, "measures")
    lost = measures[measures["diverged_at"].notna()]
    assert lost["value"].isna().all()
    assert {(r.arm, r.train_seed) for r in lost.itertuples()} == set(LOST)
    assert (lost.groupby(["arm", "train_seed"])["measure"].nunique() == len(MEASURES)).all(), (
        "early steps are no late ones"
    )


def test_the_picture_itself_says_which_runs_it_does_not_show(tmp_path: Path) -> None:
    drawing = drawn.nothing_finished({}, {("tiny", "grpo"): {3: 7}})
    drawn.save("made_up", drawing, drawn, tmp_path / "made_up")
    assert drawing.figure.get_suptitle() == f"Not shown. {drawing.diverged}"
    assert "GRPO" in drawing.diverged


@pytest.mark.slow
@pytest.mark.parametrize("study", ["some_diverged", "all_diverged"])
def test_every_figure_and_page_is_made_and_says_it(study: str, request: pytest.FixtureRequest) -> None:
    home: Path = request.getfixturevalue(study)
    draw(home, home / "figures", *MODULES)
    for name in MODULES:
        about = read_json(home / "figures" / f"{name}.json")
        assert "nan" not in about["finding"], (name, about["finding"])
        assert "GRPO" in about["diverged"], name
    page = results_page.page(read_results(home), "images")
    assert page.count("Diverged: ") >= 8
    html = render_page(read_results(home), True, 200, 10**5)
    for arm, seed in [("GRPO", 0), ("AsymGRPO", 1)]:
        assert f"{arm}, seed {seed}: the loss is not finite in update 1 of step" in html
    n_lost = len(LOST) if study == "some_diverged" else len(EVERY_ARM) * len(SEEDS)
    assert f"{len(EVERY_ARM) * len(SEEDS) - n_lost} finished of {len(EVERY_ARM) * len(SEEDS)} planned" in html
    assert "nan [" not in html
    assert "nan [" not in page


def test_a_study_of_which_every_run_diverged_has_all_its_rows(results: Path, all_diverged: Path) -> None:
    table = frame(all_diverged, "table1")
    assert len(table) == len(frame(results, "table1"))
    trained = table[table["arm"] != "base"]
    assert trained["estimate"].isna().all()
    assert set(trained["n_diverged"]) == {3}
    assert table.loc[table["arm"] == "base", "estimate"].notna().all()
    rows = read_table(all_diverged / "claims.parquet").to_pylist()
    assert {row["verdict"] for row in rows} == {"not tested"}
    of_the_table = {claim.id for claim in MAIN_TABLE}
    assert all(row["why_not"].startswith("diverged: ") for row in rows if row["id"] in of_the_table)


def test_a_diverged_run_among_two_result_sets(results: Path, some_diverged: Path) -> None:
    one, two = (read_result_set(folder) for folder in (results, some_diverged))
    rows = compare_results.compare(one, two, Settings((), SeedVarianceRule.own, 0, 50))
    assert compare_results.only_in_one(one, two) == ([], [])
    grpo = [row for row in rows if row["a"] == "grpo"]
    assert len(grpo) == 2 * (len(BENCHMARKS) + 1)
    assert {(row["estimate"], row["n_diverged_a"], row["n_diverged_b"]) for row in grpo} == {(None, 0, 3)}
    told = compare_results.text(rows, ([], []), [{}, {}])
    assert "| GRPO | diverged: 3 runs | – | – |" in told


def test_a_set_without_selections_knows_its_diverged_runs(some_diverged: Path, tmp_path: Path) -> None:
    for arm in ("base", "grpo"):
        shutil.copytree(some_diverged / f"graded/tiny/{arm}", tmp_path / arm)
    found = read_result_set(tmp_path)
    assert found.lost == {"only checkpoint": {("tiny", "grpo"): {0: 3, 1: 4, 2: 5}}}


def test_what_is_read_from_files_and_selections_is_the_same(some_diverged: Path) -> None:
    selection = read_selection(sorted(some_diverged.glob("runs/*/*/*/selection.json")))
    for rule, rows in by_rule(selection).items():
        assert lost_of(rows) == of_files(sorted(some_diverged.glob("runs/*/*/*/metrics.parquet"))), rule


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"step": None}], "no step for a run that did not diverge"),
        ([{"step": None, "outcome": {"outcome": "vanished"}}], "its outcome cannot be read"),
        ([{"step": None, "outcome": {"outcome": "diverged"}}], "its outcome cannot be read"),
    ],
)
def test_a_selection_that_is_neither_is_refused(rows, said: str, tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    run = {"model": "m", "arm": "a", "train_seed": 0, "selection": "last"}
    path.write_text(json.dumps([run | row for row in rows]))
    with pytest.raises(DataError, match=rf"selection\.json: .*{said}"):
        read_selection([path])


def test_without_a_base_model_and_a_finished_run_there_is_nothing_to_score(tmp_path: Path) -> None:
    write_study(tmp_path, {("grpo", seed): 2 for seed in SEEDS})
    graded = sorted(tmp_path.glob("graded/tiny/grpo/*.parquet"))
    with pytest.raises(DataError, match="tiny: every run diverged, and there is no base model to score"):
        score.main(
            graded=graded,
            selection=sorted(tmp_path.glob("runs/tiny/grpo/*/selection.json")),
            k=[1],
            seed_variance=SeedVarianceRule.own,
            draws=100,
            seed=0,
            out=tmp_path / "scores.parquet",
        )


def test_the_caption_counts_problems_of_measured_arms_only(all_diverged: Path) -> None:
    text = render_markdown(read_table(all_diverged / "table1.parquet"))
    assert "chain4 5 problems × 6 samples" in text
    assert np.isfinite(frame(all_diverged, "table1").query("arm == 'base'")["estimate"]).all()
    assert 3 * len(EVERY_ARM) == text.split("##")[1].count("| diverged (3 of 3 seeds, step 2)")


def test_figures_take_nothing_from_the_steps_before(some_diverged: Path) -> None:
    paths = sorted(some_diverged.glob("runs/tiny/positive_only/*/metrics.parquet"))
    assert read_table(paths[2]).num_rows == 14
    assert series.counted(series.read_runs(paths, ["step", "entropy"]).to_pandas()) == {"positive_only": 2}
    assert read_metadata(paths[2])["outcome"]["step"] == 15


def test_a_result_set_inside_another_is_refused(results, tmp_path):
    """It would be read as a part of it."""
    whole = tmp_path / "results"
    shutil.copytree(results, whole)
    read_result_set(whole)
    inner = whole / "paper"
    shutil.copytree(results, inner)
    (inner / CONFIGURATION).parent.mkdir(exist_ok=True)
    (inner / CONFIGURATION).write_text("{}")
    with pytest.raises(DataError, match=r"results holds another result set, .*paper"):
        read_result_set(whole)
    read_result_set(inner)
