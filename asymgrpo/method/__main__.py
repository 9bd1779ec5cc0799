"""`python -m asymgrpo.method [ARM]`: what an arm is, convention by convention (asymgrpo.method.conventions)."""

from asymgrpo.method.conventions import app

if __name__ == "__main__":
    app()
