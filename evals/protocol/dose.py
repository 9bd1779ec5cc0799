"""The dose of an arm: its weight on hard prompts by the formula, before it is trained, from GRPO's own groups.

A group with k of G correct rollouts, p = k / G, pushes its prompt's success by (A_pos(k) - A_neg(k)) p (1 - p) to first order
of a natural gradient step (asymgrpo.theory.weight). The dose is the share of hard groups, p < 1/2, in the sum of this over the
groups that runs of GRPO met in all their steps. Groups that are all wrong or all correct add nothing, so the reading of 0^0
does not matter, and arms that are mirror images have one dose.

An arm has no dose if its advantage is not a function of k and of a rollout's own reward (it looks at other groups, or at
rewards other than the verifier's). `besides` names what else tells an arm from GRPO: the dose says nothing of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from asymgrpo.errors import InputError
from asymgrpo.files import sha256_file
from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import GRPO, differences, get_arm
from asymgrpo.study.layout import trained_runs
from evals.artifacts.bundle_files import is_bundle, open_bundle
from evals.estimates.outcomes import outcome_of
from evals.io import read_table, table_metadata

if TYPE_CHECKING:
    from asymgrpo.study.config import Study

METRICS = f"runs/*/{GRPO.name}/seed*/metrics.parquet"
COUNTS = "groups_by_correct"
MEANING = (
    "share of groups with p < 1/2 in the sum over groups of (A_pos - A_neg) p (1 - p), p = share of correct rollouts"
)
UNDECLARED = "no dose is declared: no runs of GRPO were given"
DIGITS = 12
OUTCOMES = ("entropy_late", "pass_at_max", "none_solved", "accuracy")
"""Measures (evals.claims.measures) that are set against the dose."""
LEVEL = 0.95
ANALYSIS = {
    "outcomes": list(OUTCOMES),
    "arms": "those with a dose that differ from GRPO in their advantage alone; each counts once, whatever its seeds",
    "slope": "least squares over means of arms; interval over runs, variance between seeds pooled over all arms of the pool",
    "slope_over_arms": "the same slope; interval from the arms' distances to the line (arms - 2 degrees of freedom)",
    "spearman": "over means of arms; interval by drawing the seeds of each arm again",
    "level": LEVEL,
}
"""How doses are set against outcomes (evals.tables.dose_response), declared with them."""


@dataclass
class Groups:
    """The groups that GRPO met with one model: how many had 0, ..., G correct rollouts, and the sha256 of each run's metrics."""

    counts: np.ndarray
    """[G + 1]."""
    runs: dict[str, str] = field(default_factory=dict)


def dose(difference: ArrayLike, counts: ArrayLike) -> float | None:
    """The share of hard groups in the first-order gain of success; None where nothing is gained.

    Args:
        difference: [G - 1] A_pos(k) - A_neg(k) of the mixed groups, k = 1, ..., G - 1.
        counts: [G + 1] groups with k = 0, ..., G correct rollouts.

    >>> dose([1, 1, 1], [9, 1, 1, 2, 9])  # the same for all: p (1 - p) is 3, 4, 3 sixteenths
    0.230769230769
    >>> dose([3, 1, 1], [0, 1, 1, 2, 0]), dose([0, 0, 0], [0, 1, 1, 2, 0])
    (0.473684210526, None)
    """
    groups = np.asarray(counts, float)
    p = np.arange(len(groups))[1:-1] / (len(groups) - 1)
    gain = np.asarray(difference, float) * p * (1 - p) * groups[1:-1]
    total = gain.sum()
    return round(float(gain[p < 0.5].sum() / total), DIGITS) if total else None


def dose_of(arm: Arm, counts: ArrayLike) -> float | None:
    """The dose of an arm; None if its advantage is not a function of a group's correct rollouts, or it has other rewards."""
    from asymgrpo.theory.acts import acts_of
    from asymgrpo.theory.weight import plug_in

    if {"reward", "overlong_buffer"} & differences(arm).keys():
        return None
    acts = acts_of(GRPO.but(advantage=arm.advantage), len(np.asarray(counts)) - 1)
    return None if acts is None else dose(plug_in(acts), counts)


