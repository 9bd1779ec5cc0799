"""Bundles of several laboratories, opened: what each one holds, and how it was made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from asymgrpo.errors import InputError
from asymgrpo.study.config import Study
from asymgrpo.study.layout import CONFIGURATION, PROTOCOL, leaves, trained_runs
from asymgrpo.study.settings import plan_of
from asymgrpo.study.stored import parse_stored
from evals.artifacts.bundle_files import Bundle, open_bundle
from evals.io import METADATA_KEY, DataError

ANALYSIS = ("k", "seed_variance", "bootstrap_draws", "bootstrap_seed")
"""Keys of `evaluation` that its tables are made by."""
OF_PROBLEMS = ("content_sha256", "rows", "split", "revision", "patched")
"""What the metadata of a problem table say of its content."""


@dataclass(frozen=True)
class Laboratory:
    """One laboratory's bundle."""

    name: str
    bundle: Bundle

    @cached_property
    def stored(self) -> dict[str, Any]:
        """Its configuration, as it was written."""
        found: dict[str, Any] = self.bundle.json(CONFIGURATION)["config"]
        return found

    @cached_property
    def study(self) -> Study:
        return parse_stored(self.stored)

    @cached_property
    def runs(self) -> list[str]:
        """Its training runs as model/arm/seedN."""
        return ["{model}/{arm}/seed{seed}".format(**run) for run in trained_runs(self.study)]

    def metadata(self, name: str) -> dict[str, Any]:
        """What a Parquet file says of itself."""
        schema = pq.read_schema(BytesIO(self.bundle.read(name)))
        return json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))

    def first_run(self, arm: str) -> str:
        """The first run of an arm."""
        return next(f"runs/{run}" for run in self.runs if run.split("/")[1] == arm)

    def described(self) -> dict[str, Any]:
        """Every convention and the data, as nested mappings: laboratories that are pooled must have the same."""
        study, evaluation = self.study, self.stored["evaluation"]
        plan = plan_of(study)
        arms = [*study.study.arms, *study.study.analyses]
        models = {name: plan["models"][name] for name in study.study.models}
        base = {
            model: self.metadata(f"runs/{self._of_model(model)}/metrics.parquet").get("model_sha256")
            for model in models
        }
        return {
            "study": {key: list(getattr(study.study, key)) for key in ("models", "arms", "analyses")},
            "models": models,
            "problems": plan["problems"],
            "samples": plan["n_samples"],
            "base_samples": plan.get("n_base"),
            "selection": plan["selection"],
            "analysis": {key: evaluation.get(key, getattr(study.evaluation, key)) for key in ANALYSIS},
            "arms": {arm: self._conventions(arm) for arm in arms},
            "data": {name: self._problems(name) for name in ("train", "validation", *study.evaluation.benchmarks)},
            "base_weights": base,
            "verifier": self.metadata(f"graded/{self.runs[0]}.parquet").get("verifier_version"),
            "protocol": self.bundle.json(PROTOCOL) if PROTOCOL in self.bundle.files else None,
        }

    def _of_model(self, model: str) -> str:
        return next(run for run in self.runs if run.split("/")[0] == model)

    def _conventions(self, arm: str) -> dict[str, Any]:
        told = self.bundle.json(f"{self.first_run(arm)}/conventions.json")["arm"]
        return {"arm": told["fields"], "advantages": told["advantages"]}

    def _problems(self, name: str) -> dict[str, Any]:
        about = self.metadata(f"data/{name}.parquet")
        return {key: about.get(key) for key in OF_PROBLEMS}


def opened(sources: Sequence[str]) -> list[Laboratory]:
    """The laboratories of bundles, each whole and of a finished study.

    Args:
        sources: paths or URLs; NAME=PATH gives a laboratory a name, else it is that of the file.

    Raises:
        InputError: fewer than two, or two of one name. BundleError: a bundle is not what its manifest says.
        DataError: a bundle lacks files of its study.
    """
    named = [_named(source) for source in sources]
    if len(named) < 2:
        raise InputError("a pool needs the bundles of at least two laboratories; name more: bundles=[a.zip,b.zip].")
    names = [name for name, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two laboratories are called {twice[0]!r}; name them: bundles=[berlin=a.zip,lima=b.zip].")
    found = [Laboratory(name, open_bundle(place)) for name, place in named]
    for laboratory in found:
        laboratory.bundle.check()
        if missing := [name for name in leaves(laboratory.study) if name not in laboratory.bundle.files]:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise DataError(
                f"{laboratory.bundle.path}: {missing[0]} is missing{more}; make the bundle of a finished study"
            )
    return found


def _named(source: str) -> tuple[str, str]:
    """(name, place) of a source.

    >>> _named("berlin=results/a.zip"), _named("results/a.zip"), _named("https://x.org/b.zip#sha256=ab")
    (('berlin', 'results/a.zip'), ('a', 'results/a.zip'), ('b', 'https://x.org/b.zip#sha256=ab'))
    """
    name, given, place = source.partition("=")
    if given and name.isidentifier():
        return name, place
    return PurePosixPath(source.partition("#")[0]).stem, source
