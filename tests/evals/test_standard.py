"""The page of the minimum standard: each point holds or fails with what its table says, and with nothing else."""

from dataclasses import replace

import pytest

from evals.tables.standard import FAILS, HOLDS, OPEN, POINTS, Tables, points, render


def of_arm(arm: str, **other) -> dict:
    return {"arm": arm, "benchmark": "average", "n_seeds": 8, "estimate": 0.5, "ci_low": 0.45, "ci_high": 0.55, **other}


def scores(**other) -> list[dict]:
    return [of_arm(arm, metric="avg_at_n", grader_disagreement=0.001, **other) for arm in ("base", "grpo")]


def answers(low: float) -> list[dict]:
    ends = {"difference": low + 0.05, "difference_low": low, "difference_high": low + 0.1}
    none = dict.fromkeys(ends)
    return [
        of_arm(arm, metric=metric) | (ends if arm == "grpo" else none)
        for arm in ("base", "grpo")
        for metric in ("wrong", "unparsed", "truncated")
    ]


def budget(low: float) -> list[dict]:
    votes = [of_arm(arm, metric="maj_at_k", k=k, tokens=10.0 * k) for arm in ("base", "grpo") for k in (1, 4)]
    gain = of_arm("grpo", metric="gain_at_equal_tokens", k=4, tokens=40.0) | {"ci_low": low}
    return [*votes, gain]


def verdict(changed: bool) -> dict:
    return {"id": "a", "verdict": "supported", "second_verdict": "supported", "of_scores": True, "changed": changed}


def known(memorised: bool) -> dict:
    return {"benchmark": "chain4", "share": 0.6, "exact": 0.5, "control_exact": 0.1, "memorised": memorised}


def repeated(difference: float) -> list[dict]:
    return [
        {"variant": name, "benchmark": "chain4", "difference": value, "changed_texts": 0}
        for name, value in (("again", 0.0), ("batch 4", difference))
    ]


NEAR = {"benchmark": "chain4", "problems": 40, "exact": 0, "normalised": 0, "jaccard >= 0.8": 0}
GOOD = Tables(scores(), answers(-0.2), budget(0.01), [verdict(False)], [NEAR], [known(False)], repeated(0.01))
CHANGES = {
    "variance": {"scores": scores(n_seeds=2)},
    "saturation curves": {"budget": budget(0.01)[2:]},
    "equal budgets": {"budget": budget(-0.01)},
    "abstention": {"answers": answers(0.01)},
    "judge robustness": {"second": [verdict(True)]},
    "overlap": {"overlap": [NEAR | {"jaccard >= 0.8": 1}]},
    "partial prompts": {"memorisation": [known(True)]},
    "repeatability": {"repeatability": repeated(-0.06)},
}
"""Point -> what makes it fail, and only it."""


def statuses(tables: Tables) -> dict[str, str]:
    return {row["point"]: row["status"] for row in points(tables)}


def test_a_study_that_does_it_all_holds_but_for_what_nobody_measures():
    assert statuses(GOOD) == dict.fromkeys(POINTS, HOLDS) | {"calibration": OPEN}


@pytest.mark.parametrize("point", CHANGES)
def test_each_point_fails_by_its_own_table_alone(point):
    assert statuses(replace(GOOD, **CHANGES[point])) == statuses(GOOD) | {point: FAILS}


def test_what_was_not_made_is_not_measured():
    bare = replace(GOOD, memorisation=[], repeatability=[])
    assert statuses(bare) == statuses(GOOD) | {"partial prompts": OPEN, "repeatability": OPEN}


def test_the_page_counts_its_points():
    rows = [{"model": "m", "selection": "validation", **row} for row in points(GOOD)]
    text = render(rows)
    assert f"{len(POINTS)} points: holds {len(POINTS) - 1}, does not hold 0, not measured 1." in text
    assert "at most -15.0 [-20.0, -10.0] (GRPO)" in text
    assert all(f"| {name} |" in text for name in POINTS)
