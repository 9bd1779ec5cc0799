"""Inputs of the figures (evals.figures.table) in a study: which files, under which option of the figure's command, and the
settings that they must state."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence

from asymgrpo.study.config import Study
from asymgrpo.study.settings import BASE, Plan, Settings, of_training, part, probes, table, theory
from evals.figures.table import FIGURES
from workflow.given import GivenSettings
from workflow.tables import Made

Inputs = Mapping[str, Sequence[str]]
"""Option of a figure's command (`metrics`, `run-scores`, ...) -> files."""


class MetricsFiles:
    """Where the metrics of a study's runs lie.

    >>> metrics = MetricsFiles([{"arm": "grpo", "seed": "0"}, {"arm": "maxrl", "seed": "0"}], "{arm}/{seed}")
    >>> metrics.of(["grpo"]), metrics.of(["grpo", "psr"]), metrics.of(["grpo", "psr"], at_least=1)
    (['grpo/0'], [], ['grpo/0'])
    """

    def __init__(self, runs: Sequence[Mapping[str, str]], pattern: str):
        self.runs, self.pattern = runs, pattern

    def of(self, arms: Collection[str], at_least: int | None = None) -> list[str]:
        """Those of every run of these arms; none at all if the study lacks one of them, or has fewer than `at_least`."""
        there = set(arms) & {run["arm"] for run in self.runs}
        if len(there) < (len(arms) if at_least is None else at_least):
            return []
        return [self.pattern.format(**run) for run in self.runs if run["arm"] in there]

    def arms(self, files: Sequence[str]) -> list[str]:
        """The arms that metrics files are of.

        >>> MetricsFiles([{"arm": "grpo", "seed": "0"}], "{arm}/{seed}").arms(["grpo/0"])
        ['grpo']
        """
        given = set(files)
        return list(dict.fromkeys(run["arm"] for run in self.runs if self.pattern.format(**run) in given))


def drawable(study: Study, metrics: MetricsFiles, tables: Inputs) -> dict[str, Inputs]:
    """The figures that a study can have, with their inputs: it has the arms and whatever else their entries ask for.

    Args:
        study: its configuration.
        metrics: of its runs.
        tables: the files of every other input; an empty list where the study makes none.
    """
    found: dict[str, Inputs] = {}
    for name, entry in FIGURES.items():
        mine = metrics.of(entry.arms or study.study.arms, entry.at_least)
        inputs = {option: mine if option == "metrics" else tables[option] for option in entry.inputs}
        if entry.if_study(study) and all(inputs.values()):
            found[name] = inputs
    return found


def files(inputs: Inputs) -> list[str]:
    """All input files of a figure."""
    return [path for paths in inputs.values() for path in paths]


def tables(inputs: Inputs) -> list[str]:
    """Those of its input files that the workflow makes from others: all but the metrics of runs.

    >>> tables({"metrics": ["a", "b"], "run-scores": ["c"]})
    ['c']
    """
    return files({name: paths for name, paths in inputs.items() if name != "metrics"})


def options(inputs: Inputs, listed: Callable[[Sequence[str]], str]) -> str:
    """The input options of a figure's command; several files by the name that `listed` gives to a list of them.

    >>> options({"metrics": ["a", "b"], "run-scores": ["c"]}, lambda paths: "list.txt")
    '--metrics @list.txt --run-scores c'
    """
    return " ".join(
        f"--{name} {shlex.quote(paths[0]) if len(paths) == 1 else '@' + shlex.quote(listed(paths))}"
        for name, paths in inputs.items()
    )


def lists(inputs: Inputs, listed: Callable[[Sequence[str]], str]) -> list[str]:
    """The lists among these options, to be written before the figure's job."""
    return [listed(paths) for paths in inputs.values() if len(paths) > 1]


ENDINGS = ("pdf", "json", "png")


def made(name: str, inputs: Inputs, settings: Settings, folder: str, given: GivenSettings) -> Made:
    """How a figure is drawn into a folder."""
    prefix, file = f"{folder}/{name}", given.file(settings)
    command = (
        f"evals.figures {name} --settings {shlex.quote(file)} {options(inputs, given.list)}"
        f" --out-prefix {shlex.quote(prefix)}"
    )
    return Made(command, [f"{prefix}.{ending}" for ending in ENDINGS], [file], lists(inputs, given.list))


def settings_of(study: Study, plan: Plan, metrics: MetricsFiles, inputs: Inputs) -> Settings:
    """The settings that the inputs of a figure must state: of the arms that it draws, as far as its inputs tell which."""
    if set(inputs) == {"theory"}:
        return theory(study)
    if set(inputs) == {"probes"}:
        return probes(study)
    main = study.study.arms
    arms = metrics.arms(inputs.get("metrics", [])) or main
    if "run-scores" in inputs:
        arms = [*main, *study.study.analyses]
    drawn = part(plan, study.study.models, [BASE, *arms], study.evaluation.benchmarks)
    return table(of_training(drawn) if set(inputs) == {"metrics"} else drawn)
