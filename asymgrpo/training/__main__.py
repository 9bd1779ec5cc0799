"""`python -m asymgrpo.training`: one training run (asymgrpo.training.train)."""

from asymgrpo.console import run
from asymgrpo.training.train import main

if __name__ == "__main__":
    run(main)
