"""Coverage of the intervals on simulated studies, and identities of the estimator."""

import time
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.estimates.bootstrap import Cells, rest_variance
from evals.estimates.cells import count_cells
from evals.estimates.selection import Chosen, select
from evals.estimates.stats import (
    holm,
    mean_interval,
    mean_intervals,
    own_seed_variance,
    paired_difference,
    pooled_seed_variance,
)
from evals.tables.options import SeedVarianceRule
from evals.tables.score import score

TRUTH = 0.5


def simulate(
    rng: np.random.Generator,
    n_seeds: int,
    n_problems: int,
    n_samples: int | None,
    seed_sd: float,
    problem_sd: float,
) -> np.ndarray:
    """[S, P] cell values with mean 0.5; binomial sampling noise unless n_samples is None."""
    seeds = seed_sd * rng.standard_normal((n_seeds, 1))
    # Uniform problems: their sd is width / sqrt(12), and probabilities stay inside (0, 1).
    problems = problem_sd * np.sqrt(12) * rng.uniform(-0.5, 0.5, (1, n_problems))
    p = np.broadcast_to(TRUTH + seeds + problems, (n_seeds, n_problems))
    return p if n_samples is None else rng.binomial(n_samples, np.clip(p, 0, 1)) / n_samples


STUDIES = {
    "problem only, 1 seed": {
        "n_seeds": 1,
        "n_problems": 40,
        "n_samples": None,
        "seed_sd": 0.0,
        "problem_sd": 0.2,
    },
    "problem only, 4 seeds": {
        "n_seeds": 4,
        "n_problems": 40,
        "n_samples": None,
        "seed_sd": 0.0,
        "problem_sd": 0.2,
    },
    "sample only, 1 seed": {
        "n_seeds": 1,
        "n_problems": 40,
        "n_samples": 8,
        "seed_sd": 0.0,
        "problem_sd": 0.0,
    },
    "sample only, 2 seeds": {
        "n_seeds": 2,
        "n_problems": 200,
        "n_samples": 8,
        "seed_sd": 0.0,
        "problem_sd": 0.0,
    },
    "sample only, 5 seeds": {
        "n_seeds": 5,
        "n_problems": 40,
        "n_samples": 8,
        "seed_sd": 0.0,
        "problem_sd": 0.0,
    },
    "seed only, 2 seeds": {
        "n_seeds": 2,
        "n_problems": 40,
        "n_samples": None,
        "seed_sd": 0.02,
        "problem_sd": 0.0,
    },
    "seed only, 8 seeds": {
        "n_seeds": 8,
        "n_problems": 40,
        "n_samples": None,
        "seed_sd": 0.02,
        "problem_sd": 0.0,
    },
    "all, 8 seeds": {"n_seeds": 8, "n_problems": 100, "n_samples": 8, "seed_sd": 0.02, "problem_sd": 0.2},
    "seed and sample, 3 seeds": {
        "n_seeds": 3,
        "n_problems": 200,
        "n_samples": 8,
        "seed_sd": 0.02,
        "problem_sd": 0.0,
    },
}


def coverage(study: dict, repetitions: int) -> float:
    rng = np.random.default_rng(20)
    arms: list[Cells] = [[simulate(rng, **study)] for _ in range(repetitions)]
    hits = 0
    for block in range(0, repetitions, 50):  # a new bootstrap stream now and then
        some = arms[block : block + 50]
        own = [own_seed_variance(cells) for cells in some]
        found = mean_intervals(some, own, seed=block, draws=1000, level=0.95)
        hits += sum(interval.ci_low <= TRUTH <= interval.ci_high for interval in found)
    return hits / repetitions


@pytest.mark.parametrize("name", STUDIES)
def test_nominal_95_covers_93_to_97_per_cent(name: str) -> None:
    # Standard error of 2000 repetitions: 0.5 %.
    assert 0.93 <= coverage(STUDIES[name], 2000) <= 0.97


@pytest.mark.parametrize("n_seeds", [1, 4])
def test_rare_success_on_few_problems_still_covers(n_seeds: int) -> None:
    rng, truth, hits, studies = np.random.default_rng(6), 0.2 / 2.2, 0, 2000
    arms: list[Cells] = []
    for _ in range(studies):
        p = np.broadcast_to(rng.beta(0.2, 2, (1, 30)), (n_seeds, 30))
        arms.append([rng.binomial(10, p) / 10])
    for block in range(0, studies, 50):
        some = arms[block : block + 50]
        own = [own_seed_variance(cells) for cells in some]
        found = mean_intervals(some, own, seed=block, draws=1000, level=0.95)
        hits += sum(interval.ci_low <= truth <= interval.ci_high for interval in found)
    # below nominal, as the limits in evals.estimates.stats say: 92.7 % measured with one seed
    assert 0.92 <= hits / studies <= 0.97


