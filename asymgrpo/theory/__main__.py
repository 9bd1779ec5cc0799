"""`python -m asymgrpo.theory`: the exact statements and the tabular study as one table (asymgrpo.theory.result)."""

from asymgrpo.console import run
from asymgrpo.theory.result import main

if __name__ == "__main__":
    run(main)
