"""What each result of a study depends on: the settings that a job is given, its result states, and every reader asks for.

A `Plan` is the part of a configuration that results depend on, as plain JSON. From it every function here derives the settings
of one result. The workflow gives them to the job that makes it; the job writes them into the result; whoever reads the result
compares them with those that the configuration asks for (`require`). So no scheduler can mix two configurations: a result of
another one is refused by name. What has no effect on results (config.NO_EFFECT_ON_RESULTS, `machine`, `containers`) is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.errors import InputError
from asymgrpo.files import METADATA_KEY

if TYPE_CHECKING:
    from asymgrpo.study.config import Study

Settings = dict[str, Any]
"""Of one result; the key `of` says which kind it is."""
Plan = dict[str, Any]
"""{models, arms, seeds, problems, n_samples, selection}: everything that the results of a study depend on."""

BASE = "base"
"""The name under which the untrained model appears among the arms; `base@TEMPLATE` is the same under another prompt template."""
TRAINING_SETS = ("train", "validation")
GROWING = ("arm", "train", "evaluation")
"""Sections that a later version may extend: a result that does not state a key of theirs was made before it existed."""


class SettingsError(InputError):
    """A result was made with other settings than those asked for; the message names it, the keys and the remedy."""


# --- from a study to the settings of its results ---------------------------------------------------------------------------


def plan_of(study: Study) -> Plan:
    """The part of a configuration that results depend on."""
    from asymgrpo.method.arms import get_arm

    named = [*study.study.arms, *study.study.analyses]
    return {
        "models": {name: _model(study, name) for name in study.study.models},
        "arms": {name: get_arm(name, study.arms.get(name)).settings() for name in named},
        "seeds": dict.fromkeys(study.study.analyses, sorted(study.study.analysis_seeds))
        | dict.fromkeys(study.study.arms, sorted(study.study.seeds)),
        "problems": {name: _problems(study, name) for name in (*TRAINING_SETS, *study.evaluation.benchmarks)},
        "n_samples": {name: study.evaluation.n_samples(name) for name in study.evaluation.benchmarks},
        "selection": list(study.evaluation.selection),
    }


def _model(study: Study, name: str) -> Settings:
    from asymgrpo.study.config import NO_EFFECT_ON_RESULTS

    model, train, evaluation = study.models[name], study.train_of(name), study.evaluation_of(name)
    return {
        "base": {"of": "base model", "kind": model.kind} | _made_from(model),
        "template": model.template,
        "train": train.model_dump(mode="json", exclude=set(NO_EFFECT_ON_RESULTS)),
        "evaluation": {
            **{key: getattr(evaluation, key) for key in ("temperature", "top_p", "max_tokens", "engine", "batch")},
            "dtype": train.dtype,
        },
    }


def _made_from(model: Any) -> Settings:
    if model.kind == "tiny":
        from asymgrpo.study.tiny_spec import parse_spec

        return {"spec": parse_spec(model.spec).model_dump(mode="json")}
    return {"hub_id": model.hub_id} if model.kind == "hub" else {}


def _problems(study: Study, name: str) -> Settings:
    """Options of asymgrpo.tasks.prepare that decide what a table holds; files are checked by content, wherever they lie."""
    data, training = study.data, name in TRAINING_SETS
    found: Settings = {"dataset": data.train if training else name, "source": data.source}
    if training:
        found |= {"split": name, "validation_size": data.validation_size}
    if data.source == "embedded":
        size = data.embedded.train_size if training else data.embedded.benchmark_size
        found |= {"embedded_n": size, "embedded_seed": data.embedded.seed}
    limit = data.train_limit if name == "train" else None if training else study.evaluation.limit
    return {"of": "problems", **found} | ({} if limit is None else {"limit": limit})


def part(plan: Plan, models: Iterable[str], arms: Iterable[str], benchmarks: Iterable[str]) -> Plan:
    """The plan of some models, arms (`base` may be among them) and benchmarks: what a table of these depends on."""
    named, trained = list(benchmarks), [name for name in dict.fromkeys(arms) if not is_base(name)]
    return {
        "models": {name: plan["models"][name] for name in dict.fromkeys(models)},
        "arms": {name: plan["arms"][name] for name in trained},
        "seeds": {name: plan["seeds"][name] for name in trained},
        "problems": {name: plan["problems"][name] for name in (*TRAINING_SETS, *named)},
        "n_samples": {name: plan["n_samples"][name] for name in named},
        "selection": plan["selection"],
    }


def of_training(plan: Plan) -> Plan:
    """The part of a plan that training runs depend on: without evaluation after training."""
    sets = [*TRAINING_SETS, *selection_benchmarks(plan["selection"])]
    models = {
        name: {key: value for key, value in model.items() if key != "evaluation"}
        for name, model in plan["models"].items()
    }
    problems = {name: plan["problems"][name] for name in sets}
    return plan | {"models": models, "problems": problems, "n_samples": {}}


def of_problems(plan: Plan) -> Plan:
    """The part of a plan that problem tables depend on."""
    return {"models": {}, "arms": {}, "seeds": {}, "problems": plan["problems"], "n_samples": {}, "selection": []}


# --- settings of one result ------------------------------------------------------------------------------------------------


def problems(plan: Plan, name: str) -> Settings:
    """Of the problem table `train`, `validation` or a benchmark."""
    return plan["problems"][name]


def base_model(plan: Plan, model: str) -> Settings:
    return plan["models"][model]["base"]


def run(plan: Plan, model: str, arm: str, seed: int) -> Settings:
    """Of one training run."""
    about = plan["models"][model]
    sets = [*TRAINING_SETS, *selection_benchmarks(plan["selection"])]
    return {
        "of": "run",
        "model": model,
        "seed": int(seed),
        "base": about["base"],
        "template": about["template"],
        "arm": plan["arms"][arm],
        "train": about["train"],
        "problems": {name: plan["problems"][name] for name in sets},
    }


def graded(plan: Plan, model: str, arm: str, seed: int) -> Settings:
    """Of all graded samples of one run, or of the base model under a template."""
    about = plan["models"][model]
    source = {"of": "base model", **about["base"]} if is_base(arm) else run(plan, model, arm, seed)
    return {
        "of": "graded",
        "model": model,
        "arm": arm,
        "seed": int(seed),
        "source": source,
        "selection": [] if is_base(arm) else plan["selection"],
        "template": template_of(about["template"], arm),
        "evaluation": about["evaluation"],
        "benchmarks": {
            name: {"problems": plan["problems"][name], "n_samples": n} for name, n in plan["n_samples"].items()
        },
    }


def samples(all_of_run: Settings, benchmark: str) -> Settings:
    """Of the samples of one benchmark, out of the settings of all graded samples of the run (`graded`)."""
    shared = {key: value for key, value in all_of_run.items() if key != "benchmarks"}
    return shared | {"of": "samples", "benchmark": benchmark} | all_of_run["benchmarks"][benchmark]


def table(plan: Plan, **options: Any) -> Settings:
    """Of a table, figure or bundle made from everything in a plan (`part`), with the options of its estimates (k, draws, ...)."""
    return {"of": "table", "plan": plan, "options": options}


def theory(study: Study) -> Settings:
    """Of the table of the theory: no result of a study enters it, and every arm of the library is in it."""
    from asymgrpo.method.arms import ARMS, get_arm

    arms = {name: get_arm(name, study.arms.get(name)).settings() for name in ARMS}
    nothing: Plan = {"models": {}, "arms": {}, "seeds": {}, "problems": {}, "n_samples": {}, "selection": []}
    return table(nothing, group_size=study.train.group_size, theory=study.theory.model_dump(mode="json"), arms=arms)


def selection_benchmarks(rules: Iterable[str]) -> list[str]:
    """Benchmarks that selection rules look at.

    >>> selection_benchmarks(["last", "best_on:chain4", "validation"])
    ['chain4']
    """
    return list(dict.fromkeys(rule.split(":", 1)[1] for rule in rules if rule.startswith("best_on:")))


def place(stated: Settings) -> str | None:
    """Where, below the folder of results, a result of these settings lies: a run's folder, else a file; None of other kinds.

    >>> place({"of": "graded", "model": "tiny", "arm": "base", "seed": 0})
    'graded/tiny/base/seed0.parquet'
    """
    match stated["of"]:
        case "run":
            return f"runs/{stated['model']}/{stated['arm']['name']}/seed{stated['seed']}"
        case "graded":
            return f"graded/{stated['model']}/{stated['arm']}/seed{stated['seed']}.parquet"
        case "problems":
            return f"data/{stated.get('split') or stated['dataset']}.parquet"
    return None


def is_base(arm: str) -> bool:
    """Whether an arm's name means the untrained model.

    >>> is_base("base"), is_base("base@plain_boxed"), is_base("grpo")
    (True, True, False)
    """
    return arm.split("@")[0] == BASE


def template_of(own: str, arm: str) -> str:
    """The prompt template of an arm: the model's own, or that of `base@TEMPLATE`.

    >>> template_of("plain", "grpo"), template_of("plain", "base@chat")
    ('plain', 'chat')
    """
    return arm.split("@", 1)[1] if "@" in arm else own


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
        case "table":
            return table(plan, **{key: asked["options"].get(key, value) for key, value in stated["options"].items()})
        case other:
            raise KeyError(other)


def _need_seed(plan: Plan, stated: Settings) -> None:
    """Raises KeyError when the plan does not train the arm of a run, or of its samples, with this seed."""
    arm = stated["arm"]["name"] if stated["of"] == "run" else stated["arm"]
    if not is_base(arm) and stated["seed"] not in plan["seeds"][arm]:
        raise KeyError(f"{arm} seed {stated['seed']}")


# --- comparing -------------------------------------------------------------------------------------------------------------


def differences(stated: Any, asked: Any, key: str = "") -> list[str]:
    """Where stated settings are not those asked for, one phrase per key.

    >>> differences({"train": {"steps": 2}, "seed": 0}, {"train": {"steps": 3}, "seed": 0})
    ['train.steps is 2, not 3']
    """
    return list(_differences(stated, asked, key, whole=True))


def _differences(stated: Any, asked: Any, key: str, whole: bool) -> Iterator[str]:
    if isinstance(stated, Mapping) and isinstance(asked, Mapping):
        for name in dict.fromkeys([*stated, *asked]):
            inner = f"{key}.{name}" if key else str(name)
            if name in stated and name in asked:
                yield from _differences(stated[name], asked[name], inner, whole and name not in GROWING)
            elif name in stated or whole:
                yield f"{inner} is {_short(stated.get(name))}, not {_short(asked.get(name))}"
    elif stated != asked:
        yield f"{key} is {_short(stated)}, not {_short(asked)}"


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
        return ["it is no list of selected checkpoints"]
    found = differences(list(dict.fromkeys(row.get("selection") for row in rows)), list(rules), "selection")
    sums = [row["run_sha256"] for row in rows if row.get("run_sha256")]
    if run_sha256 is not None and any(told != run_sha256 for told in sums):
        found.append("it is of another training of its run")
    return found


def stated(path: Path) -> Settings | None:
    """The settings that a result (Parquet or JSON) states; None if it states none, is not there or cannot be read."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            metadata = pq.read_schema(path).metadata or {}
            found = json.loads(metadata.get(METADATA_KEY, b"{}"))
        else:
            found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever reads it next says what is wrong
        return None
    return found.get("settings") if isinstance(found, dict) else None


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
        named = ("models", "arms", "seeds", "problems", "n_samples")
        parts = {key: _only(plan.get(key, {}), asked["plan"][key]) for key in named}
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
    if stated is not None and _need_kind(stated, name) == "table":
        asked = {key: _shaped(plan[key], told) for key, told in stated["plan"].items()}
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


# --- as text ---------------------------------------------------------------------------------------------------------------


def dumps(settings: Mapping[str, Any]) -> str:
    """Settings as a command's argument: one line, keys in their order."""
    return json.dumps(settings, separators=(",", ":"))


def loads(text: str) -> Settings:
    """Settings of a command's argument: JSON, or the name of a file with it. Raises SettingsError."""
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"--settings: {text!r} is neither JSON nor a readable file ({error.strerror})."
            ) from None
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--settings: not valid JSON ({error}).") from None
