"""`python -m asymgrpo.training`: one training run (asymgrpo.training.build)."""

from asymgrpo.console import run
from asymgrpo.training.build import main

if __name__ == "__main__":
    run(main)
