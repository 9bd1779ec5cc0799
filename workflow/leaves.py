"""The leaves of the graph of tables and figures: what data preparation, training and grading make, or a bundle holds instead.

`snakemake figures tables --config artifacts=BUNDLE` takes them, and the configuration, from a bundle (evals.artifacts.bundle).
Everything above the leaves is the same rules and the same commands in both modes, and therefore the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from asymgrpo.study.config import ConfigError, Study
from asymgrpo.study.section import meant
from workflow import common

if TYPE_CHECKING:
    from evals.artifacts.bundle_files import Bundle

CONFIGURATION = "config/study.json"
DEFAULTS = Path(__file__).parents[1] / "config/default.yaml"
MAY_BE_GIVEN = ("artifacts", "results", "checkpoints", "containers")
"""Keys that may be set beside `artifacts`: the others are the bundle's."""


def leaves(study: Study) -> list[str]:
    """Paths, below the folder of results, of every file that tables and figures are derived from."""
    layout = common.Layout(study.model_copy(update={"results": Path(".")}))
    runs = common.trained_runs(study)
    per_run = (layout.done, layout.conventions, layout.metrics, layout.timings, layout.evaluations, layout.selection)
    files = [layout.study]
    files += [layout.problems.format(dataset=name) for name in ("train", "validation", *study.evaluation.benchmarks)]
    files += [pattern.format(**run) for run in runs for pattern in per_run]
    files += [layout.graded.format(**run) for run in [*common.with_base(study, runs), *common.template_runs(study)]]
    return [path.removeprefix("./") for path in files]


def of_study(study: Study, name: str) -> bool:
    """Whether a file, by its path below the folder of results, is one that the study makes: not left there by a configuration
    with analyses, benchmarks or templates that have been taken out since."""
    folder, _, rest = name.rpartition("/")
    stem = rest.partition(".")[0]
    if folder == "data":
        return stem in ("train", "validation", *study.evaluation.benchmarks)
    if folder.startswith("controls"):
        return bool(study.evaluation.control_templates) and Path(folder).name in study.study.models
    if not folder and stem in ("analyses", "analysis_differences"):
        return bool(study.study.analyses) and "grpo" in study.study.arms
    return True


def study_of_results(results: Path) -> Study:
    """The study whose results lie in a folder, as config/study.json there tells it.

    Raises:
        ConfigError: there is no such file, or this code does not understand it.
    """
    import json

    path = results / CONFIGURATION
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["config"]
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; name the folder of results of a study (snakemake writes it)"
        ) from None
    return parse_stored(stored)


def parse_stored(stored: Mapping[str, Any]) -> Study:
    """A study that was written by this or an earlier version: keys that it did not have yet have their default values."""
    from asymgrpo.study.config import parse

    return parse(merged(yaml.safe_load(DEFAULTS.read_text(encoding="utf-8")), stored))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Snakemake's way of laying one configuration over another: sections are merged, values replaced.

    >>> merged({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]})
    {'a': {'x': 1, 'y': 3}, 'b': [2]}
    """
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def bundle_of(given: Mapping[str, Any]) -> Bundle | None:
    """The bundle that the command line names, checked as a whole; None without `artifacts`.

    Raises:
        ConfigError: another key is given beside it. evals.artifacts.bundle_files.BundleError: the bundle is not what it says.
    """
    if not (named := meant(str | None, given.get("artifacts"))):
        return None
    from evals.artifacts.bundle_files import open_bundle

    if other := sorted(set(given) - set(MAY_BE_GIVEN)):
        raise ConfigError(
            f"config: {', '.join(other)} cannot be set beside artifacts, whose configuration is that of the bundle; leave it "
            "out (and --configfile)."
        )
    bundle = open_bundle(str(named))
    bundle.check()
    return bundle


def checked_file(bundle: Bundle) -> str:
    """What stands for a bundle among a rule's inputs: the zip file, or the manifest of an unpacked one."""
    from evals.artifacts.bundle_files import MANIFEST

    return str(bundle.path if bundle.path.is_file() else bundle.path / MANIFEST)


def unpacked(bundle: Bundle) -> list[str]:
    """Paths, below the folder of results, of what a bundle unpacks to."""
    from evals.artifacts.bundle_files import MANIFEST

    return [MANIFEST, *bundle.files]


def configuration(bundle: Bundle, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the study in a bundle; its results go to a folder of their own unless `given` names one."""
    stored = bundle.json(CONFIGURATION)["config"]
    own = {"results": f"results-{stored['name']}-rebuilt", "containers": "none"}
    return merged(merged(defaults, stored), own | dict(given))
