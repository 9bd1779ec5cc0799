"""A study that was declared: its protocol is read once, and no job starts if the study has changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asymgrpo.section import meant
from asymgrpo.study.config import ConfigError, Study
from asymgrpo.study.settings import TAKEN, plan_of

MOST = 5
"""Changes that are told."""


def take(config: dict[str, Any]) -> dict[str, Any] | None:
    """The protocol that a configuration names, which from then on names it by its sha256; None if it names none.

    Raises:
        DataError, ProtocolError: the file is no protocol.
    """
    named = meant(str | None, config.get("protocol"))
    if not named or named.startswith(TAKEN):  # in a bundle's configuration it has been read
        return None
    from evals.protocol.files import read, sha256

    protocol = read(Path(named).expanduser())
    config["protocol"] = TAKEN + sha256(protocol)
    return protocol


def require(protocol: dict[str, Any] | None, study: Study) -> None:
    """Refuse a study that is not the one that was declared.

    Raises:
        ConfigError: with what was changed.
    """
    if protocol is None:
        return
    from evals.protocol.compare import study_changes
    from evals.protocol.content import by_code, by_plan

    found = study_changes(protocol, by_code() | by_plan(plan_of(study), study.evaluation.k, study.evaluation.endpoint))
    if found:
        more = f" (and {len(found) - MOST} more)" if len(found) > MOST else ""
        raise ConfigError(
            f"config: protocol: the study is not the one that was declared; changed after: {'; '.join(found[:MOST])}{more}. "
            "Take the change back, declare the study again in another file (`asymgrpo prereg`; all runs are then made again), or "
            "set protocol to null, for an exploratory study."
        )


def declares_doses(protocol: dict[str, Any] | None) -> bool:
    """Whether a protocol declares doses of arms: then the study's tables set outcomes against them."""
    return bool(protocol and protocol.get("dose", {}).get("models"))
