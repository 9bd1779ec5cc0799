"""The settings asked of the table being made, and the check of every file that is read for it.

`--settings JSON` of a command (evals.cli) names them once. From then on no file of another configuration can be read in that
process (evals.io), and what is written states them (`derived`). By hand the option may be left out: then nothing is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.errors import DataError

if TYPE_CHECKING:
    from asymgrpo.study.settings import Settings

_asked: Settings | None = None


def ask(settings: Settings | None) -> None:
    """From now on, accept only files that agree with these settings of a table; None accepts all."""
    global _asked
    _asked = settings


def check(path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Refuse a file that was made with other settings than those asked for.

    Raises:
        DataError: naming the file and the keys that differ.
    """
    if _asked is None:
        return
    from asymgrpo.study.agreement import require_for_table
    from asymgrpo.study.settings import SettingsError

    try:
        require_for_table(metadata.get("settings"), _asked, path)
    except SettingsError as error:
        raise DataError(str(error)) from None


def check_selection(path: str | Path, rows: Any) -> None:
    """Refuse selected checkpoints of other rules than those asked for. Raises DataError."""
    if _asked is None:
        return
    from asymgrpo.study.agreement import selection_differences

    if found := selection_differences(rows, _asked["plan"]["selection"]):
        raise DataError(f"{path}: {'; '.join(found)}; select again: delete it and run snakemake")


def statement() -> dict[str, Any]:
    """What a table made now states of its settings."""
    return {} if _asked is None else {"settings": _asked}
