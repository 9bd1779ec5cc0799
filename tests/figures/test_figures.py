"""Figures of a made-up study of every arm: what is drawn is what the data say, and the bytes depend on the data alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_up import EVERY_ARM, MAIN, SEEDS
from scipy.stats import t

from asymgrpo.method.arms import ARMS as TABLE
from asymgrpo.method.arms import BETA_NEG, BETA_POS, PLANE, on_the_plane
from asymgrpo.study.stored import load_study
from evals.claims.words import verdict_text
from evals.figures import __main__ as program
from evals.figures import (
    arms_compared,
    covariance,
    coverage_curves,
    displacement,
    none_solved,
    paper_vs_reproduction,
    refused,
    selection_bias,
    series,
    style,
)
from evals.figures.series import Band
from evals.figures.table import FIGURES
from evals.io import DataError, read_json, read_table, write_table
from evals.names import TABLE_1, in_order
from evals.report import results_page
from evals.tables.paper_values import PRINTED
from workflow import figures as inputs_of

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"probes", "doses", "budget"}
ALL = sorted(name for name, entry in FIGURES.items() if not ELSEWHERE & set(entry.inputs))
"""Figures that `snakemake figures` may draw of any study; the others are in tests/probe, tests/claims and tests/evals."""
MODULES = [name for name in ALL if not name.startswith("theory_")]
THEORY = set(ALL) - set(MODULES)
"""Figures of no run: tests/theory."""
ARMS_OF = {
    name: tuple(arm for arm in entry.arms if arm in EVERY_ARM) or MAIN
    for name, entry in FIGURES.items()
    if "metrics" in entry.inputs
}


def metrics(results: Path, arms) -> list[Path]:
    return [results / f"runs/tiny/{arm}/seed{seed}/metrics.parquet" for arm in arms for seed in SEEDS]


def options(results: Path, name: str) -> list[str]:
    """What the workflow passes to a figure."""
    found = []
    for table in FIGURES[name].inputs:
        files = (
            metrics(results, ARMS_OF[name]) if table == "metrics" else [results / f"{table.replace('-', '_')}.parquet"]
        )
        found += [f"--{table}", *map(str, files)]
    return found


def draw(results: Path, folder: Path, *names: str) -> None:
    """Draw figures in one process of their own."""
    command = [sys.executable, "-m", "evals.together"]
    for name in names:
        command += [
            *(["+"] if name != names[0] else []),
            *("evals.figures", name),
            *options(results, name),
            "--out-prefix",
            str(folder / name),
        ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def drawn(results: Path) -> Path:
    draw(results, results / "figures", *MODULES)
    return results / "figures"


@pytest.mark.slow
def test_every_figure_is_drawn_in_every_form_with_a_sidecar(drawn: Path) -> None:
    for name in MODULES:
        assert (drawn / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (drawn / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        about = read_json(drawn / f"{name}.json")
        assert about["figure"] == name
        assert about["finding"].endswith("."), name
        assert about["data_hashes"]
        assert "nan" not in about["finding"], name


@pytest.mark.slow
def test_the_plane_shows_each_arm_at_its_exponents(results: Path, drawn: Path) -> None:
    """Its values are those of the tables; arms that differ in more than their exponents are not on it."""
    assert PLANE["asymgrpo"] == (0.9, 0.4)
    assert PLANE["maxrl"] == (1.0, 0.0)
    assert len(set(PLANE.values())) == len(PLANE)
    assert on_the_plane(TABLE["asymgrpo_clip_higher"]) is None
    assert on_the_plane(TABLE["positive_only_zero"]) == PLANE["positive_only"]
    about = read_json(drawn / "plane.json")
    assert set(about["seeds"]) == {arm for arm in PLANE if arm in EVERY_ARM}
    scores = read_table(results / "run_scores.parquet").to_pandas()
    chosen = scores[(scores["metric"] == "avg_at_n") & (scores["selection"] == about["selection"])]
    chosen = chosen[(chosen["benchmark"] == "average") & chosen["arm"].isin(PLANE)]
    best = 100 * chosen.groupby("arm")["value"].mean().max()
    assert "avg@n (%) " in about["finding"]
    assert f" {best:.3g} [" in about["finding"]


@pytest.mark.slow
def test_a_figure_alone_has_the_bytes_that_it_has_among_others(results: Path, drawn: Path, tmp_path: Path) -> None:
    """Nothing of one figure may be left over in the next, nor of the clock or the path."""
    for name in ("reversal", "displacement"):
        command = [sys.executable, "-m", "evals.figures", name, *options(results, name)]
        subprocess.run([*command, "--out-prefix", tmp_path / name], cwd=ROOT, check=True)
        for ending in ("png", "pdf", "json"):
            assert (tmp_path / f"{name}.{ending}").read_bytes() == (drawn / f"{name}.{ending}").read_bytes(), (
                name,
                ending,
            )


@pytest.mark.slow
def test_figures_claims_and_page_need_no_training_packages() -> None:
    names = [
        *(f"evals.figures.{FIGURES[name].drawn_by or name}" for name in ALL),
        "evals.claims.decided",
        "evals.tables.run_scores",
        "evals.report.results_page",
    ]
    code = f"import sys, {', '.join(names)}\nprint([m for m in ('torch', 'transformers', 'deepspeed') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "expected"),
    [
        (
            "default",
            {
                "training_curves",
                "passk_curves",
                "coverage_curves",
                "covariance",
                "synergy",
                "paper_vs_reproduction",
                "selection_bias",
                *THEORY,
            },
        ),
        ("study", set(ALL) - {"selection_bias"}),  # it has one selection rule
    ],
)
def test_the_workflow_draws_the_figures_whose_arms_are_in_the_study(
    study: str, expected: set[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "snakemake", "-n", "figures", "--nolock", "--configfile", f"config/{study}.yaml"]
    command += ["--config", f"results={tmp_path / 'r'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = {
        line.split("figure=")[1].strip()
        for line in (done.stdout + done.stderr).splitlines()
        if "wildcards: figure=" in line
    }
    assert wanted == expected


def test_arms_of_a_figure_can_be_told_apart() -> None:
    for name, arms in ARMS_OF.items():
        looks = [(one["color"], str(one["linestyle"])) for one in (style.look(arm, arms) for arm in arms)]
        by_place = ("none_solved", "displacement", "entropy_coefficient", "plane")
        assert name in by_place or len(set(looks)) == len(arms), name
    shades = style.sweep(5)
    assert len({shade["color"] for shade in shades}) == len({str(shade["linestyle"]) for shade in shades}) == 5


def test_bands_are_students_intervals_from_three_seeds_on() -> None:
    values = np.random.default_rng(0).normal(size=(5, 7))
    low, high = series.seed_band(values, Band.t)
    expected = t.interval(0.95, 4, values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(5))
    assert np.allclose(low, expected[0])
    assert np.allclose(high, expected[1])


def test_one_arm_with_few_seeds_makes_all_bands_ranges(results: Path) -> None:
    runs = series.read_runs(metrics(results, MAIN), ["step", "entropy"]).to_pandas()
    assert series.band_of(runs) is Band.t
    assert series.band_of(runs[(runs["arm"] != "grpo") | (runs["train_seed"] < 2)]) is Band.range


def test_curves_and_points_are_means_over_seeds(results: Path) -> None:
    runs = series.read_runs(metrics(results, BETA_POS), ["step", "none_solved_share"]).to_pandas()
    left, right = none_solved.none_solved(runs, Band.t, smooth=1).axes
    for arm, line in zip(BETA_POS, left.get_lines(), strict=True):
        files = [read_table(path)["none_solved_share"].to_numpy() for path in metrics(results, [arm])]
        assert np.allclose(line.get_ydata(), 100 * np.mean(files, axis=0))
        late = np.array([values[10:].mean() for values in files])
        position = list(BETA_POS).index(arm)
        mean, _, (bars,) = right.containers[0].lines
        assert mean.get_ydata()[position] == pytest.approx(100 * late.mean())
        half = 100 * t.ppf(0.975, 2) * late.std(ddof=1) / np.sqrt(3)
        low, high = bars.get_segments()[position][:, 1]
        assert (low, high) == pytest.approx((100 * late.mean() - half, 100 * late.mean() + half))


def test_displacement_is_in_thousandths_over_measured_steps(results: Path) -> None:
    runs = series.read_runs(
        metrics(results, BETA_NEG), ["step", "logp_change_correct", "logp_change_wrong"]
    ).to_pandas()
    axis = displacement.displacement(runs, Band.t).axes[0]
    values = [read_table(path)["logp_change_correct"].drop_null().to_numpy() for path in metrics(results, ["grpo"])]
    position = list(BETA_NEG).index("grpo")
    drawn = axis.containers[0].lines[0].get_ydata()[position]
    assert drawn == pytest.approx(1000 * np.mean([v.mean() for v in values]))


def test_covariance_leaves_out_groups_without_advantage(results: Path) -> None:
    table = series.read_runs(metrics(results, ["grpo"]), covariance.COLUMNS)
    found = covariance.by_share(table.to_pandas())
    assert np.allclose(np.stack(found["covariance"].tolist()), np.arange(5)), "made up as the number correct"
    line = covariance.covariance(found, Band.t).axes[0].containers[0].lines[0]
    assert np.allclose(line.get_xdata(), [0.25, 0.5, 0.75])
    assert np.allclose(line.get_ydata(), [1, 2, 3])


def test_differences_from_grpo_have_the_papers_sign(results: Path) -> None:
    frame = read_table(results / "differences.parquet").to_pandas()
    frame = frame[frame["selection"] == "validation"]
    found = paper_vs_reproduction.from_grpo(frame).set_index("arm")
    assert set(found.index) == {*PRINTED} - {"grpo"}
    assert found.loc["asymgrpo", "paper"] == pytest.approx(0.0286)
    turned = frame.assign(a=frame["b"], b=frame["a"], estimate=-frame["estimate"], ci_low=-frame["ci_high"],
                          ci_high=-frame["ci_low"], n_seeds_a=frame["n_seeds_b"], n_seeds_b=frame["n_seeds_a"])  # fmt: skip
    again = paper_vs_reproduction.from_grpo(turned).set_index("arm")
    assert found.sort_index().equals(again.sort_index()), "whichever arm stands first"
    runs = read_table(results / "run_scores.parquet").to_pandas()
    means = series.accuracies(runs, "validation").groupby("arm")["value"].mean()
    for arm in found.index:
        assert found.loc[arm, "estimate"] == pytest.approx(means[arm] - means["grpo"])


def test_selection_bias_is_the_difference_of_the_rules(results: Path) -> None:
    runs = read_table(results / "run_scores.parquet").to_pandas()
    found = selection_bias.gains(runs, "best_on:chain4", "validation")
    assert len(found) == len(EVERY_ARM) * len(SEEDS)
    values = runs[(runs["metric"] == "avg_at_n") & (runs["arm"] == "grpo") & (runs["train_seed"] == 1)]
    cell = values.set_index(["benchmark", "selection"])["value"]
    row = found[(found["arm"] == "grpo") & (found["train_seed"] == 1)].iloc[0]
    for kind, benchmark in (("selected", "chain4"), ("other", "chain6")):
        assert row[kind] == pytest.approx(cell[benchmark, "best_on:chain4"] - cell[benchmark, "validation"])


def test_the_cover_curve_is_the_share_of_problems_solved_so_often(results: Path) -> None:
    scores, cover = (read_table(results / f"{name}.parquet").to_pandas() for name in ("scores", "coverage"))
    mine = [frame[frame["selection"] == "validation"] for frame in (scores, cover)]
    passes, covers = mine[0][mine[0]["metric"] == "pass_at_k"], mine[1][mine[1]["metric"] == "cover"]
    axes = coverage_curves.coverage_curves(passes, covers).axes
    assert [axis.get_title() for axis in axes[:3]] == ["average: pass@k", "average: Cover@tau", "chain4: Cover@tau"]
    position = in_order(covers["arm"], TABLE_1).index("grpo")
    samples = [read_table(results / f"graded/tiny/grpo/seed{seed}.parquet").to_pandas() for seed in SEEDS]
    at_20 = pd.concat(samples).query("step == 20 and benchmark == 'chain4'")
    solved = at_20.groupby(["train_seed", "problem_id"])["correct"].mean().to_numpy()
    line = axes[2].get_lines()[position]
    assert np.allclose(line.get_ydata(), [100 * (solved >= tau).mean() for tau in line.get_xdata()])
    with pytest.raises(DataError, match=r"scores\.parquet: nothing of selection 'last' in it"):
        coverage_curves.draw(results / "scores.parquet", results / "coverage.parquet", "last")


def test_run_scores_are_the_shares_of_correct_samples(results: Path) -> None:
    runs = read_table(results / "run_scores.parquet").to_pandas()
    samples = read_table(results / "graded/tiny/grpo/seed2.parquet").to_pandas()
    at_20 = samples[samples["step"] == 20].groupby("benchmark")["correct"].mean()
    mine = runs[(runs["arm"] == "grpo") & (runs["train_seed"] == 2) & (runs["selection"] == "validation")]
    mine = mine[mine["metric"] == "avg_at_n"].set_index("benchmark")["value"]
    assert mine["chain4"] == pytest.approx(at_20["chain4"])
    assert mine["average"] == pytest.approx(at_20.mean())


def test_errors_name_the_file_and_what_is_missing(results: Path, tmp_path: Path) -> None:
    one = metrics(results, ["grpo"])[0]
    with pytest.raises(DataError, match="twice"):
        series.read_runs([one, one], ["step"])
    nameless = tmp_path / "metrics.parquet"
    write_table(pq.read_table(one), nameless, {"arm": "grpo"})
    with pytest.raises(DataError, match="lack model, train_seed"):
        series.read_runs([nameless], ["step"])
    with pytest.raises(DataError, match="no run of grpo_clip_higher, asymgrpo"):
        arms_compared.draw(FIGURES["synergy"].arms, metrics(results, ["grpo"]), results / "run_scores.parquet")


def test_the_command_refuses_a_wrong_call_in_a_sentence(capsys, monkeypatch, tmp_path: Path) -> None:
    for words, said in {
        (
            "passk_curves",
            "--scores",
            "missing.parquet",
            "--out-prefix",
            str(tmp_path / "x"),
        ): "missing.parquet: no such",
        ("passk_curve", "--scores", "s"): "passk_curve: there is no figure of this name; there are training_curves, ",
        ("passk_curves", "--score", "s"): "No such option: --score",
    }.items():
        monkeypatch.setattr(sys, "argv", ["evals.figures", *words])
        assert program.main() == 2
        assert said in capsys.readouterr().err


def test_a_module_of_the_folder_is_no_command_and_names_the_right_one() -> None:
    """Every figure is in the sentence about its module, and the sentence comes instead of a call that draws nothing."""
    modules = {path.stem for path in (ROOT / "evals/figures").glob("*.py") if not path.stem.startswith("__")}
    drawing = {module: refused.figures_of(module) for module in modules}
    assert sorted(name for names in drawing.values() for name in names) == sorted(FIGURES)
    for module, names in drawing.items():
        assert all(name in refused.refusal(module) for name in names or FIGURES)
    done = subprocess.run(
        [sys.executable, "-m", "evals.figures.passk_curves", "--scores", "s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {refused.refusal('passk_curves')}\n"
    for words in (
        ["python", "-m", "evals.figures", "plane"],
        ["python", "-m", "evals.figures.__main__"],
        ["python", "x"],
    ):
        refused.refuse_a_module(words)
    with pytest.raises(SystemExit) as end:
        refused.refuse_a_module(["python", "-W", "ignore", "-mevals.figures.style"])
    assert end.value.code == 2


def test_a_figure_without_one_of_its_arms_is_not_drawn() -> None:
    study = load_study([ROOT / "config/default.yaml"])
    tables = {
        "run-scores": ["r"],
        "scores": ["s"],
        "coverage": [],
        "differences": ["d"],
        "theory": [],
        "probes": [],
        "doses": [],
        "budget": [],
    }

    def drawable(arms: list[str], rules: list[str]) -> dict[str, inputs_of.Inputs]:
        parts = {"study": {"arms": arms}, "evaluation": {"selection": rules}}
        mine = study.model_copy(
            update={name: getattr(study, name).model_copy(update=change) for name, change in parts.items()}
        )
        return inputs_of.drawable(mine, inputs_of.MetricsFiles([{"arm": arm} for arm in arms], "{arm}"), tables)

    assert drawable(["grpo"], ["last"]) == {"training_curves": {"metrics": ["grpo"]}, "passk_curves": {"scores": ["s"]}}
    two = drawable(["grpo", "asymgrpo"], ["validation", "best_on:chain4"])
    assert two.keys() == {"training_curves", "passk_curves", "paper_vs_reproduction", "selection_bias"}
    assert "covariance" in drawable(["reinforce", "grpo", "asymgrpo"], ["last"])
    assert "plane" in drawable(list(PLANE)[:5], ["last"])
    assert "plane" not in drawable(list(PLANE)[:4], ["last"])


@pytest.mark.slow
def test_the_page_says_what_the_tables_say(results: Path, drawn: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "docs" / "results.md", tmp_path / "docs" / "images" / "study"
    results_page.main(results, out, images)
    text = out.read_text()
    claims = read_table(results / "claims.parquet").to_pylist()
    for row in claims:
        line = next(line for line in text.splitlines() if line.startswith(f"| {row['claim']} ("))
        assert line.endswith(f"**{verdict_text(row)}** |")
    for name in MODULES:
        assert f"](images/study/{name}.png)" in text
        assert (images / f"{name}.png").read_bytes() == (drawn / f"{name}.png").read_bytes()
        assert read_json(drawn / f"{name}.json")["finding"] in text
    table1 = (results / "table1.md").read_text().splitlines()
    assert all(line in text for line in table1 if line.startswith("| "))
    results_page.main(results, tmp_path / "again" / "results.md", tmp_path / "again" / "images" / "study")
    assert (tmp_path / "again" / "results.md").read_text() == text


def test_the_page_names_what_has_not_been_made(results: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "runs/tiny/grpo/seed0").mkdir(parents=True)
    for name in ("config/study.json", "runs/tiny/grpo/seed0/done.json"):
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        (bare / name).write_bytes((results / name).read_bytes())
    with pytest.raises(DataError, match=r"claims\.parquet: no such file; run snakemake"):
        results_page.main(bare, tmp_path / "x.md", tmp_path / "images")
