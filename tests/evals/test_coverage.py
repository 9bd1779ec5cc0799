"""Cover@tau, G-Pass@k, pass^k, Bayes@N: identities with pass@k, every subset, simulation; then the table made of them."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from asymgrpo.content import data_hash
from evals.estimates.coverage import (
    at_least,
    bayes_mean,
    bayes_variance,
    beta_weights,
    cover,
    credible_interval,
    drawn_weights,
    g_pass,
    mean_of_cover,
    needed,
    pass_hat,
    pass_with_replacement,
)
from evals.estimates.passk import avg_at_n, pass_at_k
from evals.estimates.selection import BASE
from evals.io import DataError, read_metadata, read_table, write_table
from evals.tables import coverage, score
from evals.tables.counts import SCHEMA, study_counts
from evals.tables.coverage import TAUS, identity_gap, render
from evals.tables.options import SeedVarianceRule

# What scorio 0.2.3 (MIT) says of five problems with 8 samples each: it is no dependency, so its answers are written down.
OF_SCORIO = np.array([0, 1, 5, 8, 3])
SCORIO = {
    2: {"pass": 0.5571428571428572, "hat": 0.29285714285714287, 0.5: 0.5571428571428572, 0.75: 0.29285714285714287},
    4: {"pass": 0.6857142857142857, "hat": 0.21428571428571427, 0.5: 0.48571428571428577, 0.75: 0.3142857142857143},
    8: {"pass": 0.8, "hat": 0.2, 0.5: 0.4, 0.75: 0.2},
}
SCORIO_BAYES = (0.44000000000000006, 0.05460602697338621, 0.3329741537933404, 0.5470258462066597)  # mean, sd, low, high

counts = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), min_size=1, max_size=9), st.integers(1, n))
)
"""n, c of some problems, k."""


@pytest.mark.parametrize("k", SCORIO)
def test_scorio_gives_the_same(k: int) -> None:
    assert pass_hat(8, OF_SCORIO, k).mean() == pytest.approx(SCORIO[k]["hat"], abs=1e-15)
    assert at_least(8, OF_SCORIO, k, 1).mean() == pytest.approx(SCORIO[k]["pass"], abs=1e-15)
    for tau in (0.5, 0.75):
        assert g_pass(8, OF_SCORIO, k, tau).mean() == pytest.approx(SCORIO[k][tau], abs=1e-15)


def test_scorio_gives_the_same_posterior() -> None:
    n = np.full(5, 8)
    mean, sd, *ends = SCORIO_BAYES
    assert bayes_mean(n, OF_SCORIO).mean() == pytest.approx(mean, abs=1e-15)
    assert np.sqrt(bayes_variance(n, OF_SCORIO).sum()) / 5 == pytest.approx(sd, abs=1e-15)
    assert credible_interval([(n, OF_SCORIO)]) == pytest.approx(ends, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 8))
def test_at_least_j_of_k_is_the_share_of_subsets(n: int) -> None:
    for c in range(n + 1):
        outcomes = [1] * c + [0] * (n - c)
        for k in range(1, n + 1):
            right = np.array([sum(subset) for subset in combinations(outcomes, k)])
            for j in range(1, k + 1):
                assert at_least(n, c, k, j) == pytest.approx((right >= j).mean(), abs=1e-15)
            for tau in (0.0, 0.1, 1 / 3, 0.5, 2 / 3, 0.7, 5 / 6, 1.0):
                enough = np.maximum(1, next(step for step in range(k + 1) if step / k >= tau))
                assert g_pass(n, c, k, tau) == pytest.approx((right >= enough).mean(), abs=1e-15)


def test_at_least_is_unbiased() -> None:
    n, k = 12, 5
    for p in (0.0, 0.03, 0.5, 0.9, 1.0):
        law = binom.pmf(np.arange(n + 1), n, p)
        for j in range(1, k + 1):
            assert law @ at_least(n, np.arange(n + 1), k, j) == pytest.approx(binom.sf(j - 1, k, p), abs=1e-12)


@given(counts)
def test_its_ends_are_pass_at_k_and_pass_hat_k(drawn: tuple[int, list[int], int]) -> None:
    n, c, k = drawn
    assert g_pass(n, c, k, 0.0) == pytest.approx(pass_at_k(n, c, k), abs=1e-12)
    assert np.array_equal(g_pass(n, c, k, 1e-9), g_pass(n, c, k, 0.0))
    assert np.array_equal(g_pass(n, c, k, 1.0), pass_hat(n, c, k))
    assert pass_hat(n, c, 1) == pytest.approx(avg_at_n(n, c), abs=1e-15)
    assert pass_hat(n, c, k) == pytest.approx(1 - pass_at_k(n, n - np.array(c), k), abs=1e-12), "none of k is wrong"


@given(counts, st.floats(0, 1), st.floats(0, 1))
def test_all_fall_in_tau_and_pass_hat_falls_in_k(drawn: tuple[int, list[int], int], one: float, other: float) -> None:
    n, c, k = drawn
    low, high = min(one, other), max(one, other)
    assert (g_pass(n, c, k, low) >= g_pass(n, c, k, high)).all()
    if low > 0:
        assert (cover(n, c, low) >= cover(n, c, high)).all()
    if k > 1:
        assert (pass_hat(n, c, k - 1) >= pass_hat(n, c, k)).all()


@given(counts)
def test_cover_at_the_ends_is_solved_once_and_solved_always(drawn: tuple[int, list[int], int]) -> None:
    n, c, _ = drawn
    assert np.array_equal(cover(n, c, 1 / n), pass_at_k(n, c, n))
    assert np.array_equal(cover(n, c, 1.0), pass_hat(n, c, n))
    for j in range(1, n + 1):
        assert np.array_equal(cover(n, c, j / n), np.array(c) >= j), "at least, without an error of rounding"
        assert needed(n, j / n) == j


@given(st.lists(counts, min_size=1, max_size=3), st.integers(1, 70))
def test_pass_at_k_is_the_mean_of_cover(drawn: list[tuple[int, list[int], int]], any_k: int) -> None:
    """Also where problems differ in their numbers of samples."""
    n = np.concatenate([np.full(len(c), size) for size, c, _ in drawn])
    c = np.concatenate([some for _, some, _ in drawn])
    repeated = pass_with_replacement(n, c, any_k).mean()
    assert mean_of_cover(n, c, beta_weights(any_k)) == pytest.approx(repeated, abs=1e-12)
    k = min(k for _, _, k in drawn)
    assert mean_of_cover(n, c, drawn_weights(k)) == pytest.approx(pass_at_k(n, c, k).mean(), abs=1e-12)
    assert pass_with_replacement(n, c, k).mean() <= pass_at_k(n, c, k).mean() + 1e-12


def test_the_weights_are_those_of_beta_and_of_the_least_of_k_numbers() -> None:
    """The identity of the paper by an integral over the Cover curve itself, which no weights of ours enter."""
    n, c, k = 8, np.array([0, 1, 5, 8, 3]), 4
    steps = np.arange(1, n) / n
    integral, _ = quad(lambda tau: beta.pdf(tau, 1, k) * cover(n, c, tau).mean(), 0, 1, points=steps, epsabs=1e-10)
    assert integral == pytest.approx(pass_with_replacement(n, c, k).mean(), abs=1e-9)
    least = [min(chosen) for chosen in combinations(range(1, n + 1), k)]
    assert drawn_weights(k)(n) == pytest.approx(np.bincount(least, minlength=n + 1)[1:] / len(least), abs=1e-15)
    assert np.cumsum(drawn_weights(3)(4000)) == pytest.approx(np.cumsum(beta_weights(3)(4000)), abs=1e-3), "its limit"


def test_the_credible_interval_covers_where_its_prior_is_true() -> None:
    rng, trials, covered = np.random.default_rng(0), 2000, 0
    for _ in range(trials):
        p, n = rng.uniform(size=(2, 20)), np.full((2, 20), 16)
        low, high = credible_interval([(n, rng.binomial(n, p))])
        covered += low <= p.mean() <= high
    assert binom.ppf(0.001, trials, 0.95) <= covered <= binom.ppf(0.999, trials, 0.95)


def test_the_credible_interval_of_benchmarks_weighs_them_equally_and_has_the_written_limit() -> None:
    few, many = (np.full((1, 2), 8), np.array([[0, 8]])), (np.full((1, 200), 8), np.full((1, 200), 4))
    low, high = credible_interval([few, many])
    variance = (bayes_variance(*few).sum() / 4 + bayes_variance(*many).sum() / 200**2) / 4
    assert (low + high) / 2 == pytest.approx(0.5)
    assert (high - low) / 2 == pytest.approx(1.959963984540054 * np.sqrt(variance))
    low, _ = credible_interval([(np.full((1, 500), 8), np.zeros((1, 500), int))])
    assert low > 0, "nothing is ever solved: the prior says otherwise, and the interval leaves out the truth"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cover(4, 1, 0.0), "above 0"),
        (lambda: cover(4, 5, 0.5), "between 0 and n"),
        (lambda: needed(4, 1.1), "between 0 and 1"),
        (lambda: at_least([8, 4], [1, 1], 5, 1), "k = 5 is larger than n = 4"),
        (lambda: at_least(4, 1, 2, 3), "at least 3 of k = 2"),
        (lambda: at_least(4, 5, 2, 1), "between 0 and n"),
        (lambda: bayes_mean(4, 5), "between 0 and n"),
    ],
)
def test_what_cannot_be_is_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


RULE, SEEDS = "validation", (0, 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two arms, one of whose runs diverged, and the base model, from counts with different n."""
    home, rng, rows = tmp_path_factory.mktemp("coverage"), np.random.default_rng(1), []
    about = {"model": "m", "selection": RULE}
    for arm in (BASE, "grpo", "asymgrpo"):
        for seed in SEEDS[: 1 if arm == BASE else 2]:
            if (arm, seed) == ("asymgrpo", 1):
                rows.append(about | {"arm": arm, "train_seed": seed, "diverged_at": 3})
                continue
            for benchmark, n in (("chain3", 8), ("chain4", 16)):
                for problem in range(6):
                    rows.append({
                        "model": "m", "selection": None if arm == BASE else RULE, "arm": arm, "train_seed": seed,
                        "step": 5, "benchmark": benchmark, "problem_id": f"{benchmark}/{problem}", "n": n,
                        "correct": int(rng.integers(n + 1)), "truncated": 0, "unparsed": 0, "disagreed": 0,
                    })  # fmt: skip
    write_table(pa.Table.from_pylist(rows, SCHEMA), home / "counts.parquet", {})
    settings = {"seed_variance": SeedVarianceRule.pooled, "draws": 300, "seed": 0}
    given_ = {"counts": [home / "counts.parquet"], "k": [1, 4, 16], **settings}
    coverage.main(**given_, out=home / "coverage.parquet", markdown=home / "coverage.md")
    score.main(**given_, out=home / "scores.parquet")
    return home


