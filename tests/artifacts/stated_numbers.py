"""Sentences of docs/evaluation.md that give numbers of the committed study, written from its rebuilt tables."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from evals.io import read_table

CHECKPOINT = (
    "needs {} seeds per arm for the paper's AsymGRPO against GRPO (2.9 points), and {} for AsymGRPO against Clip-higher"
)


def stated(results: Path) -> Iterator[str]:
    """The sentences, blanks collapsed."""
    yield from doses((results / "dose_response.md").read_text(encoding="utf-8"))
    for endpoint, words in (("checkpoint", CHECKPOINT), ("late", "accuracy needs {} and {}")):
        yield words.format(*seeds_needed(results, endpoint))
    yield f"it is {width(results)} times narrower"
    late, checkpoint = (correlation(results, measure) for measure in ("accuracy_late", "accuracy"))
    yield f"have a correlation of {late:.2f} (late accuracy; {checkpoint:.2f} for one checkpoint)"


def doses(page: str) -> Iterator[str]:
    """What 0.1 of dose does, over runs and over arms."""
    cells = {
        line.split(" | ")[0].strip("| "): line.split(" | ")[1:3] for line in page.split("\n") if line.startswith("| ")
    }
    (entropy, entropy_over_arms), (accuracy, accuracy_over_arms) = cells["late entropy (%)"], cells["accuracy (points)"]
    middle, low_high = entropy.split(" ", 1)
    yield f"late entropy {middle} % per 0.1 of dose {low_high} over runs and {entropy_over_arms.split(' ', 1)[1]} over arms"
    middle, low_high = accuracy.split(" ", 1)
    yield f"accuracy {middle} points {low_high} and {accuracy_over_arms.split(' ', 1)[1]}"


def seeds_needed(results: Path, endpoint: str) -> list[str]:
    """By AsymGRPO against GRPO, and against Clip-higher, at their margins."""
    command = [sys.executable, "-m", "asymgrpo", "power", str(results), "--endpoint", endpoint]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    claims = ("AsymGRPO is more accurate than GRPO", "AsymGRPO is more accurate than GRPO with Clip-higher")
    return [re.search(rf"^\| {claim} \|.*\| (\d+) \| [^|]*\|$", page, re.MULTILINE)[1] for claim in claims]


def width(results: Path) -> int:
    """By how many times the credible interval of Bayes@N is narrower than that of Table 1, median of trained arms."""
    table = read_table(results / "coverage.parquet").to_pandas()
    rows = table[(table["metric"] == "bayes_at_n") & (table["benchmark"] == "average") & (table["arm"] != "base")]
    ratio = (rows["credible_high"] - rows["credible_low"]) / (rows["ci_high"] - rows["ci_low"])
    return round(1 / ratio.median())


def correlation(results: Path, measure: str) -> float:
    """Intraclass correlation of a measure of runs, of one training seed over the arms that have most seeds."""
    table = read_table(results / "measures.parquet").to_pandas()
    mine = table[table["measure"] == measure].pivot(index="train_seed", columns="arm", values="value")
    values = mine[[arm for arm in mine if mine[arm].count() == mine.count().max()]].dropna().to_numpy()
    seeds, arms = values.shape
    between = arms * values.mean(axis=1).var(ddof=1)
    left = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    within = (left**2).sum() / ((seeds - 1) * (arms - 1))
    return float((between - within) / (between + (arms - 1) * within))


def collapsed(page: Path) -> str:
    return re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
