"""A real base model evaluated again on this machine: with torch on a CPU nothing changes, in whatever batches."""

import pytest

from asymgrpo.study.settings import BASE, part, plan_of
from asymgrpo.study.stored import study_of_results
from asymgrpo.tasks.table import read_problems
from evals.repeatability.compare import compare
from evals.repeatability.measure import asked_of, measured

pytestmark = pytest.mark.slow


def test_the_same_evaluation_gives_the_same_texts(results):
    study = study_of_results(results)
    names = study.evaluation.benchmarks
    rows = {name: read_problems(results / f"data/{name}.parquet", ("problem_id", "problem")) for name in names}
    settings = asked_of(part(plan_of(study), ["tiny"], [BASE], names))
    found = {
        one: table for one, table in measured(settings, results / "models/tiny/base", rows) if one.engine == "torch"
    }
    most = max(map(len, rows.values()))
    assert [(one.name, one.batch) for one in found][:3] == [
        ("first", most),
        ("again", most),
        (f"batch {most // 2}", most // 2),
    ]
    first, *others = found.values()
    assert first.num_rows == sum(map(len, rows.values())), "one greedy answer to each problem"
    assert {row["changed_texts"] for other in others for row in compare(first, other)} == {0}
