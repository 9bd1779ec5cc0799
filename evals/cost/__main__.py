"""`python -m evals.cost`: what a study cost (evals.cost.table)."""

from evals.cli import run
from evals.cost.table import main

if __name__ == "__main__":
    run(main)