def besides(arm: Arm) -> list[str]:
    """The fields but its advantage in which an arm differs from GRPO.

    >>> besides(get_arm("asymgrpo")), besides(get_arm("asymgrpo_clip_higher"))
    ([], ['clip_high'])
    """
    return sorted(differences(arm).keys() - {"advantage"})


def groups_of(source: str | Path) -> dict[str, Groups]:
    """Model -> the groups of GRPO's finished runs in a folder of results or a bundle.

    Raises:
        BundleError: there is no such folder or file. DataError: a table of metrics cannot be read.
        InputError: there are no finished runs of GRPO in it, or runs of one model have groups of several sizes.
    """
    found: dict[str, Groups] = {}
    for name, path, digest in _metrics(source):
        table = read_table(path, [COUNTS])
        if outcome_of(path, table_metadata(table)):
            continue
        counts = np.sum(np.stack([np.asarray(row, float) for row in table[COUNTS].to_pylist()]), axis=0)
        model = name.split("/")[1]
        mine = found.setdefault(model, Groups(np.zeros_like(counts)))
        if len(mine.counts) != len(counts):
            sizes = f"{len(mine.counts) - 1} and {len(counts) - 1}"
            raise InputError(f"{source}: the runs of {model} have groups of {sizes} rollouts; give runs of one size.")
        mine.counts = mine.counts + counts
        mine.runs[name.removesuffix("/metrics.parquet").removeprefix("runs/")] = digest
    if not found:
        raise InputError(
            f"{source}: no finished run of {GRPO.name} in it, and doses come from its groups; name others."
        )
    return found


def _metrics(source: str | Path) -> Iterator[tuple[str, Path, str]]:
    """(path below the results, file, sha256) of the metrics of GRPO's runs."""
    import tempfile

    if not is_bundle(str(source)):
        root = Path(source)
        for path in sorted(root.glob(METRICS)):
            yield path.relative_to(root).as_posix(), path, sha256_file(path)
        return
    bundle = open_bundle(source)
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(bundle.files):
            if fnmatch(name, METRICS):
                path = Path(folder) / name.replace("/", "_")
                path.write_bytes(bundle.read(name))
                yield name, path, bundle.files[name]["sha256"]


def section(study: Study, groups: Mapping[str, Groups]) -> dict[str, Any]:
    """The part `dose` of a protocol: {meaning, models: model -> its groups, runs, doses of arms, and what arms have besides}.

    Raises:
        InputError: no model of the study has groups, or a model's have another size than the study's, or come from a training
            seed of the study.
    """
    if not groups:
        return {"models": {}, "why_not": UNDECLARED}
    arms = {name: get_arm(name, study.changes_of(name)) for name in [*study.study.arms, *study.study.analyses]}
    models = {}
    for model in study.study.models:
        if (mine := groups.get(model)) is None:
            continue
        _need_a_pilot(study, model, mine)
        size, there = study.train_of(model).group_size, len(mine.counts) - 1
        if size != there:
            raise InputError(
                f"--runs: {model} has groups of {there} rollouts, the study of {size}; give runs of its size."
            )
        models[model] = {
            "groups": [int(n) for n in mine.counts],
            "runs": dict(sorted(mine.runs.items())),
            "arms": {name: dose_of(arm, mine.counts) for name, arm in arms.items()},
            "besides": {name: found for name, arm in arms.items() if (found := besides(arm))},
        }
    if not models:
        raise InputError(
            f"--runs: they are of {', '.join(sorted(groups))}, the study of {', '.join(study.study.models)}."
        )
    return {"meaning": MEANING, "analysis": ANALYSIS, "models": models}


def _need_a_pilot(study: Study, model: str, groups: Groups) -> None:
    """Refuse runs of GRPO with a training seed of the study: runs on CPUs are deterministic, so with the study's settings they
    are its own runs, and doses from them would not be declared before its outcomes."""
    seeds = sorted({int(run["seed"]) for run in trained_runs(study) if run["model"] == model})
    if own := [str(seed) for seed in seeds if f"{model}/{GRPO.name}/seed{seed}" in groups.runs]:
        raise InputError(
            f"--runs: the runs of {model} with {GRPO.name} have training seeds of this study ({', '.join(own)}), so that "
            f"doses would come from its own outcomes; give a pilot's: runs of {GRPO.name} whose seeds the study does not have."
        )
