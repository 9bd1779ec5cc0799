"""Whether all that lies in a folder of results was made with the settings that its config/study.json tells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from asymgrpo.settings import SettingsError, plan_of, require_within
from evals.io import DataError, read_json, read_metadata


def refuse_other_settings(results: Path, names: Iterable[str]) -> None:
    """Compare what files below `results` state of themselves with the configuration beside them.

    Raises:
        DataError: a file states other settings; the message names it and the keys.
    """
    from workflow.leaves import study_of_results

    plan = plan_of(study_of_results(results))
    for name in names:
        path = results / name
        stated = None
        if path.suffix == ".parquet":
            stated = read_metadata(path).get("settings")
        elif path.name == "done.json":
            stated = read_json(path).get("settings")
        try:
            require_within(stated, plan, path)
        except SettingsError as error:
            raise DataError(f"{error} (asked for by {results / 'config/study.json'})") from None
