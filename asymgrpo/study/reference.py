"""Keys of a configuration for readers: one of them on a terminal, all of them in docs/keys.md and config/schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterator

from asymgrpo.study.effects import STAGES
from asymgrpo.study.keys import Key, all_keys, keys_in, look_up
from asymgrpo.study.schema import schema
from asymgrpo.study.uses import read_at

DEFAULTS = "config/default.yaml"


def files() -> dict[str, str]:
    """Every file that is made from the fields of a configuration -> its text."""
    return {"docs/keys.md": page(), "config/schema.json": json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"}


# --- one key ----------------------------------------------------------------------------------------------------------------


def explained(dotted: str) -> str:
    """A key, or a section and the keys in it, as text. Raises KeyUnknown."""
    key = look_up(dotted)
    lines = [f"{key.dotted}: {key.type.replace('`', '')}", f"  {key.sentence}"]
    if key.is_section:
        width = max(len(below.path[-1]) for below in keys_in(key))
        return "\n".join([*lines, *(f"    {below.path[-1]:{width}}  {below.sentence}" for below in keys_in(key))])
    lines += [f"  Default: {_default(key)}", f"  A change makes again: {STAGES[key.again]}."]
    if used := read_at(key.path):
        places = (f"{file}:{','.join(map(str, numbers))}" for file, numbers in used.items())
        lines.append("\n    ".join(["  Read in:", *places]))
    return "\n".join(lines)


def _default(key: Key) -> str:
    """The default of a key in words: what a model or an arm does not change is as the study or the table of arms has it."""
    match key.path:
        case ("models", _, "train" | "evaluation" as section, name):
            return f"the study's {section}.{name}"
        case ("arms", _, *_):
            return "the arm's own (python -m asymgrpo.method NAME)"
    if not key.default:
        return "none; where the section is needed, so is the key"
    return f"{key.default}{f' ({DEFAULTS})' if key.stated else ''}"


# --- all keys ---------------------------------------------------------------------------------------------------------------

INTRODUCTION = f"""# Every key of a configuration

`make docs` writes this page from the sentences in `asymgrpo/study/sections/`; edit those. To look up one key, and where the code
reads it: `python -m asymgrpo.study --explain train.truncated`. How to write values: [configuration.md](configuration.md).

*Default* is the value where no file states the key, in **bold** where `{DEFAULTS}` states it. What a model does not change in
`train` and `evaluation` is as the study has it; what a study does not change of an arm is as `asymgrpo/method/arms.py` has it.
*NAME* is a name that you choose (of a model) or that the project knows (of an arm). *Again* says what a change makes again:

| again | what is made again |
|---|---|
"""


def page() -> str:
    """docs/keys.md."""
    legend = "".join(f"| {stage} | {words} |\n" for stage, words in STAGES.items())
    keys = all_keys()
    sections = [key for key in keys if key.is_section and _has_table(key)]
    top = ["\n## Top level\n", *_table([key for key in keys if len(key.path) == 1])]
    blocks = ["\n".join(top)]
    for section in sections:
        inside = [key for key in keys if key.path[:-1] == section.path]
        blocks.append("\n".join([f"\n## {section.dotted}\n", f"{section.sentence}\n", *_table(inside)]))
    return INTRODUCTION + legend + "\n".join(blocks) + "\n"


def _has_table(section: Key) -> bool:
    """Sections of named things have their table under NAME; what a model changes of `train` is described under train."""
    return section.dotted not in ("models", "arms", "models.NAME.train")


def _table(keys: list[Key]) -> Iterator[str]:
    yield "| key | type | default | again | |\n|---|---|---|---|---|"
    for key in keys:
        value = key.default and (f"**`{key.default}`**" if key.stated else f"`{key.default}`")
        again = "" if key.is_section and key.dotted != "containers" else key.again
        cells = (f"`{key.path[-1]}`", key.type, value, again, key.sentence)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
