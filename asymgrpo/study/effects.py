"""What a changed key makes again: the first kind of job that it affects, on the way from data to figures; all later ones follow.

tests/workflow/test_keys.py holds this against what Snakemake plans for a change of every key.
"""

from __future__ import annotations

from collections.abc import Sequence

from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS

NOTHING, ADDED, EVERYTHING = "nothing", "added", "everything"
STAGES = {
    EVERYTHING: "everything, in the new folder; the old one stays",
    "problems": "tables of problems, and everything that is made from them",
    "base_model": "base models, and everything that is made from them",
    "train": "training runs, and everything that is made from them",
    "sample": "samples, and everything that is made from them",
    "tables": "tables and figures",
    "theory": "the table of the theory and its figures",
    "probe": "the probes and their figures, by `snakemake probe`; nothing of `all`",
    ADDED: "only what is new, then tables and figures; finished runs stay",
    NOTHING: "nothing; results do not depend on it",
}
"""In the order of the workflow: name -> in words."""
FIRST = {
    **dict.fromkeys(("name", "checkpoints", "artifacts", "on_top_of", "containers", "machine", "data.dir"), NOTHING),
    **{
        "results": EVERYTHING,
        "study": ADDED,
        "data": "problems",
        "models": "base_model",
        "arms": "train",
        "train": "train",
        "protocol": "train",
    },
    **{"models.NAME.template": "train", "models.NAME.train": "train", "models.NAME.evaluation": "sample"},
    **dict.fromkeys(("models.NAME.paper", "models.NAME.knowledge_cutoff"), "tables"),
    **{"evaluation": "sample", "evaluation.selection": "train", "theory": "theory", "probe": "probe"},
    **dict.fromkeys(("evaluation.benchmarks", "evaluation.limit"), "problems"),
    **dict.fromkeys(
        (f"evaluation.{key}" for key in ("endpoint", "k", "bootstrap_draws", "bootstrap_seed", "seed_variance")),
        "tables",
    ),
    **{f"{train}.{key}": NOTHING for train in ("train", "models.NAME.train") for key in NO_EFFECT_ON_RESULTS},
}
"""Key, or the beginning of several -> stage. The longest that fits holds."""


def made_again(path: Sequence[str]) -> str:
    """The first stage that a change of a key makes again; the path has NAME for names that the user chooses.

    >>> made_again(["train", "steps"]), made_again(["train", "nodes"]), made_again(["evaluation", "k"])
    ('train', 'nothing', 'tables')
    """
    return next(FIRST[key] for end in range(len(path), 0, -1) if (key := ".".join(path[:end])) in FIRST)
