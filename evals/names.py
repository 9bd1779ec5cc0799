"""What tables, figures and the report call things, and in which order: titles, selection rules in words, numbers in per cent."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from asymgrpo.method.arms import ARMS, MAIN, differences
from asymgrpo.study.settings import BASE
from asymgrpo.tasks.benchmarks import BENCHMARKS, load, younger

TABLE_1 = (BASE, *(arm.name for arm in MAIN))
"""The arms of Table 1 in its order."""
EVERY_ARM = (BASE, *ARMS)
BASE_TITLE = "base model"


@cache
def title(name: str) -> str:
    """Of an arm (`asymgrpo/method/arms.py`) or a benchmark (its YAML file); a name that has none stands for itself.

    >>> title("grpo_clip_higher"), title("math500"), title("average")
    ('GRPO + Clip-higher', 'MATH-500', 'average')
    """
    if name == BASE:
        return BASE_TITLE
    found = ARMS[name].title if name in ARMS else load(name).title if name in BENCHMARKS else ""
    return found or name


def about(told: Mapping[str, Any]) -> str:
    """What an arm is, in a few words: those of its conventions (`conventions.json`, `arm`), else those of the table of arms.

    The words of a run's conventions are empty, because no result depends on them; an arm that the table does not have goes
    without. Where the study has changed the arm, its own words may not fit, and the others say so.

    >>> about({"arm": "mine", "about": "", "differs_from_grpo": {}}), about({"arm": "mine", "about": "Ours"})
    ('', 'Ours')
    >>> about({"arm": "grpo_entropy", "about": "", "differs_from_grpo": {"entropy_coef": {"grpo": 0.0, "arm": 0.01}}})
    "Entropy bonus, with the study's changes"
    """
    if told["about"] or told["arm"] not in ARMS:
        return str(told["about"])
    arm = ARMS[told["arm"]]
    trained = {key: one["arm"] for key, one in told["differs_from_grpo"].items()}
    changed = trained != {key: value for key, (_, value) in differences(arm).items()}
    return f"{arm.about}, with the study's changes" if changed else arm.about


YOUNGER = "†"
"""Behind the title of a benchmark: all its problems became public after the model's knowledge cut-off."""


def marked(benchmarks: Sequence[str], cutoff: str | None) -> list[str]:
    """Titles of benchmarks, with a mark on those that are younger than a model with that knowledge cut-off, and on an average of
    such alone.

    >>> marked(["aime24", "aime26", "average"], "2025-05"), marked(["aime26", "average"], "2025-05")
    (['AIME24', 'AIME26 †', 'average'], ['AIME26 †', 'average †'])
    >>> marked(["aime26"], None)
    ['AIME26']
    """
    young = {name for name in benchmarks if younger(name, cutoff)}
    if young and young == {name for name in benchmarks if name != "average"}:
        young.add("average")
    return [f"{title(name)} {YOUNGER}" if name in young else title(name) for name in benchmarks]


def in_order(names: Iterable[str], first: Sequence[str]) -> list[str]:
    """Distinct names: those in `first` in that order, then the rest by name, `average` last.

    >>> in_order(["average", "b", "grpo", "base"], TABLE_1)
    ['base', 'grpo', 'b', 'average']
    """
    distinct = set(names)
    known = [name for name in first if name in distinct and name != "average"]
    rest = sorted(distinct - set(known) - {"average"})
    return known + rest + (["average"] if "average" in distinct else [])


def percent(estimate: float, low: float, high: float) -> str:
    """An estimate with its interval in per cent.

    >>> percent(0.8933, 0.87, 0.91)
    '89.3 [87.0, 91.0]'
    """
    return f"{100 * estimate:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def describe_rule(rule: str) -> str:
    """A selection rule in words.

    >>> describe_rule("best_on:math500")
    'best on MATH-500 (selected on a reported benchmark)'
    """
    if rule.startswith("best_on:"):
        name = rule.removeprefix("best_on:")
        return f"best on {title(name)} (selected on a reported benchmark)"
    return {"last": "last step", "validation": "best on the held-out split of the training set"}.get(rule, rule)


def rule_to_show(rules: Iterable[str]) -> str:
    """The selection rule to show when none is named: one that saw no benchmark, if there is one.

    >>> rule_to_show(["best_on:math500", "last", "validation"])
    'validation'
    """
    return min(set(rules), key=lambda rule: (rule.startswith("best_on:"), rule != "validation", rule))
