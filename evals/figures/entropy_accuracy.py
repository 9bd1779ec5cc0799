"""Entropy and accuracy of REINFORCE, GRPO and the modulation of one side only (analysis 1).

python -m evals.figures.entropy_accuracy --metrics M.parquet ... --run-scores run_scores.parquet --out-prefix F
"""

import sys

from evals.cli import run
from evals.figures import ARMS, arms_compared
from evals.figures.series import Metrics, OutPrefix, RunScores


def main(metrics: Metrics, run_scores: RunScores, out_prefix: OutPrefix) -> None:
    """Draw entropy, training accuracy and accuracy on the benchmarks."""
    arms_compared.draw(metrics, run_scores, out_prefix, ARMS["entropy_accuracy"], sys.modules[__name__])


if __name__ == "__main__":
    run(main)
