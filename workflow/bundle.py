"""Take results from a bundle instead of preparing data, training and grading.

`snakemake figures tables --config artifacts=BUNDLE` takes them, and the configuration, from a bundle (evals.artifacts.bundle).
All later rules and commands are the same in both modes, and so are the bytes that they write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asymgrpo.section import meant
from asymgrpo.study.config import ConfigError
from asymgrpo.study.layout import CONFIGURATION, PROTOCOL
from asymgrpo.study.stored import updated

if TYPE_CHECKING:
    from evals.artifacts.bundle_files import Bundle

MAY_BE_GIVEN = ("artifacts", "results", "checkpoints", "containers")
"""Keys that may be set beside `artifacts`: the others are the bundle's."""


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
    own = {"results": f"results-{stored['name']}-rebuilt", "containers": "none"}
    return updated(updated(defaults, stored), own | dict(given))


def protocol(bundle: Bundle) -> dict[str, Any] | None:
    """The protocol of the study in a bundle; None if it was not declared."""
    return bundle.json(PROTOCOL) if PROTOCOL in bundle.files else None
