"""Problems that several benchmarks share: each counts once in an average over benchmarks.

Two problems are the same if their texts are equal without figures, case, white space and $ { } (`normalise_problem`). A problem
counts in the first of its benchmarks, by name; in the others it is left out of averages only, never of their own columns.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from asymgrpo.tasks.table import read_problems
from evals.io import DataError

FIGURE = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)
KEY = re.compile("sha256:[0-9a-f]{64}")
"""What stands for a text that may not be passed on (evals.artifacts.withheld)."""

WITHHELD = "withheld"
"""Key of a problem table's metadata: the licence for which its texts are not there."""
Elsewhere = Mapping[str, Sequence[str]]
"""Benchmark -> ids of its problems that an average counts in another one."""


def normalise_problem(text: str) -> str:
    r"""The text without figures, case, white space and $ { }.

    >>> normalise_problem("Let $x^{4} = 2.$  Find $x$.")
    'letx^4=2.findx.'
    """
    return re.sub(r"[\s${}]", "", FIGURE.sub("", text).lower())


def problem_key(text: str) -> str:
    """Identifies a problem by its normalised text; of a text that was withheld, its key stands in its place.

    >>> problem_key("Find $x$.") == problem_key("find x ."), problem_key(problem_key("Find x.")) == problem_key("Find x.")
    (True, True)
    """
    if KEY.fullmatch(text):
        return text
    return f"sha256:{hashlib.sha256(normalise_problem(text).encode()).hexdigest()}"


def shared_problems(keys: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """[{benchmark: problem id}] of every problem that is in several benchmarks; benchmarks by name.

    Args:
        keys: benchmark -> problem id -> `problem_key`.

    >>> shared_problems({"b": {"b1": "x", "b2": "y"}, "a": {"a1": "y"}})
    [{'a': 'a1', 'b': 'b2'}]
    """
    places: dict[str, dict[str, str]] = {}
    for benchmark in sorted(keys):
        for problem, key in keys[benchmark].items():
            places.setdefault(key, {}).setdefault(benchmark, problem)
    return [found for found in places.values() if len(found) > 1]


def counted_elsewhere(keys: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Benchmark -> ids of its problems that an average counts in another one; benchmarks without such problems are left out.

    >>> counted_elsewhere({"b": {"b1": "x", "b2": "y"}, "a": {"a1": "y"}, "c": {"c1": "y"}})
    {'b': ['b2'], 'c': ['c1']}
    """
    found: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for benchmark in sorted(keys):
        for problem, key in keys[benchmark].items():
            if first.setdefault(key, benchmark) != benchmark:
                found.setdefault(benchmark, []).append(problem)
    return found


def keys_of(paths: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Benchmark -> problem id -> key, of problem tables named by their benchmarks.

    Raises:
        DataError: two files have the same name, or as `read_problems`.
    """
    if len({path.stem for path in paths}) < len(paths):
        raise DataError("two problem tables have the same name; rename one, since benchmarks are identified by it")
    return {
        path.stem: {row["problem_id"]: problem_key(row["problem"]) for row in read_problems(path)} for path in paths
    }
