"""What each row of the claims table says of the protocol: declared before its runs, changed after, or exploratory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from asymgrpo.study.settings import Settings
from evals.claims.claim import Claim
from evals.claims.effects import BASE
from evals.protocol.compare import EXPLORATORY, NO_PROTOCOL, status

Runs = Mapping[tuple[str, str, int], str | None]
"""(model, arm, seed) -> sha256 of the protocol that the run states; None if it states none."""


def stated_by(metadata: Iterable[Mapping[str, Any]]) -> Runs:
    """The protocols that runs state, from the metadata of their metrics."""
    return {
        (about["model"], about["arm"], int(about["train_seed"])): (about.get("settings") or {}).get("protocol")
        for about in metadata
    }


def rows(path: Path | None, runs: Runs, asked: Settings | None) -> Callable[[str, Claim], str]:
    """(model, claim) -> what the claim's row says.

    Args:
        path: the protocol's file; None where none was given.
        asked: settings of the claims table, so of the configuration of now; None by hand: then only code is compared.

    Raises:
        DataError, ProtocolError: the file is no protocol, or not the one that the configuration names.
    """
    if path is None:
        return lambda model, claim: _without(model, claim, runs)
    from evals.protocol.content import by_code, by_plan
    from evals.protocol.files import ProtocolError, read, sha256

    protocol = read(path)
    digest, now = sha256(protocol), by_code()
    if asked is not None:
        now |= by_plan(asked["plan"], asked["options"]["k"], asked["options"]["endpoint"])
        if asked["plan"].get("protocol") != digest:
            raise ProtocolError(
                f"{path} is not the protocol of this study's runs; give the one that its configuration names."
            )

    def of(model: str, claim: Claim) -> str:
        trained = [arm for arm in claim.arms if arm != BASE]
        return status(protocol, now, claim.id, trained, _others(model, claim, runs, digest))

    return of


def _others(model: str, claim: Claim, runs: Runs, digest: str) -> list[str]:
    """The runs of a claim that do not state a protocol, in words."""
    return [
        f"{arm} seed {seed}"
        for (of_model, arm, seed), told in runs.items()
        if of_model == model and arm in claim.arms and told != digest
    ]


def _without(model: str, claim: Claim, runs: Runs) -> str:
    told = {told for (of_model, arm, _), told in runs.items() if of_model == model and arm in claim.arms and told}
    return f"{EXPLORATORY}: protocol {min(told)[:12]} of its runs was not given" if told else NO_PROTOCOL
