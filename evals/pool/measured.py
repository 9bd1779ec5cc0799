"""The scores and measures of each setting's runs, all of them side by side.

They are taken within a setting, because some depend on its other runs (entropy at a success that its arms share) and some on its
benchmarks (their average). Base models are left out: each setting has its own, or draws its own answers from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from asymgrpo.study.layout import Layout, trained_runs, with_base
from asymgrpo.study.settings import BASE
from evals.claims.measures import measure_runs
from evals.names import rule_to_show
from evals.pool.laboratories import Laboratory
from evals.tables import run_scores


def of_one(setting: Laboratory) -> tuple[pa.Table, pa.Table]:
    """(scores, measures) of the trained runs of a setting, as evals.tables.run_scores and evals.claims.measures have them."""
    study, runs = setting.study, trained_runs(setting.study)
    with tempfile.TemporaryDirectory() as home:
        setting.bundle.unpack(Path(home))
        layout = Layout(study.model_copy(update={"results": Path(home)}))
        patterns = (layout.selection, layout.metrics, layout.evaluations)
        selections, metrics, evaluations = ([Path(of.format(**run)) for run in runs] for of in patterns)
        graded = [Path(layout.graded.format(**run)) for run in with_base(study, runs)]
        problems = [Path(layout.problems.format(dataset=name)) for name in study.evaluation.benchmarks]
        out = Path(home) / "run_scores.parquet"
        run_scores.main(graded=graded, selection=selections, problems=problems, k=study.evaluation.k, out=out)
        scores = run_scores.read_run_scores(out)
        rule = rule_to_show(scores["selection"].unique().to_pylist())
        measures = measure_runs(metrics, scores.to_pandas(), rule, evaluations)
    return _trained(scores), _trained(measures)


def _trained(table: pa.Table) -> pa.Table:
    return table.filter(pc.not_equal(table["arm"], BASE))


def of_all(settings: Sequence[Laboratory]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same of all settings, as frames."""
    scores, measures = zip(*map(of_one, settings), strict=True)
    return pa.concat_tables(scores).to_pandas(), pa.concat_tables(measures).to_pandas()
