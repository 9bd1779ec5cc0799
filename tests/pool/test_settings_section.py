"""The section on other settings: differences by setting, their pool, and arms at two learning rates."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from evals.claims.measures import SCHEMA
from evals.claims.readings import Endpoint
from evals.pool import tables
from evals.pool.factor import Factor
from evals.report import of_settings
from evals.tables.run_scores import SCHEMA as SCORES

RATES = {"sums": 0.0004, "slow": 0.0002, "lcm": 0.0004}
TRUE = {"grpo": {"sums": 0.50, "slow": 0.55, "lcm": 0.30}, "asymgrpo": {"sums": 0.56, "slow": 0.52, "lcm": 0.36}}
"""arm -> setting -> accuracy: at its better rate AsymGRPO is 0.01 above GRPO."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of three settings, each with its mean to the last digit."""
    out, rng, rows = tmp_path_factory.mktemp("pool"), np.random.default_rng(1), []
    told = {
        name: {"manifest_sha256": "0", "runs": [], "values": {"data.train": name == "lcm", of_settings.RATE: rate}}
        for name, rate in RATES.items()
    }
    for arm, means in TRUE.items():
        for index, (name, mean) in enumerate(means.items()):
            noise = rng.normal(size=6)
            for seed, value in zip(range(10 * index, 10 * index + 6), noise - noise.mean(), strict=True):
                told[name]["runs"].append(f"m/{arm}/seed{seed}")
                about = {"model": "m", "arm": arm, "train_seed": seed}
                rows.append(about | {"measure": "accuracy_late", "value": mean + 0.01 * value})
                rows.append(about | {"measure": "mixed_share", "value": 0.6})
    frame, scores = pa.Table.from_pylist(rows, SCHEMA).to_pandas(), SCORES.empty_table().to_pandas()
    tables.write(told, scores, frame, out, Endpoint.late, Factor("setting", settings=True), {})
    (out / tables.SETTINGS).write_text(json.dumps({"factor": "setting", "differ": [], "settings": told}))
    return out


def test_every_setting_has_its_difference_and_the_pool_says_how_much_they_vary(folder: Path) -> None:
    (pool,) = of_settings.read_settings(folder)
    rows = {
        line.split(" | ")[0][2:]: line for line in of_settings.differences(pool).split("\n") if line.startswith("| ")
    }
    assert rows.keys() >= RATES.keys()
    assert ["+6.0 [" in rows["sums"], "−3.0 [" in rows["slow"], "+6.0 [" in rows["lcm"]] == [True] * 3
    assert "50.0 [" in rows["sums"]
    assert rows["sums"].endswith("| 6 |")
    text = of_settings.pooled(pool)
    assert text.startswith("With the setting as a random factor: +3.0 [")
    assert "**inconclusive**" in text
    between = np.std([0.06, -0.03, 0.06], ddof=1)
    assert float(text.split("standard deviation of ")[1].split()[0]) == pytest.approx(100 * between, abs=0.3)
    assert "differ on 1 of " in of_settings.disagreeing(pool)


def test_arms_are_compared_at_their_better_rates(folder: Path) -> None:
    (pool,) = of_settings.read_settings(folder)
    assert of_settings.rates(pool) == [("sums", "slow")]
    text = of_settings.at_two_rates(pool, "sums", "slow")
    line = next(line for line in text.split("\n") if line.startswith("| AsymGRPO"))
    assert line.startswith("| AsymGRPO | 56.0 [")
    assert "| 52.0 [" in line
    assert "| +1.0 [" in line
    assert "| arm | at 0.0004 | at 0.0002 | better − GRPO's better [95 %] |" in text


def test_a_difference_within_a_setting_has_the_degrees_of_freedom_of_its_pooled_variance() -> None:
    one, other = of_settings.Mean("a", 0.5, 0.03, 9.0), of_settings.Mean("a", 0.4, 0.04, 9.0)
    assert of_settings.less(one, other)[2] == pytest.approx(0.1 + stats.t.ppf(0.975, 9) * 0.05)
    assert of_settings.less(one, of_settings.Mean("a", 0.4, None, None)) == (0.1, None, None)


def test_the_section_is_whole(folder: Path) -> None:
    text = "\n".join(of_settings.section(folder))
    assert text.startswith("### Other settings\n\n3 settings of the study differ in these keys")
    assert "| `train.learning_rate` | 0.0004 | 0.0002 | 0.0004 |" in text
    assert "laborator" not in text
