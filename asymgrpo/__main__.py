"""`python -m asymgrpo` is the command `asymgrpo`."""

from asymgrpo.cli import main

if __name__ == "__main__":
    main()
