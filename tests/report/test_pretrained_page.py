"""The page of a pretrained model: whether reward rises is arithmetic on the metrics, and every number is the tables'."""

from pathlib import Path

import numpy as np
import pytest

from evals.report import pretrained_page
from evals.report.pretrained_page import rise
from evals.report.results import read_results


@pytest.mark.parametrize(("slope", "noise"), [(0.01, 0.02), (0.0, 0.05), (-0.02, 0.01)])
def test_slope_and_error_are_those_of_least_squares(slope, noise):
    steps = np.arange(30.0)
    curve = 0.3 + slope * steps + noise * np.random.default_rng(0).normal(size=30)
    (expected, _), covariance = np.polyfit(steps, curve, 1, cov=True)
    found = rise(curve)
    assert found.slope == pytest.approx(expected, abs=1e-10)
    assert found.error == pytest.approx(covariance[0, 0] ** 0.5, rel=1e-6)
    assert (found.first, found.last) == pytest.approx((curve[:10].mean(), curve[20:].mean()))
    assert found.is_clear == (slope > 0)


def test_the_error_covers_the_slope_of_noise():
    rng = np.random.default_rng(1)
    clear = [rise(rng.normal(size=30)).is_clear for _ in range(400)]
    assert 0.005 < np.mean(clear) < 0.06, "one-sided, two standard errors of a t with 28 degrees of freedom: 2.8 %"


def test_the_page_has_every_run_and_its_figures(study: Path, tmp_path: Path):
    out, images = tmp_path / "docs" / "pretrained.md", tmp_path / "docs" / "images"
    pretrained_page.main(study, out, images)
    text, results = out.read_text(), read_results(study)
    for run in results.finished:
        found = rise(run.table("metrics")["reward_mean"].to_numpy())
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {results.name(run)} |")]
        assert f"| {100 * found.first:.1f} | {100 * found.last:.1f} | {100 * found.slope:+.2f} ± " in line
    assert f"of {len(results.finished)} runs" in text
    assert "](images/training_curves.png)" in text
    assert {path.name for path in images.iterdir()} == {"training_curves.png"}
    assert "## Table 1" in text
