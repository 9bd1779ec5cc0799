"""What a result states of itself, and the refusal of one that was made with other settings than those asked for.

asymgrpo.study.settings derives what is asked for; everything here compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from asymgrpo.files import METADATA_KEY
from asymgrpo.method.arm import Arm
from asymgrpo.study.sections.evaluation import Evaluation
from asymgrpo.study.sections.train import Train
from asymgrpo.study.settings import Plan, Settings, SettingsError, counts, graded, is_base, part, problems, run, table

DERIVED = ("table", "counts")
"""Kinds of results that are made from a plan, or a part of it, and state it whole."""
GROWING: Mapping[str, type[BaseModel]] = {"arm": Arm, "train": Train, "evaluation": Evaluation}
"""Sections that a later version may extend: a result that does not state a key of theirs was made before it existed, and so with
what the key's default means."""


def differences(stated: Any, asked: Any, key: str = "") -> list[str]:
    """Where stated settings are not those asked for, one phrase per key.

    >>> differences({"train": {"steps": 2}, "seed": 0}, {"train": {"steps": 3}, "seed": 0})
    ['train.steps is 2, not 3']
    """
    return [f"{name} is {_short(old)}, not {_short(new)}" for name, old, new in changes(stated, asked, key)]


def changes(stated: Any, asked: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """The same as (key, stated value, asked value); a key that one side lacks has the value None there.

    >>> changes({"steps": 2, "lists": [1]}, {"steps": 3, "lists": [1]})
    [('steps', 2, 3)]
    """
    return list(_changes(stated, asked, key, None, whole=True))


def _changes(stated: Any, asked: Any, key: str, section: str | None, whole: bool) -> Iterator[tuple[str, Any, Any]]:
    """`section`: the growing section whose keys these are; `whole`: outside of any such section."""
    if stated == asked:  # nearly always, and found in one look
        return
    if isinstance(stated, Mapping) and isinstance(asked, Mapping):
        for name in dict.fromkeys([*stated, *asked]):
            inner = f"{key}.{name}" if key else str(name)
            if name in stated and name in asked:
                growing = name if whole and name in GROWING else None
                yield from _changes(stated[name], asked[name], inner, growing, whole and not growing)
            elif name in stated or whole or (section and not _is_default(section, name, asked[name])):
                yield inner, stated.get(name), asked.get(name)
    else:
        yield key, stated, asked


def _is_default(section: str, name: str, value: Any) -> bool:
    """Whether a value is the default of its key. A key without one cannot tell, and passes."""
    field = GROWING[section].model_fields.get(name)
    if field is None or field.is_required():
        return True
    return bool(to_jsonable_python(field.get_default(call_default_factory=True)) == value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def selection_differences(rows: Any, rules: Iterable[str], run_sha256: str | None = None) -> list[str]:
    """Where the rows of a selection.json are not of these rules, or of another training of their run than `run_sha256`.

    >>> selection_differences([{"selection": "last", "step": 2}], ["last"])
    []
    >>> selection_differences([{"selection": "last", "step": 2}], ["validation"])
    ['selection is ["last"], not ["validation"]']
    """
    if not (isinstance(rows, list) and rows and all(isinstance(row, Mapping) for row in rows)):
        return ["it is not a list of selected checkpoints"]
    found = differences(list(dict.fromkeys(row.get("selection") for row in rows)), list(rules), "selection")
    sums = [row["run_sha256"] for row in rows if row.get("run_sha256")]
    if run_sha256 is not None and any(told != run_sha256 for told in sums):
        found.append("it is of another training of its run")
    return found


def stated(path: Path) -> Settings | None:
    """The settings that a result (Parquet or JSON) states; None if it states none, is not there or cannot be read."""
    return metadata(path).get("settings")


def metadata(path: Path) -> dict[str, Any]:
    """All that a result says of itself; nothing if it is not there or cannot be read."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            metadata = pq.read_schema(path).metadata or {}
            found = json.loads(metadata.get(METADATA_KEY, b"{}"))
        else:
            found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever reads it next says what is wrong
        return {}
    return found if isinstance(found, dict) else {}


def require(stated: Settings | None, asked: Settings, name: str | Path, remedy: str = "") -> None:
    """Refuse a result whose stated settings are not those asked for. None, of a result that states none, passes.

    Raises:
        SettingsError: with the first differences.
    """
    if stated is None or not (found := differences(stated, asked)):
        return
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    raise SettingsError(
        f"{name} was made with other settings than those asked for: {'; '.join(found[:3])}{more}; "
        f"{remedy or 'make it again: delete it and run snakemake'}."
    )


def require_for_table(stated: Settings | None, asked: Settings, name: str | Path) -> None:
    """The same of a file that a table of settings `asked` is made from. Another table may hold more than is asked for."""
    if stated is None:
        return
    _need_kind(stated, name)
    if stated["of"] == "table":
        plan = stated["plan"]
        named = ("models", "arms", "seeds", "problems", "n_samples", "n_base")
        parts = {key: _only(plan[key], asked["plan"].get(key, {})) for key in named if key in plan}
        stated = stated | {"plan": plan | parts}
    try:
        wanted = expected(asked, stated)
    except KeyError as unknown:
        raise SettingsError(
            f"{name} is of {unknown.args[0]!r}, which the configuration does not name; leave it out or add it."
        ) from None
    require(stated, wanted, name)


def _need_kind(stated: Any, name: str | Path) -> str:
    """The kind of result that settings are of. Raises SettingsError when they are no settings."""
    if not (isinstance(stated, Mapping) and isinstance(kind := stated.get("of"), str)):
        raise SettingsError(f"{name} states no settings that can be read: {_short(stated)}; make it again.")
    return kind


def _only(stated: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stated.items() if name in asked}


def require_within(stated: Settings | None, plan: Plan, name: str | Path) -> None:
    """The same of a file that lies beside the results of a plan: a table may be of a part of it only."""
    if stated is not None and _need_kind(stated, name) in DERIVED:
        asked = {key: _shaped(plan.get(key), told) for key, told in stated["plan"].items()}
        require(stated, stated | {"plan": asked}, name)
    else:
        require_for_table(stated, table(plan), name)


def require_trained(done: Mapping[str, Any], plan: Plan, name: str | Path) -> None:
    """The same of a done.json that states no settings, by what every version wrote into it. Raises SettingsError."""
    keys = {"arm": "arm_fields", "train": "train", "template": "template"}
    told = {key: done[written] for key, written in keys.items() if written in done}
    try:
        wanted = run(plan, done["model"], done["arm"], done["train_seed"])
    except KeyError as unknown:
        raise SettingsError(f"{name} is of {unknown.args[0]!r}, which the configuration does not name.") from None
    require(told, {key: wanted[key] for key in told}, name)


def _shaped(asked: Any, stated: Any) -> Any:
    """What is asked for, without models, arms and data sets (or all rules) that are not stated."""
    if isinstance(asked, Mapping) and isinstance(stated, Mapping):
        return {name: _common(asked[name], stated[name]) for name in asked if name in stated}
    return asked if stated else stated


def _common(asked: Any, stated: Any) -> Any:
    both = isinstance(asked, Mapping) and isinstance(stated, Mapping)
    return {key: value for key, value in asked.items() if key in stated} if both else asked


def expected(asked: Settings, stated: Settings) -> Settings:
    """What a table of settings `asked` needs of a file that states `stated`: a result of its plan, or another table.

    Raises:
        KeyError: the plan does not have the model, arm, seed or data set that the file is of.
    """
    plan = asked["plan"]
    if stated["of"] in ("run", "graded"):
        _need_seed(plan, stated)
    match stated["of"]:
        case "run":
            return run(plan, stated["model"], stated["arm"]["name"], stated["seed"])
        case "graded":
            return graded(plan, stated["model"], stated["arm"], stated["seed"])
        case "problems":
            return problems(plan, stated.get("split") or stated["dataset"])
        case "counts":
            told = stated["plan"]
            return counts(part(plan, told["models"], told["arms"], told["n_samples"]))
        case "table":
            return table(plan, **{key: asked["options"].get(key, value) for key, value in stated["options"].items()})
        case other:
            raise KeyError(other)


def _need_seed(plan: Plan, stated: Settings) -> None:
    """Raises KeyError when the plan does not train the arm of a run, or of its samples, with this seed."""
    arm = stated["arm"]["name"] if stated["of"] == "run" else stated["arm"]
    if not is_base(arm) and stated["seed"] not in plan["seeds"][arm]:
        raise KeyError(f"{arm} seed {stated['seed']}")