def test_the_table_holds_the_means_over_seeds_and_problems(made: Path) -> None:
    table = read_table(made / "coverage.parquet")
    assert data_hash(table) == read_metadata(made / "coverage.parquet")["data_hash"]
    rows = {
        (row["arm"], row["benchmark"], row["metric"], row["k"], row["tau"]): row
        for row in table.to_pylist()
        if row["arm"] == "grpo"
    }
    mine = study_counts([made / "counts.parquet"], None, None).counts[RULE]["m", "grpo", "chain4"]
    expected = {
        ("cover", None, 0.25): (mine.c >= 4).mean(),
        ("g_pass_at_k", 4, 0.75): at_least(16, mine.c, 4, 3).mean(),
        ("pass_hat_k", 16, None): (mine.c == 16).mean(),
        ("bayes_at_n", 16, None): ((mine.c + 1) / 18).mean(),
    }
    for key, value in expected.items():
        row = rows["grpo", "chain4", *key]
        assert row["estimate"] == pytest.approx(value, abs=1e-11)
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
        assert row["n_seeds"] == 2
    both = [rows["grpo", name, "cover", None, 0.5]["estimate"] for name in ("chain3", "chain4")]
    assert rows["grpo", "average", "cover", None, 0.5]["estimate"] == pytest.approx(np.mean(both))
    assert ("grpo", "chain3", "pass_hat_k", 16, None) not in rows, "chain3 has 8 samples"
    assert rows["grpo", "average", "bayes_at_n", None, None]["credible_low"] is not None
    assert {key[4] for key in rows if key[2] == "cover"} == set(TAUS)


