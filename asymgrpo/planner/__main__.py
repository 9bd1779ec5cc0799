"""`python -m asymgrpo.planner`: does a study fit the machine, and what will it cost (asymgrpo.planner.plan)?"""

from asymgrpo.console import repeat_options, run
from asymgrpo.planner.plan import main

if __name__ == "__main__":
    run(main, arguments=repeat_options)
