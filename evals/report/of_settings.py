"""The study under other base models, tasks and learning rates, as a section of the page of results (evals.pool, docs/pooling.md).

Made of what `snakemake pool` writes for settings: settings.json, pooled_claims, disagreements and by_laboratory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from asymgrpo.study.keys import as_yaml
from evals.claims.verdict import Conclusion
from evals.claims.words import NAMES, estimate_text, p_text, shown, verdict_text
from evals.io import DataError, read_object, read_table
from evals.names import EVERY_ARM, in_order, title
from evals.pool.factor import Factor
from evals.pool.words import of_settings

Row = Mapping[str, Any]
FIRST, SECOND, CLAIM = "asymgrpo", "grpo", "asym_grpo"
"""The comparison that the section is about, and its claim."""
RATE = "train.learning_rate"


@dataclass(frozen=True)
class Mean:
    """An arm in one setting: mean over its runs, standard error (None with fewer than three runs), degrees of freedom."""

    setting: str
    estimate: float
    std_error: float | None
    degrees: float | None


@dataclass(frozen=True)
class Settings:
    """A pool of settings.

    told: setting -> {runs, values: key -> value}. claims, apart: rows of pooled_claims and disagreements. means: (setting, arm)
    -> accuracy at the study's endpoint, called `measure`.
    """

    factor: Factor
    told: Mapping[str, Row]
    claims: Sequence[Row]
    apart: Sequence[Row]
    means: Mapping[tuple[str, str], Mean]
    measure: str


def read_settings(folder: Path) -> list[Settings]:
    """The pool in a folder, one for each model.

    Raises:
        DataError: a file of `snakemake pool` with `differ` is missing.
    """
    told = read_object(folder / "settings.json")
    claims, apart, means = (
        read_table(folder / f"{name}.parquet").to_pylist()
        for name in ("pooled_claims", "disagreements", "by_laboratory")
    )
    found = []
    for model in dict.fromkeys(row["model"] for row in claims):
        mine = [[row for row in rows if row["model"] == model] for rows in (claims, apart, means)]
        main = next((row for row in mine[0] if row["id"] == CLAIM), None)
        if main is None:
            raise DataError(
                f"{folder}/pooled_claims.parquet: claim {CLAIM} is not in it; pool the settings with this version"
            )
        measure = NAMES[main["measure"]]
        of_arms = {
            (row["laboratory"], row["arm"]): Mean(row["laboratory"], row["estimate"], row["std_error"], row["degrees"])
            for row in mine[2]
            if row["measure"] == measure
        }
        found.append(
            Settings(Factor(told["factor"], settings=True), told["settings"], mine[0], mine[1], of_arms, measure)
        )
    return found


def section(folder: Path) -> Iterator[str]:
    """The whole section."""
    for pool in read_settings(folder):
        yield "### Other settings\n"
        yield introduced(pool)
        yield differences(pool)
        yield pooled(pool)
        yield disagreeing(pool)
        for one, other in rates(pool):
            yield at_two_rates(pool, one, other)


def introduced(pool: Settings) -> str:
    """What the settings differ in."""
    return (
        f"{len(pool.told)} {pool.factor.plural} of the study differ in these keys, and in nothing else that a result depends on; "
        f"each has seeds of its own.\n\n{of_settings(pool.told, pool.factor)}"
    )


def differences(pool: Settings) -> str:
    """The difference of the two arms in each setting by itself."""
    head = [
        pool.factor.name,
        title(SECOND),
        title(FIRST),
        f"{title(FIRST)} − {title(SECOND)} [95 %]",
        "runs of the smaller arm",
    ]
    lines = [_line(head), _line(["---", *["--:"] * 4])]
    for row in pool.apart:
        if row["id"] == CLAIM:
            levels = [_percent(pool.means.get((row["laboratory"], arm))) for arm in (SECOND, FIRST)]
            ends = (row["ci95_low"], row["ci95_high"])
            lines.append(
                _line([row["laboratory"], *levels, _interval(pool, row["estimate"], *ends), str(row["n_seeds"])])
            )
    return f"Accuracy in per cent, {_about(pool)}:\n\n" + "\n".join(lines) + "\n"


def _about(pool: Settings) -> str:
    return str(next(row["measure"] for row in pool.claims if row["id"] == CLAIM))


def pooled(pool: Settings) -> str:
    """The difference over settings, and how much settings differ in it."""
    row = next(row for row in pool.claims if row["id"] == CLAIM)
    if row["verdict"] == Conclusion.NOT_TESTED:
        return f"Over all {pool.factor.plural} it is not tested: {row['why_not']}.\n"
    middle = _interval(pool, row["estimate"], row["ci95_low"], row["ci95_high"])
    size = shown(pool.measure, 2**0.5 * row["sd_laboratory_arm"]).lstrip("+")
    p = next((one["p_differ"] for one in pool.apart if one["id"] == CLAIM and one["p_differ"] is not None), None)
    test = "" if p is None else f" (F test against their seeds: p {p_text(p) if p < 0.001 else f'= {p_text(p)}'})"
    return (
        f"With the {pool.factor.name} as a random factor: {middle} {row['unit']} (95 %), at the level of the claims "
        f"{estimate_text(row)}: **{verdict_text(row)}**. The difference varies between {pool.factor.plural} with a standard "
        f"deviation of {size} {row['unit']}{test}, runs of one arm in one {pool.factor.name} with "
        f"{shown(pool.measure, row['sd_seeds']).lstrip('+')}.\n"
    )


def disagreeing(pool: Settings) -> str:
    """The claims on which settings differ."""
    tested = dict.fromkeys(row["id"] for row in pool.apart)
    found = dict.fromkeys(row["id"] for row in pool.apart if row["differ"] or row["opposite"])
    sentences = [row["claim"] for row in pool.claims if row["id"] in found]
    named = f": {'; '.join(sentences)}" if sentences else ""
    return f"The {pool.factor.plural} differ on {len(found)} of {len(tested)} claims that could be tested{named}.\n"


def rates(pool: Settings) -> list[tuple[str, str]]:
    """Pairs of settings that differ in the learning rate alone.

    >>> values = {"a": {RATE: 2, "x": 1}, "b": {RATE: 1, "x": 1}, "c": {RATE: 2, "x": 0}}
    >>> told = {name: {"values": mine} for name, mine in values.items()}
    >>> rates(Settings(Factor("setting"), told, [], [], {}, "accuracy"))
    [('a', 'b')]
    """
    values = {name: about["values"] for name, about in pool.told.items()}
    return [
        (one, other)
        for one, other in combinations(values, 2)
        if {key for key, value in values[one].items() if value != values[other][key]} == {RATE}
    ]


def at_two_rates(pool: Settings, one: str, other: str) -> str:
    """Every arm that was run at both rates: its accuracy at each, and its difference from GRPO with each at its better rate."""
    both = {arm for name, arm in pool.means if name == one} & {arm for name, arm in pool.means if name == other}
    if SECOND not in both:
        return f"{title(SECOND)} was not run at both rates.\n"
    at = [as_yaml(pool.told[name]["values"][RATE]) for name in (one, other)]
    lines = [_line(["arm", *(f"at {rate}" for rate in at), f"better − {title(SECOND)}'s better [95 %]"])]
    lines.append(_line(["---", *["--:"] * 3]))
    best = {arm: max((pool.means[name, arm] for name in (one, other)), key=lambda mean: mean.estimate) for arm in both}
    for arm in in_order(both, EVERY_ARM):
        apart = "" if arm == SECOND else _interval(pool, *less(best[arm], best[SECOND]))
        lines.append(_line([title(arm), *(_percent(pool.means[name, arm]) for name in (one, other)), apart]))
    text = (
        f"Accuracy of each arm at two learning rates ({one} and {other}), in per cent [95 %]:\n\n"
        + "\n".join(lines)
        + "\n"
    )
    note = (
        "\nThe better rate is the one with the higher mean of the same runs, which favours an arm that varies more; intervals do "
        "not count this choice.\n"
    )
    return text + note


def less(one: Mean, other: Mean) -> tuple[float, float | None, float | None]:
    """(difference, ends of its 95 % interval) of two arms; in one setting they share the variance between seeds.

    >>> less(Mean("a", 0.5, 0.03, 9.0), Mean("a", 0.4, 0.04, 9.0))[0]
    0.1
    >>> [round(end, 3) for end in less(Mean("a", 0.5, 0.03, 9.0), Mean("b", 0.4, 0.04, 9.0))[1:]]
    [-0.006, 0.206]
    """
    middle = round(one.estimate - other.estimate, 12)
    if not (one.std_error and other.std_error and one.degrees and other.degrees):
        return middle, None, None
    a, b = one.std_error**2, other.std_error**2
    degrees = (
        one.degrees if one.setting == other.setting else (a + b) ** 2 / (a**2 / one.degrees + b**2 / other.degrees)
    )
    half = float(stdtrit(degrees, 0.975) * np.sqrt(a + b))
    return middle, middle - half, middle + half


def _interval(pool: Settings, middle: float | None, low: float | None, high: float | None) -> str:
    if middle is None:
        return "–"
    ends = "" if low is None or high is None else f" [{shown(pool.measure, low)}, {shown(pool.measure, high)}]"
    return shown(pool.measure, middle) + ends


def _percent(mean: Mean | None) -> str:
    if mean is None:
        return "–"
    if mean.std_error is None or mean.degrees is None:
        return f"{100 * mean.estimate:.1f}"
    half = float(stdtrit(mean.degrees, 0.975)) * mean.std_error
    return f"{100 * mean.estimate:.1f} [{100 * (mean.estimate - half):.1f}, {100 * (mean.estimate + half):.1f}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
