"""Settings: bundles of one study under declared differences, such as another base model, task or learning rate.

The keys of the configuration that are meant to differ are named (`differ`). Every other key that a result depends on must be the
same, and what is made of the same keys must be the same: problems, base weights, conventions of arms. Arms may be missing in some
settings, and each has seeds, a protocol and base answers of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asymgrpo.study.agreement import changes
from asymgrpo.study.keys import look_up
from asymgrpo.study.layout import PROTOCOL
from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS
from asymgrpo.study.settings import plan_of
from evals.pool.agreement import Difference, PoolError, between, refuse, refuse_repeated
from evals.pool.laboratories import Laboratory

OF_EACH = (
    *("name", "results", "checkpoints", "protocol", "machine", "theory", "probe", "data.dir"),
    *("study.arms", "study.analyses", "study.seeds", "study.analysis_seeds"),
    *(f"train.{name}" for name in NO_EFFECT_ON_RESULTS),
)
"""Keys that each setting has its own value of: no pooled number depends on them, or they say which runs there are."""
DECLARED = ("claims", "analysis")
"""Parts of a protocol that must be the same: the others follow from the configuration, which is compared itself."""


def below(key: str, names: Sequence[str]) -> bool:
    """Whether a key is one of the names, or in a section of them.

    >>> below("train.steps", ["train"]), below("training", ["train"]), below("train", ["train.steps"])
    (True, False, False)
    """
    return any(key == name or key.startswith(f"{name}.") for name in names)


def leaves(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of all that is no section.

    >>> list(leaves({"train": {"steps": 3}, "models": {}}))
    [('train.steps', 3)]
    """
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def configuration(setting: Laboratory) -> dict[str, Any]:
    """Its whole configuration, of the models that it runs, with the defaults of keys that it does not state."""
    study = setting.study
    found = study.model_dump(mode="json")
    return found | {"models": {name: found["models"][name] for name in study.study.models}}


def values(settings: Sequence[Laboratory], differ: Sequence[str]) -> dict[str, dict[str, Any]]:
    """setting -> key -> value, of the keys that are meant to differ and do; None where a setting lacks one."""
    told = {one.name: dict(leaves(configuration(one))) for one in settings}
    keys = dict.fromkeys(key for mine in told.values() for key in mine if below(key, differ))
    apart = [key for key in keys if len({json.dumps(mine.get(key)) for mine in told.values()}) > 1]
    return {name: {key: mine.get(key) for key in apart} for name, mine in told.items()}


def told(settings: Sequence[Laboratory], differ: Sequence[str], factor: str) -> dict[str, Any]:
    """What settings.json says: the word for a setting, the keys that were meant to differ, and per setting the sha256 of its
    manifest, its runs, and its values of the keys that do differ."""
    apart, found = values(settings, differ), {}
    for one in settings:
        manifest = hashlib.sha256(one.bundle.manifest_text.encode()).hexdigest()
        found[one.name] = {"manifest_sha256": manifest, "runs": one.runs, "values": apart[one.name]}
    return {"factor": factor, "differ": list(differ), "settings": found}


def differences(settings: Sequence[Laboratory], differ: Sequence[str]) -> list[Difference]:
    """Where settings differ and were not meant to."""
    first, *others = settings
    known, meant = configuration(first), [*OF_EACH, *differ]
    found = [
        Difference(key, first.name, value, one.name, other)
        for one in others
        for key, value, other in changes(known, configuration(one))
        if not below(key, meant)
    ]
    return found + list(_made_of_the_same(settings)) + ([] if below("protocol", differ) else list(_declared(settings)))


def _made_of_the_same(settings: Sequence[Laboratory]) -> Iterator[Difference]:
    """Where the same keys gave two settings other problems, base weights or conventions, or another verifier."""
    seen: dict[str, tuple[str, Any]] = {}
    for one in settings:
        plan, about = plan_of(one.study), one.described()
        made = [(f"data.{name}", plan["problems"][name], about["data"][name]) for name in about["data"]]
        made += [
            (f"base_weights.{name}", plan["models"][name]["base"], about["base_weights"][name])
            for name in about["base_weights"]
        ]
        made += [(f"arms.{name}", plan["arms"][name], about["arms"][name]) for name in about["arms"]]
        made += [("verifier", None, {"version": about["verifier"]})]
        for key, of, content in made:
            name, known = seen.setdefault(f"{key} {json.dumps(of, sort_keys=True)}", (one.name, content))
            for inner, value, other in between(known, content):
                yield Difference(f"{key}.{inner}" if inner else key, name, value, one.name, other)


def _declared(settings: Sequence[Laboratory]) -> Iterator[Difference]:
    first, *others = settings
    known = _protocol(first)
    for one in others:
        for key, value, other in changes(known, _protocol(one)):
            yield Difference(f"protocol.{key}" if key else "protocol", first.name, value, one.name, other)


def _protocol(setting: Laboratory) -> dict[str, Any] | None:
    if PROTOCOL not in setting.bundle.files:
        return None
    told = setting.bundle.json(PROTOCOL)
    return {part: told.get(part) for part in DECLARED}


def require(settings: Sequence[Laboratory], differ: Sequence[str]) -> None:
    """Refuse settings that differ in more than was declared, or share seeds.

    Raises:
        KeyUnknown: a declared key is none of a configuration. PoolError: naming what differs, with both values.
    """
    for key in differ:
        look_up(key)
    models = {one.name: one.study.study.models for one in settings}
    if len({tuple(names) for names in models.values()}) > 1:
        told = ", ".join(f"{', '.join(names)} in {name}" for name, names in models.items())
        raise PoolError(
            f"the settings cannot be pooled: models are {told}; give the models of all settings the same names."
        )
    remedy = "name the keys that are meant to differ (differ=[...]), and leave out bundles that differ otherwise"
    refuse("settings", differences(settings, differ), remedy)
    refuse_repeated("setting", settings)