@pytest.mark.parametrize("missed", [1, 2, 5])
def test_nearly_everything_solved_has_a_short_interval(missed: int) -> None:
    """A benchmark where two seeds solve all but a trace is not an unknown one (the logit scale gave 0 to 100 %)."""
    cells = np.ones((2, 40))
    cells[0, :missed] = 1 - 1e-3
    for variance in (own_seed_variance([cells]), None):
        found = mean_interval([cells], variance, seed=0, draws=1000, level=0.95)
        assert 0.9 < found.ci_low <= found.estimate <= found.ci_high <= 1


@pytest.mark.parametrize("seed_sd", [0.0, 0.03])
def test_pooling_covers_when_arms_have_equal_seed_variance(seed_sd: float) -> None:
    rng, hits, total = np.random.default_rng(3), 0, 0
    draw = partial(simulate, n_seeds=2, n_problems=100, n_samples=8, seed_sd=seed_sd, problem_sd=0.2)
    for study in range(200):
        arms: list[Cells] = [[draw(rng)] for _ in range(7)]
        pooled = pooled_seed_variance(arms)
        found = mean_intervals(arms, [pooled] * 7, seed=study, draws=1000, level=0.95)
        hits += sum(interval.ci_low <= TRUTH <= interval.ci_high for interval in found)
        total += len(found)
    assert 0.93 <= hits / total <= 0.97


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("n_seeds", [2, 4])
def test_paired_differences_cover_zero_and_reject_five_per_cent(n_seeds: int, pooled: bool) -> None:
    rng, hits, small, studies = np.random.default_rng(4), 0, 0, 1500
    for study in range(studies):
        problems = 0.25 * rng.uniform(-1, 1, 60)
        pair: list[Cells] = []
        for _ in range(2):
            p = TRUTH + 0.03 * rng.standard_normal((n_seeds, 1)) + problems
            pair.append([rng.binomial(8, p) / 8])
        shared = pooled_seed_variance(pair)
        variances = (shared, shared) if pooled else (own_seed_variance(pair[0]), own_seed_variance(pair[1]))
        found = paired_difference(*pair, variances, seed=study % 20, draws=1000, level=0.95)
        hits += found.ci_low <= 0 <= found.ci_high
        small += found.p_value < 0.05
    assert 0.93 <= hits / studies <= 0.98
    assert 0.02 <= small / studies <= 0.07


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(2, 12), st.integers(0, 1000))
def test_the_estimate_is_the_plain_mean_inside_its_interval(n_seeds: int, n_problems: int, seed: int) -> None:
    cells = [np.random.default_rng(seed).random((n_seeds, n_problems))]
    found = mean_interval(cells, own_seed_variance(cells), seed=seed, draws=500, level=0.95)
    assert found.estimate == pytest.approx(cells[0].mean(), abs=1e-11)
    assert 0 <= found.ci_low <= found.estimate <= found.ci_high <= 1
    assert (found.n_seeds, found.n_problems) == (n_seeds, n_problems)


@settings(max_examples=30)
@given(st.integers(2, 5), st.integers(2, 10), st.integers(0, 1000))
def test_standard_error_is_that_of_the_crossed_analysis_of_variance(s: int, p: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random((s, p)) + rng.random((s, 1)) + rng.random((1, p))) / 3
    rest = rest_variance(y) * p
    seeds = p * y.mean(axis=1).var(ddof=1)
    problems = s * y.mean(axis=0).var(ddof=1)
    expected = max(0.0, (seeds + problems - rest) / (s * p))
    found = mean_interval([y], own_seed_variance([y]), seed=0, draws=10, level=0.5)
    assert found.std_error == pytest.approx(np.sqrt(expected), abs=1e-9)


def test_a_difference_changes_sign_with_its_arms() -> None:
    rng = np.random.default_rng(0)
    a, b = [rng.random((3, 20))], [rng.random((2, 20))]
    own = (own_seed_variance(a), own_seed_variance(b))
    one = paired_difference(a, b, own, seed=1, draws=4000, level=0.95)
    two = paired_difference(b, a, own[::-1], seed=1, draws=4000, level=0.95)
    assert one.estimate == -two.estimate
    assert one.std_error == pytest.approx(two.std_error, abs=1e-12)
    assert one.ci_low == pytest.approx(-two.ci_high, rel=0.1)


