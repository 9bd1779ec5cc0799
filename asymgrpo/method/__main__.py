"""`python -m asymgrpo.method [ARM]`: what an arm is, convention by convention (asymgrpo.method.conventions)."""

from asymgrpo.console import run
from asymgrpo.method.conventions import main

if __name__ == "__main__":
    run(main)
