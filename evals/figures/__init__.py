"""One module and one function per figure: Parquet in; PDF, PNG, SVG and a sidecar with the hashes out.

A figure of chosen arms names them in `ARMS`: the workflow asks for their runs, the module draws them. Nothing here imports
matplotlib, since the workflow reads this file.
"""

from asymgrpo.method.arms import BETA_NEG, BETA_POS
from evals.claims.table import BONUSES

ARMS: dict[str, tuple[str, ...]] = {
    "entropy_accuracy": ("reinforce", "grpo", "positive_only", "negative_only"),
    "reversal": ("grpo", "positive_only", "ent_decrease", "negative_only", "ent_increase"),
    "entropy_coefficient": ("grpo", *BONUSES, "positive_only"),
    "covariance": ("reinforce", "grpo", "asymgrpo"),
    "none_solved": tuple(BETA_POS),
    "displacement": tuple(BETA_NEG),
    "synergy": ("grpo", "grpo_clip_higher", "asymgrpo", "asymgrpo_clip_higher"),
}
