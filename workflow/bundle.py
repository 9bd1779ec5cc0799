"""Take results from a bundle instead of preparing data, training and grading.

`snakemake figures tables --config artifacts=BUNDLE` takes them, and the configuration, from a bundle (evals.artifacts.bundle);
`snakemake pool --config 'bundles=[A,B]'` from the bundles of several laboratories, joined (evals.pool).
All later rules and commands are the same in both modes, and so are the bytes that they write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.section import meant
from asymgrpo.study.config import ConfigError
from asymgrpo.study.layout import CONFIGURATION, LABORATORIES, PROTOCOL
from asymgrpo.study.stored import updated

if TYPE_CHECKING:
    from evals.artifacts.bundle_files import Bundle

POOL = "bundles"
"""Key of the command line alone: the bundles of a pool."""
MAY_BE_GIVEN = ("artifacts", POOL, "results", "checkpoints", "containers")
"""Keys that may be set beside `artifacts`: the others are the bundle's."""


def bundle_of(given: Mapping[str, Any]) -> Bundle | None:
    """The bundle that the command line names, checked as a whole, or those of a pool, joined; None without either.

    Raises:
        ConfigError: another key is given beside it. evals.artifacts.bundle_files.BundleError: the bundle is not what it says.
        evals.pool.agreement.PoolError: the bundles of a pool do not agree.
    """
    named, pooled = meant(str | None, given.get("artifacts")), given.get(POOL)
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
    bundle = open_bundle(str(named or _joined(pooled)))
    bundle.check()
    return bundle


def _joined(named: Any) -> Path:
    """The joined bundle of a pool, made once and kept (evals.pool.joined)."""
    from evals.pool.joined import cached

    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise ConfigError(f"config: {POOL} is {named!r}; give a list: --config '{POOL}=[a.zip,b.zip]'.")
    return cached(named)


def is_pool(bundle: Bundle | None) -> bool:
    """Whether a bundle is of several laboratories."""
    return bundle is not None and LABORATORIES in bundle.files


def need_pool(bundle: Bundle | None) -> list[str]:
    """No files; refuses to pool where no bundles were named. Raises ConfigError."""
    if not is_pool(bundle):
        raise ConfigError(f"snakemake pool: name the bundles of the laboratories: --config '{POOL}=[a.zip,b.zip]'.")
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
    kind = "pooled" if is_pool(bundle) else "rebuilt"
    own = {"results": f"results-{stored['name']}-{kind}", "containers": "none"}
    found = updated(updated(defaults, stored), own | dict(given))
    return {key: value for key, value in found.items() if key != POOL}


def protocol(bundle: Bundle) -> dict[str, Any] | None:
    """The protocol of the study in a bundle; None if it was not declared."""
    return bundle.json(PROTOCOL) if PROTOCOL in bundle.files else None
