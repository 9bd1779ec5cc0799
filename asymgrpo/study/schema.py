"""The JSON schema of a configuration, made from the fields of `Study` and the sentences below them: config/schema.json.

Editors read it. It asks for plain values, where the workflow also takes text that YAML reads as such a value ("7", "null").
A schema cannot say what sections mean together (names that exist, sizes that divide): the workflow checks that before any job.
"""

from __future__ import annotations

from typing import Any

from asymgrpo.study.config import Study
from asymgrpo.study.sections.evaluation import PER_MODEL

Node = dict[str, Any]
"""A schema, or a part of one."""
DRAFT = "http://json-schema.org/draft-07/schema#"
"""The draft that all editors know. pydantic writes a newer one, of which nothing else is used here."""
ABOUT = "A study of asymgrpo, or its differences from config/default.yaml. Made from asymgrpo/study/sections/ by `make docs`."


def schema() -> Node:
    """The schema of a configuration file. No key is required: a file states its differences from config/default.yaml."""
    from asymgrpo.method.arm import Arm
    from asymgrpo.study.tiny_spec import TinySpec

    found, arm = Study.model_json_schema(), Arm.model_json_schema()
    del arm["$defs"]["UserFunction"]  # a file states `python`, and its text is read
    choices = arm["properties"]["advantage"]["oneOf"]
    choices.remove({"$ref": "#/$defs/UserFunction"})
    parts, properties = found["$defs"], found["properties"]
    parts["TinySpec"] = TinySpec.model_json_schema()
    parts["ChangesOfArm"] = _changes_of_arm(arm)
    changes = {key: parts["Evaluation"]["properties"][key] for key in PER_MODEL}
    parts["ChangesOfEvaluation"] = parts["Evaluation"] | {"properties": changes}
    for part in (found, *parts.values()):
        part.pop("required", None)
    parts |= arm["$defs"]  # these replace a field of an arm as a whole: their keys stay required
    for key, part in (("spec", "TinySpec"), ("train", "Train"), ("evaluation", "ChangesOfEvaluation")):
        _refer(parts["Model"]["properties"], key, {"$ref": f"#/$defs/{part}"})
    _refer(properties, "arms", {"type": "object", "additionalProperties": {"$ref": "#/$defs/ChangesOfArm"}})
    modes = parts["Containers"]["properties"]["mode"]["enum"]
    _refer(properties, "containers", {"anyOf": [{"enum": modes}, {"$ref": "#/$defs/Containers"}]})
    return _plain({"$schema": DRAFT, **found, "description": ABOUT})


def _changes_of_arm(arm: Node) -> Node:
    """Fields of an arm that a study may change, and the parameters of all estimators by their own names."""
    from asymgrpo.method.arm import FOR_READERS

    parameters = {
        key: node
        for choice in arm["properties"]["advantage"]["oneOf"]
        for key, node in arm["$defs"][choice["$ref"].rsplit("/", 1)[1]]["properties"].items()
        if key != "estimator"
    }
    new = {
        "base": {
            "type": "string",
            "description": "Makes this a new arm: the arm of the table that it is, but for the changes.",
        },
        "python": {
            "type": "string",
            "description": "Advantage of a new arm: FILE.py:FUNCTION, a function of rewards [prompts, group] "
            "(asymgrpo.method.user_function); the path is relative to the configuration file.",
        },
    }
    fields = {key: node for key, node in arm["properties"].items() if key not in ("name", *FOR_READERS)}
    about = {"type": "object", "additionalProperties": False, "description": "Changed fields of an arm."}
    return about | {"properties": new | fields | parameters}


def _refer(properties: Node, key: str, to: Node) -> None:
    """Say more exactly what a key holds; its sentence and its default stay."""
    properties[key] = {
        name: properties[key][name] for name in ("description", "default") if name in properties[key]
    } | to


def _plain(node: Any) -> Any:
    """A schema without titles, which repeat the names of keys, and without what only pydantic reads; sentences on one line."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, dict):
        return node
    found = {key: _plain(part) for key, part in node.items()}
    if isinstance(found.get("title"), str):
        del found["title"]
    if isinstance(found.get("description"), str):
        found["description"] = " ".join(found["description"].split())
    if "propertyName" in found.get("discriminator", {}):
        del found["discriminator"]
    return found
