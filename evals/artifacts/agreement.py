"""Check that every file in a folder of results was made with the settings in its config/study.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from asymgrpo.study.agreement import require_trained, require_within, selection_differences
from asymgrpo.study.layout import CONFIGURATION
from asymgrpo.study.settings import SettingsError, plan_of
from asymgrpo.study.settings import place as place_of
from evals.estimates.outcomes import RUN
from evals.io import DataError, read_json, read_metadata, read_object


def refuse_other_settings(results: Path, names: Iterable[str]) -> None:
    """Compare what files below `results` state of themselves with the configuration beside them.

    Raises:
        DataError: a file states other settings; the message names it and the keys.
    """
    from asymgrpo.study.stored import study_of_results

    plan = plan_of(study_of_results(results))
    for name in names:
        path = results / name
        stated = None
        if path.suffix == ".parquet":
            stated = read_metadata(path).get("settings")
        elif path.name == "done.json":
            stated = read_json(path).get("settings")
            if stated is None:
                _as_refusal(results, require_trained, read_object(path, RUN), plan, path)
        elif path.name == "selection.json":
            _refuse_other_selection(path, plan["selection"])
        _as_refusal(results, require_within, stated, plan, path)
        if stated is not None and (place := place_of(stated)) and name != place and not name.startswith(f"{place}/"):
            raise DataError(
                f"{path} is what {results / place} should be; copy it there, delete it here and run snakemake"
            )


def _as_refusal(results: Path, compare: Callable[..., None], *arguments: Any) -> None:
    try:
        compare(*arguments)
    except SettingsError as error:
        raise DataError(f"{error} (asked for by {results / CONFIGURATION})") from None


def _refuse_other_selection(path: Path, rules: Iterable[str]) -> None:
    """Raises DataError when a run's selected checkpoints are of other rules, or of another training than the run beside them."""
    done = path.with_name("done.json")
    run_sha256 = read_json(done).get("sha256") if done.exists() else None
    if found := selection_differences(read_json(path), rules, run_sha256):
        raise DataError(f"{path}: {'; '.join(found)}; select again: delete it and run snakemake")
