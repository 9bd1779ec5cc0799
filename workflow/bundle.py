"""Take results from a bundle instead of preparing data, training and grading.

`snakemake figures tables --config artifacts=BUNDLE` takes them, and the configuration, from a bundle (evals.artifacts.bundle);
`snakemake pool --config 'bundles=[A,B]'` from the bundles of several laboratories, joined (evals.pool). With 'differ=[KEY]' the
bundles are settings of one study, which are pooled and not joined.
All later rules and commands are the same in both modes, and so are the bytes that they write.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymgrpo.section import meant
from asymgrpo.study.config import ConfigError
from asymgrpo.study.layout import CONFIGURATION, LABORATORIES, PROTOCOL
from asymgrpo.study.stored import completed, document, updated

if TYPE_CHECKING:
    from evals.artifacts.bundle_files import Bundle
    from evals.pool.laboratories import Laboratory

POOL = "bundles"
"""Key of the command line alone: the bundles of a pool."""
DIFFER, FACTOR = "differ", "factor"
"""Keys of the command line alone: what the settings of a pool differ in, and the word for one of them."""
MAY_BE_GIVEN = ("artifacts", POOL, DIFFER, FACTOR, "results", "checkpoints", "containers")
"""Keys that may be set beside `artifacts`: the others are the bundle's."""


class Settings(NamedTuple):
    """Bundles of settings, the keys that are meant to differ, and what tables call one of them."""

    bundles: tuple[str, ...]
    differ: tuple[str, ...]
    factor: str


def settings_of(given: Mapping[str, Any]) -> Settings | None:
    """The settings that the command line names; None if it names none, or laboratories. Raises ConfigError."""
    differ, factor = given.get(DIFFER), given.get(FACTOR)
    if differ is None:
        if factor is not None:
            raise ConfigError(
                f"config: {FACTOR} is the word for a setting; say what settings differ in: {DIFFER}=[KEY,...]."
            )
        return None
    return Settings(tuple(_listed(given, POOL)), tuple(_listed(given, DIFFER)), str(factor or "setting"))


def _listed(given: Mapping[str, Any], key: str) -> list[str]:
    examples = {POOL: "a.zip,b.zip", DIFFER: "data.train,train.learning_rate"}
    named = given.get(key)
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise ConfigError(f"config: {key} is {named!r}; give a list: --config '{key}=[{examples[key]}]'.")
    return named


def bundle_of(given: Mapping[str, Any]) -> Bundle | None:
    """The bundle that the command line names, checked as a whole, or those of a pool, joined; None without either.

    Raises:
        ConfigError: another key is given beside it. evals.artifacts.bundle_files.BundleError: the bundle is not what it says.
        evals.pool.agreement.PoolError: the bundles of a pool do not agree.
        asymgrpo.study.keys.KeyUnknown: settings are said to differ in a key that there is not.
    """
    named, pooled = meant(str | None, given.get("artifacts")), given.get(POOL)
    settings = settings_of(given)
    if not named and pooled is None:
        return None
    from evals.artifacts.bundle_files import open_bundle

    if named and pooled is not None:
        raise ConfigError(f"config: artifacts and {POOL} are both given; give one bundle or those of a pool.")
    if other := sorted(set(given) - set(MAY_BE_GIVEN)):
        raise ConfigError(
            f"config: {', '.join(other)} cannot be set beside artifacts, whose configuration is that of the bundle; leave it "
            "out (and --configfile)."
        )
    if settings:
        return _opened(settings)[0].bundle  # whose configuration the others share but for what differs
    bundle = open_bundle(str(named or _joined(_listed(given, POOL))))
    bundle.check()
    return bundle


@lru_cache
def _opened(settings: Settings) -> tuple[Laboratory, ...]:
    from evals.pool.laboratories import opened
    from evals.pool.settings import require

    found = opened(settings.bundles)
    require(found, settings.differ)
    return tuple(found)


def settings_text(settings: Settings) -> str:
    """The text of settings.json, which changes with the bundles and with what they differ in."""
    from evals.pool.settings import told

    return document(told(_opened(settings), settings.differ, settings.factor))


def _joined(named: list[str]) -> Path:
    """The joined bundle of a pool, made once and kept (evals.pool.joined)."""
    from evals.pool.joined import cached

    return cached(named)


def is_pool(bundle: Bundle | None) -> bool:
    """Whether a bundle is of several laboratories."""
    return bundle is not None and LABORATORIES in bundle.files


def need_pool(bundle: Bundle | None, settings: Settings | None = None) -> list[str]:
    """No files; refuses to pool where no bundles were named. Raises ConfigError."""
    if not settings and not is_pool(bundle):
        raise ConfigError(f"snakemake pool: name the bundles of the laboratories: --config '{POOL}=[a.zip,b.zip]'.")
    return []


def need_one_study(settings: Settings | None) -> list[str]:
    """No files; refuses to make of settings what only one study has. Raises ConfigError."""
    if settings:
        raise ConfigError(
            f"config: settings ({DIFFER}) are pooled and not joined, so that they have no tables and figures of one study; "
            "make `snakemake pool`, or name one bundle: artifacts=a.zip."
        )
    return []


def unpacked(bundle: Bundle) -> list[str]:
    """Paths, below the folder of results, of what a bundle unpacks to."""
    from evals.artifacts.bundle_files import MANIFEST

    return [MANIFEST, *bundle.files]


def manifest(results: str) -> str:
    """The unpacked manifest, which has the hash of every file of its bundle: it changes when one of them does."""
    from evals.artifacts.bundle_files import MANIFEST

    return f"{results}/{MANIFEST}"


def configuration(bundle: Bundle, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the study in a bundle; its results go to a folder of their own unless `given` names one."""
    stored = bundle.json(CONFIGURATION)["config"]
    kind = "settings" if DIFFER in given else "pooled" if is_pool(bundle) else "rebuilt"
    own = {"results": f"results-{stored['name']}-{kind}", "containers": "none"}
    found = updated(completed(stored, defaults), own | dict(given))
    return {key: value for key, value in found.items() if key not in (POOL, DIFFER, FACTOR)}


def protocol(bundle: Bundle) -> dict[str, Any] | None:
    """The protocol of the study in a bundle; None if it was not declared."""
    return bundle.json(PROTOCOL) if PROTOCOL in bundle.files else None
