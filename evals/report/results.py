"""A study's results folder as the report reads it: everything that is there, in the order of the study.

A folder of a running study or one unpacked from a bundle may lack files: what is absent is None or empty, and the page says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from asymgrpo.study.outcome import Diverged
from evals.artifacts.agreement import refuse_other_settings
from evals.io import DataError, read_json, read_metadata, read_table
from evals.estimates.outcomes import outcome_of
from evals.names import TABLE_1, in_order, title
from asymgrpo.study.layout import of_study
from asymgrpo.study.stored import parse_stored


@dataclass(frozen=True)
class RunResults:
    """One training run that is done: it finished or diverged."""

    model: str
    arm: str
    seed: int
    folder: Path

    @cached_property
    def done(self) -> Mapping[str, Any]:
        """What the run depended on and what made it."""
        return read_json(self.folder / "done.json")

    @cached_property
    def diverged(self) -> Diverged | None:
        """At which step and why the run diverged, None if it finished."""
        return outcome_of(self.folder / "done.json", self.done)

    @cached_property
    def conventions(self) -> Mapping[str, Any]:
        return read_json(self.folder / "conventions.json")

    @cached_property
    def machine(self) -> Mapping[str, Any]:
        """The kind of host, if the run says so."""
        return read_metadata(self.folder / "timings.parquet").get("machine") or {}

    def table(self, name: str) -> pa.Table:
        return read_table(self.folder / f"{name}.parquet")


@dataclass(frozen=True)
class Results:
    folder: Path
    study: Mapping[str, Any]
    """The configuration, as in config/study.json."""
    config_sha256: str
    runs: list[RunResults]
    planned: int
    """Number of runs of the study, done or not."""

    @property
    def finished(self) -> list[RunResults]:
        """The runs that did not diverge."""
        return [run for run in self.runs if not run.diverged]

    def name(self, run: RunResults) -> str:
        """A run in words."""
        model = f"{run.model}, " if len(self.models) > 1 else ""
        return f"{model}{title(run.arm)}, seed {run.seed}"

    def table(self, name: str) -> pa.Table | None:
        """A table directly below the folder, or None; also if it is of no study with this configuration."""
        path = self.folder / f"{name}.parquet"
        return read_table(path) if path.exists() and of_study(parse_stored(self.study), path.name) else None

    @property
    def models(self) -> list[str]:
        return list(self.study["study"]["models"])

    @property
    def cutoffs(self) -> dict[str, str]:
        """Model -> month after which it knows nothing, where that is known."""
        months = {name: self.study["models"][name].get("knowledge_cutoff") for name in self.models}
        return {name: month for name, month in months.items() if month is not None}

    @property
    def arms(self) -> list[str]:
        """Arms of runs that are done: those of Table 1 in its order, then the analyses."""
        present = dict.fromkeys(run.arm for run in self.runs)
        main = in_order([arm for arm in present if arm in self.study["study"]["arms"]], TABLE_1)
        return main + [arm for arm in present if arm not in main]

    def of_arm(self, arm: str) -> list[RunResults]:
        return [run for run in self.runs if run.arm == arm]

    def graded(self) -> list[Path]:
        """Graded samples, the base model's first, then in the order of the runs."""
        base = [self.folder / "graded" / model / "base" / "seed0.parquet" for model in self.models]
        runs = [self.folder / "graded" / run.model / run.arm / f"seed{run.seed}.parquet" for run in self.runs]
        return [path for path in [*base, *runs] if path.exists()]


def read_results(folder: Path) -> Results:
    """Find what there is.

    Raises:
        DataError: the folder is not one of a study, or no run of it has finished.
    """
    path = folder / "config" / "study.json"
    if not path.exists():
        raise DataError(f"{folder}: no study's results (config/study.json is missing); give the folder `results:` of a study")
    written = read_json(path)
    plan = list(_planned(written["config"]["study"]))
    runs = [RunResults(model, arm, seed, folder / "runs" / model / arm / f"seed{seed}") for model, arm, seed in plan]
    done = [run for run in runs if (run.folder / "done.json").exists()]
    if not done:
        raise DataError(f"{folder}: no finished run yet; a report needs at least one (snakemake trained)")
    found = Results(folder, written["config"], written["config_sha256"], done, len(runs))
    files = [run.folder / name for run in done for name in ("done.json", "metrics.parquet", "eval.parquet")]
    files += [*found.graded(), *(folder / "data").glob("*.parquet"), *folder.glob("*.parquet")]
    study, names = parse_stored(written["config"]), [path.relative_to(folder).as_posix() for path in files if path.exists()]
    refuse_other_settings(folder, [name for name in names if of_study(study, name)])
    return found


def _planned(plan: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    for arms, seeds in (("arms", "seeds"), ("analyses", "analysis_seeds")):
        for model in plan["models"]:
            for arm in plan.get(arms, []):
                for seed in plan.get(seeds, []):
                    yield model, arm, seed