def test_the_identity_holds_in_the_table_and_is_printed(made: Path) -> None:
    rows = read_table(made / "coverage.parquet").to_pylist()
    gaps = [row["identity_gap"] for row in rows if row["metric"] == "cover_mean"]
    assert len(gaps) == 3 * (2 + 3 + 2), "three arms; two k, three and two"
    assert set(gaps) == {0.0}
    text = (made / "coverage.md").read_text()
    assert "over all arms, benchmarks and k: 0 to 12 decimals." in text
    rows[[row["metric"] for row in rows].index("cover_mean")]["identity_gap"] = 0.03
    assert "k: 3e-02." in render(rows), "and a gap would be"


def test_a_wrong_curve_leaves_a_gap(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check compares two computations: with > in place of >=, or other weights, it does not hold."""
    mine = study_counts([made / "counts.parquet"], None, None).counts[RULE]["m", "grpo", "chain4"]
    assert identity_gap([mine], 4) == 0
    monkeypatch.setattr(coverage, "beta_weights", lambda k: beta_weights(k + 1))
    assert identity_gap([mine], 4) > 1e-3


def test_cover_stands_on_the_same_samples_as_pass_at_k(made: Path) -> None:
    scores = read_table(made / "scores.parquet").to_pandas()
    table = read_table(made / "coverage.parquet").to_pandas()
    chosen = (scores["metric"] == "avg_at_n") & (scores["benchmark"] == "chain3")
    cover_ = table[(table["metric"] == "cover_mean") & (table["benchmark"] == "chain3") & (table["k"] == 1)]
    for column in ("estimate", "ci_low", "ci_high", "n_seeds", "n_samples", "n_diverged"):
        ours, theirs = (frame.set_index("arm")[column].sort_index() for frame in (cover_, scores[chosen]))
        assert ours.to_numpy() == pytest.approx(theirs.to_numpy(), abs=1e-9), column


def test_diverged_runs_are_named(made: Path) -> None:
    rows = read_table(made / "coverage.parquet").to_pylist()
    assert {row["n_diverged"] for row in rows if row["arm"] == "asymgrpo"} == {1}
    assert "| AsymGRPO | 1; diverged (1 of 2 seeds, step 3) | " in (made / "coverage.md").read_text()


def test_an_arm_of_which_every_run_diverged_has_rows_without_numbers(made: Path, tmp_path: Path) -> None:
    table = read_table(made / "counts.parquet")
    rows = table.filter(pc.not_equal(table["arm"], "asymgrpo")).to_pylist()
    rows += [
        {"model": "m", "selection": RULE, "arm": "asymgrpo", "train_seed": seed, "diverged_at": 2} for seed in SEEDS
    ]
    write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "counts.parquet", {})
    out = {"out": tmp_path / "c.parquet", "markdown": tmp_path / "c.md"}
    coverage.main(
        counts=[tmp_path / "counts.parquet"], k=[4], seed_variance=SeedVarianceRule.own, draws=50, seed=0, **out
    )
    found = read_table(out["out"]).to_pylist()
    keys = {
        arm: sorted(
            (str(row["benchmark"]), row["metric"], row["k"] or 0, row["tau"] or 0) for row in found if row["arm"] == arm
        )
        for arm in ("grpo", "asymgrpo")
    }
    assert keys["asymgrpo"] == keys["grpo"]
    assert {row["estimate"] for row in found if row["arm"] == "asymgrpo"} == {None}
    assert "| AsymGRPO | 0; diverged (2 of 2 seeds, step 2) | – |" in out["markdown"].read_text()
    assert "nan" not in out["markdown"].read_text()


def test_a_k_that_nothing_can_serve_is_refused(made: Path, tmp_path: Path) -> None:
    out = {"out": tmp_path / "c.parquet", "markdown": tmp_path / "c.md"}
    with pytest.raises(DataError, match="k = 17: no benchmark has that many"):
        coverage.main(
            counts=[made / "counts.parquet"], k=[17], seed_variance=SeedVarianceRule.own, draws=50, seed=0, **out
        )
    assert not out["out"].exists()
