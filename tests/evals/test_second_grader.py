"""Verdicts by the second grader: where it disagrees about an arm, the verdict on that arm changes, and no other one."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from evals.claims.decided import SCHEMA as CLAIMS
from evals.claims.decided import claim_rows
from evals.claims.measures import SCHEMA as MEASURES
from evals.claims.measures import score_measures
from evals.claims.readings import Endpoint, at
from evals.claims.table import CLAIMS as EVERY
from evals.io import write_table
from evals.tables import second_grader
from evals.tables.counts import SCHEMA, by_rule
from evals.tables.run_scores import run_scores
from evals.tables.second_grader import by_second

ARMS = {"reinforce": (50, 50), "grpo": (50, 50), "asymgrpo": (80, 50)}
"""Arm -> samples of 100 that the first and the second grader find correct."""
SEEDS, K = range(5), [1, 4]


def counts() -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                **{
                    "selection": "validation",
                    "model": "m",
                    "arm": arm,
                    "train_seed": seed,
                    "step": 5,
                    "benchmark": "b",
                },
                **{
                    "problem_id": f"p{p}",
                    "n": 100,
                    "correct": one + seed,
                    "second_correct": other + seed,
                    "tokens": 300,
                },
                **dict.fromkeys(("truncated", "unparsed", "timeout"), 0),
                "disagreed": one - other,
            }
            for arm, (one, other) in ARMS.items()
            for seed in SEEDS
            for p in range(4)
        ],
        SCHEMA,
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[dict]:
    home: Path = tmp_path_factory.mktemp("second")
    write_table(counts(), home / "counts.parquet", {})
    found = [{"selection": "validation", **row} for row in run_scores(by_rule(counts())[0]["validation"], K)]
    scores = score_measures(pd.DataFrame(found).assign(diverged_at=None), "validation")
    about = {"model": "m", "measure": "mixed_share", "value": 0.5}
    training = [about | {"arm": arm, "train_seed": seed} for arm in ARMS for seed in SEEDS]
    measures = pa.Table.from_pylist([*scores, *training], MEASURES)
    write_table(measures, home / "measures.parquet", {})
    write_table(
        pa.Table.from_pylist(list(claim_rows(EVERY, measures.to_pandas())), CLAIMS), home / "claims.parquet", {}
    )
    out = home / "out.parquet"
    second_grader.main(
        [home / "counts.parquet"], K, home / "measures.parquet", home / "claims.parquet", out, out.with_suffix(".md")
    )
    text = out.with_suffix(".md").read_text()
    assert (
        "| supported and relevant: +30.0 [+26.3, +33.7] points | **inconclusive: +0.0 [−3.7, +3.7] points** |" in text
    )
    assert "3 of 4 verdicts change with the grader." in text
    return second_grader.read_second_grader(out).to_pylist()


def test_a_planted_disagreement_changes_the_verdicts_that_rest_on_it(rows):
    found = {row["id"]: row for row in rows}
    assert found.keys() == {claim.id for claim in EVERY}
    for name in ("asym_grpo", "asym_reinforce"):
        assert (found[name]["verdict"], found[name]["changed"]) == ("supported", True)
        assert found[name]["estimate"] == pytest.approx(0.3)
        assert found[name]["second_estimate"] == pytest.approx(0.0, abs=1e-12)
    same = found["grpo_reinforce"]
    assert (same["verdict"], same["changed"]) == (same["second_verdict"], False)
    assert {row["id"] for row in rows if row["changed"]} == {"asym_grpo", "asym_reinforce", "coverage_asym"}
    assert not any(row["changed"] for row in rows if not row["of_scores"])


def test_claims_are_decided_again_at_the_endpoint_of_the_study():
    """Accuracy late in training is the first grader's: its verdicts stay, whatever the second says of the checkpoints."""
    cells = [(arm, seed, 0.7 + 0.01 * seed + 0.1 * (arm == "asymgrpo")) for arm in ARMS for seed in SEEDS]
    about = {"model": "m", "sampling_sd": None, "selection": None, "diverged_at": None}
    rows = [
        about | {"arm": arm, "train_seed": seed, "measure": measure, "value": value}
        for arm, seed, late in cells
        for measure, value in {"accuracy_late": late, "accuracy": 0.5, "mixed_share": 0.5}.items()
    ]
    frame = pd.DataFrame(rows)
    first = pa.Table.from_pylist(list(claim_rows(at(Endpoint.late, EVERY), frame)), CLAIMS).to_pylist()
    found = {row["id"]: row for row in second_grader.second_rows(first, frame)}
    assert found["asym_grpo"]["verdict"] == found["asym_grpo"]["second_verdict"] == "supported"
    assert not any(row["changed"] or row["of_scores"] for row in found.values() if "accurate" in row["claim"])


def test_only_what_is_correct_is_replaced():
    first = by_rule(counts())[0]["validation"]
    for key, item in by_second(first).items():
        assert (item.c == first[key].second).all()
        assert (item.n == first[key].n).all()


def test_claims_that_nobody_could_test_are_not_counted(rows):
    assert {row["id"] for row in second_grader.tested(rows)} >= {"asym_grpo", "grpo_reinforce"}
    assert all(row["verdict"] != "not tested" for row in second_grader.tested(rows))
