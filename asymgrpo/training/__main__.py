"""`python -m asymgrpo.training`: one training run (asymgrpo.training.train)."""

from asymgrpo.training.train import app

if __name__ == "__main__":
    app()
