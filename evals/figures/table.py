"""The table of figures: what each one reads and under which heading it stands. The workflow, the command and the page read it.

A figure is an entry here and a module of the same name, whose function `draw` returns a `Drawn` (evals.figures.drawn).
The workflow reads this file, so nothing here imports matplotlib.
"""

from collections.abc import Callable
from dataclasses import dataclass

from asymgrpo.method.arms import BETA_NEG, BETA_POS, PLANE
from asymgrpo.study.config import Study
from evals.claims.table import BONUSES
from evals.tables.paper_values import PRINTED


@dataclass(frozen=True)
class Entry:
    """What a figure is drawn from.

    heading: on the page of results. inputs: options of its command: `metrics` of runs, the others tables of the study.
    arms: those whose metrics it reads; () for every arm of Table 1. at_least: how many of `arms` the study must train; None for
    all. drawn_by: the module with its `draw`, if several figures have one; "" for the module of its own name.
    if_study: what else must be true of the study.
    """

    heading: str
    inputs: tuple[str, ...]
    arms: tuple[str, ...] = ()
    at_least: int | None = None
    drawn_by: str = ""
    if_study: Callable[[Study], bool] = lambda study: True


def trains_two_of_the_paper(study: Study) -> bool:
    """Whether a study trains GRPO and another method of the paper's Table 1."""
    arms = PRINTED.keys() & set(study.study.arms)
    return "grpo" in arms and len(arms) > 1


def selects_with_and_without_benchmark(study: Study) -> bool:
    """Whether a study has a selection rule that looks at a reported benchmark and one that does not."""
    return len({rule.startswith("best_on:") for rule in study.evaluation.selection}) == 2


COMPARED = ("metrics", "run-scores")
"""Inputs of the figures that `arms_compared` draws."""

FIGURES: dict[str, Entry] = {
    "training_curves": Entry("Entropy and accuracy over training", ("metrics",)),
    "paper_vs_reproduction": Entry(
        "Differences from GRPO, in the paper and here", ("differences",), if_study=trains_two_of_the_paper
    ),
    "entropy_accuracy": Entry(
        "Analysis 1: modulating one side only",
        COMPARED,
        ("reinforce", "grpo", "positive_only", "negative_only"),
        drawn_by="arms_compared",
    ),
    "reversal": Entry(
        "Analysis 2: the modulation reversed",
        COMPARED,
        ("grpo", "positive_only", "ent_decrease", "negative_only", "ent_increase"),
        drawn_by="arms_compared",
    ),
    "entropy_coefficient": Entry(
        "Analysis 3: the entropy bonus", ("metrics", "run-scores"), ("grpo", *BONUSES, "positive_only")
    ),
    "covariance": Entry(
        "Analysis 4: covariance against group accuracy", ("metrics",), ("reinforce", "grpo", "asymgrpo")
    ),
    "none_solved": Entry("Analysis 5: the exponent on correct rollouts", ("metrics",), tuple(BETA_POS)),
    "displacement": Entry("Analysis 6: the exponent on wrong rollouts", ("metrics",), tuple(BETA_NEG)),
    "synergy": Entry(
        "Analysis 7: AsymGRPO and Clip-higher",
        COMPARED,
        ("grpo", "grpo_clip_higher", "asymgrpo", "asymgrpo_clip_higher"),
        drawn_by="arms_compared",
    ),
    "plane": Entry("The plane of exponents", ("metrics", "run-scores"), tuple(PLANE), at_least=5),
    "passk_curves": Entry("Analysis 8: pass@k", ("scores",)),
    "coverage_curves": Entry("Solved once, and solved reliably: pass@k and Cover@tau", ("scores", "coverage")),
    "budget_curves": Entry("Score against tokens spent", ("budget",)),
    "selection_bias": Entry(
        "Choosing the checkpoint by a reported benchmark", ("run-scores",), if_study=selects_with_and_without_benchmark
    ),
    "theory_weight": Entry("Theory: the weight of a prompt by its success rate", ("theory",)),
    "theory_entropy": Entry("Theory: entropy at matched success", ("theory",)),
    "theory_equation": Entry("Theory: when the entropy equation holds", ("theory",)),
    "probe_effects": Entry("Probes: what one update does, by arm", ("probes",)),
    "probe_accuracy": Entry("Probes: what one update does, by group accuracy", ("probes",)),
    "dose_response": Entry("Dose and response: outcomes by an arm's weight on hard prompts", ("doses",)),
}
"""Figure -> entry, in the order of the page."""