def test_pairing_takes_the_problems_out() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(50)
    a, b = [np.clip(hard + 0.02, 0, 1)[None]], [hard[None]]
    found = paired_difference(a, b, (None, None), seed=1, draws=1000, level=0.95)
    alone = mean_interval(a, None, seed=1, draws=1000, level=0.95)
    assert found.std_error < alone.std_error / 20
    assert found.p_value < 0.01


def test_no_success_at_all_is_not_certainty() -> None:
    found = mean_interval([np.zeros((2, 30))], None, seed=0, draws=100, level=0.95)
    assert (found.estimate, found.ci_low) == (0.0, 0.0)
    assert found.ci_high == pytest.approx(1 - 0.025 ** (1 / 30), abs=1e-6)


def test_the_average_weighs_benchmarks_equally_and_not_problems() -> None:
    small, large = np.full((2, 10), 0.2), np.full((2, 1000), 0.6)
    found = mean_interval([small, large], None, seed=0, draws=10, level=0.95)
    assert found.estimate == pytest.approx(0.4)
    assert found.n_problems == 1010


def test_same_names_same_draws_and_rows_do_not_influence_each_other() -> None:
    rng = np.random.default_rng(0)
    arms: list[Cells] = [[rng.random((3, 20))] for _ in range(4)]
    own = [own_seed_variance(cells) for cells in arms]
    together = mean_intervals(arms, own, seed=5, draws=1500, level=0.95)
    alone = [mean_interval(c, v, seed=5, draws=1500, level=0.95) for c, v in zip(arms, own, strict=True)]
    assert together == alone


def test_holm_controls_the_family() -> None:
    adjusted = holm([0.01, 0.02, 0.5, 0.04])
    assert adjusted == pytest.approx([0.04, 0.06, 0.5, 0.08])
    assert holm([]).size == 0


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([], "no benchmark"),
        ([np.zeros((2, 0))], "non-empty"),
        ([np.full((2, 3), np.nan)], "not finite"),
        ([np.full((2, 3), 50.0)], "not per cent"),
        ([np.zeros((2, 3)), np.zeros((3, 3))], "same training seeds"),
    ],
)
def test_bad_cells_are_refused(cells: list[np.ndarray], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mean_interval(cells, None, seed=0, draws=10, level=0.95)


@pytest.mark.slow
def test_a_million_samples_take_less_than_five_seconds() -> None:
    arms = ("base", "reinforce", "grpo", "grpo_entropy", "dr_grpo", "asymgrpo")
    rng, seeds, problems, n = np.random.default_rng(0), 4, 500, 100
    size = len(arms) * seeds * problems * n
    grid = np.indices((len(arms), seeds, problems, n)).reshape(4, size)
    correct = rng.random(size) < 0.5
    table = pa.table(
        {
            "model": ["m"] * size,
            "arm": np.array(arms)[grid[0]],
            "train_seed": pa.array(grid[1], pa.int32()),
            "step": pa.array(grid[0] > 0, pa.bool_()).cast(pa.int32()),
            "benchmark": np.array([f"b{i}" for i in range(5)])[grid[2] % 5],
            "problem_id": grid[2].astype(str),
            "sample_id": pa.array(grid[3], pa.int32()),
            "correct": correct,
            "second_correct": correct,
            "verdict": np.where(correct, "correct", "wrong"),
            "extracted": np.where(correct, "1", "2"),
            "n_tokens": np.ones(size, np.int32),
        }
    )
    runs = [{"model": "m", "arm": arm, "train_seed": s, "step": 1} for arm in arms[1:] for s in range(seeds)]
    selection = [Chosen(**run, selection="last", diverged_at=None) for run in runs]
    start = time.process_time()
    counts = {rule: count_cells(rows, votes=False) for rule, rows in select(table, selection).items()}
    found = score(counts, {"last": {}}, [1, 2, 4, 8, 16, 32, 64], [], SeedVarianceRule.own, 0, 10_000)
    assert size > 1_000_000
    assert found.num_rows == len(arms) * 6 * 8
    assert time.process_time() - start < 5


def test_different_problems_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same problems"):
        paired_difference([np.zeros((1, 3))], [np.zeros((1, 4))], (None, None), seed=0, draws=9, level=0.9)
