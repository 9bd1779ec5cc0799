"""Configurations are merged as Snakemake merges them, without importing it."""

import copy
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.study.stored import ROOT, updated

keys = st.sampled_from("abc")
values = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
mappings = st.dictionaries(keys, values, max_size=3)


@given(mappings, mappings)
def test_the_merge_is_snakemakes(old, new):
    from snakemake.utils import update_config

    theirs, before = copy.deepcopy(old), copy.deepcopy((old, new))
    update_config(theirs, copy.deepcopy(new))
    assert updated(old, new) == theirs
    assert (old, new) == before, "neither is changed"


def test_the_planner_does_not_import_snakemake():
    check = (
        "import sys, asymgrpo.planner.plan; sys.exit(any(name.split('.')[0] == 'snakemake' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0
