"""`python -m evals.claims`: a verdict on every claim (evals.claims.decided)."""

from evals.claims.decided import main
from evals.cli import run

if __name__ == "__main__":
    run(main)
