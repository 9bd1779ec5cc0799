"""Every key of a configuration, and exactly the jobs that a change of it must plan: no more and no fewer."""

import pytest
import snakemake.cli  # noqa: F401 - imported here, once for every forked call

pytestmark = pytest.mark.slow

# What the mini study has: two arms with one seed, two benchmarks, the base model beside them.
CONTAMINATION = {"contamination": 1}
TABLES = {"score": 1, "table1": 1, "differences": 1, "run_scores": 1, "claims": 1, "figure": 4}
SCORED_AGAIN = {"grade": 3, **TABLES}
TRAINED_AGAIN = {"train": 2, "select": 2, "sample": 4, "grade": 2, **TABLES}
BASE_TOO = {**TRAINED_AGAIN, "sample": 6, "grade": 3}
NOTHING: dict[str, int] = {}

CHANGES: dict[str, tuple[object, dict[str, int]]] = {
    # key: (another value, jobs that it plans beside `study`, which writes the configuration down)
    "name": ("other", NOTHING),
    "arms": (
        {"asymgrpo_clip_higher": {"clip_high": 0.3}},
        {**TRAINED_AGAIN, "train": 1, "select": 1, "sample": 2, "grade": 1},
    ),
    "study.models": (["tiny", "second"], NOTHING),
    "study.arms": (["grpo"], NOTHING),
    "study.seeds": ([0, 1], NOTHING),
    "study.analyses": (["positive_only"], NOTHING),
    "study.analysis_seeds": ([7], NOTHING),
}
