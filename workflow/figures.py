"""Inputs of figures: which files, under which option of the figure's command, and the settings that they must state."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from asymgrpo.study.config import Study
from asymgrpo.study.settings import BASE, Plan, Settings, of_training, part, table, theory

Inputs = Mapping[str, Sequence[str]]
"""Option of a figure's command (`metrics`, `run-scores`, ...) -> files."""


class MetricsFiles:
    """Where the metrics of a study's runs lie.

    >>> runs = [{"arm": "grpo", "seed": "0"}, {"arm": "grpo", "seed": "1"}]
    >>> metrics = MetricsFiles(runs, "{arm}/{seed}")
    >>> metrics.of("grpo"), metrics.of("grpo", "asymgrpo")
    (['grpo/0', 'grpo/1'], [])
    """

    def __init__(self, runs: Sequence[Mapping[str, str]], pattern: str):
        self.runs, self.pattern = runs, pattern

    def of(self, *arms: str) -> list[str]:
        """MetricsFiles of every run of the arms; none at all unless every one of the arms is in the study."""
        if not set(arms) <= {run["arm"] for run in self.runs}:
            return []
        return [self.pattern.format(**run) for run in self.runs if run["arm"] in arms]

    def some(self, arms: Iterable[str], at_least: int) -> list[str]:
        """Those of every run of these arms that the study has; none at all of fewer than `at_least` arms.

        >>> runs = [{"arm": "grpo", "seed": "0"}, {"arm": "maxrl", "seed": "0"}]
        >>> metrics = MetricsFiles(runs, "{arm}/{seed}")
        >>> metrics.some(("grpo", "maxrl", "psr"), 2), metrics.some(("grpo", "psr"), 2)
        (['grpo/0', 'maxrl/0'], [])
        """
        there = set(arms) & {run["arm"] for run in self.runs}
        return self.of(*there) if len(there) >= at_least else []

    def arms(self, files: Sequence[str]) -> list[str]:
        """The arms that metrics files are of.

        >>> MetricsFiles([{"arm": "grpo", "seed": "0"}], "{arm}/{seed}").arms(["grpo/0"])
        ['grpo']
        """
        given = set(files)
        return list(dict.fromkeys(run["arm"] for run in self.runs if self.pattern.format(**run) in given))


def in_paper(runs: Sequence[Mapping[str, str]]) -> set[str]:
    """The arms of the paper's table among the runs, none without GRPO, from which differences are taken."""
    from evals.tables.paper_values import PRINTED

    arms = {run["arm"] for run in runs} & PRINTED.keys()
    return arms if "grpo" in arms else set()


def with_and_without_benchmark(rules: Iterable[str]) -> bool:
    """Whether there is a selection rule that looks at a reported benchmark and one that does not.

    >>> with_and_without_benchmark(["best_on:chain4", "validation"]), with_and_without_benchmark(["last"])
    (True, False)
    """
    return len({rule.startswith("best_on:") for rule in rules}) == 2


def drawable(figures: Mapping[str, Inputs]) -> list[str]:
    """The figures none of whose inputs is empty."""
    return [name for name, inputs in figures.items() if all(inputs.values())]


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


def settings_of(study: Study, plan: Plan, metrics: MetricsFiles, inputs: Inputs) -> Settings:
    """The settings that the inputs of a figure must state: of the arms that it draws, as far as its inputs tell which."""
    if set(inputs) == {"theory"}:
        return theory(study)
    main = study.study.arms
    arms = metrics.arms(inputs.get("metrics", [])) or main
    if "run-scores" in inputs:
        arms = [*main, *study.study.analyses]
    drawn = part(plan, study.study.models, [BASE, *arms], study.evaluation.benchmarks)
    return table(of_training(drawn) if set(inputs) == {"metrics"} else drawn)
