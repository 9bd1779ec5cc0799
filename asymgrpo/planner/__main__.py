"""`python -m asymgrpo.planner`: does a study fit the machine, and what will it cost (asymgrpo.planner.plan)?"""

from asymgrpo.planner.plan import app

if __name__ == "__main__":
    app()
