"""Figures from Parquet tables: one module per figure, drawn by `python -m evals.figures NAME`."""

import sys

if sys.argv[:1] == ["-m"]:  # Python is still looking for the module that `python -m` names, in this folder
    from evals.figures.refused import refuse_a_module

    refuse_a_module(sys.orig_argv)
