"""A study has one configuration from its first job to its last, whatever happens to the configuration files meanwhile.

Snakemake's cluster executors start each job by reading the Snakefile, and the configuration files, again. The first call
therefore hands its configuration to them through the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

VARIABLE = "ASYMGRPO_CONFIGURATION"


def configuration(read: Mapping[str, Any], remote: bool) -> dict[str, Any]:
    """The configuration that this call was started with; in a job of a cluster (`remote`) that of the call that submitted it.

    >>> configuration({"name": "a"}, remote=False)
    {'name': 'a'}
    >>> configuration({"name": "edited since"}, remote=True)
    {'name': 'a'}
    >>> del os.environ[VARIABLE]
    """
    if remote and (told := os.environ.get(VARIABLE)):
        return json.loads(told)
    os.environ[VARIABLE] = json.dumps(dict(read), default=str)
    return dict(read)
