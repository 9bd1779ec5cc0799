"""`checklist.md`: what venues ask, each answer a link to a file of the folder, or "the author must answer".

The questions are in checklist.yaml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from asymgrpo.files import write_text
from evals.io import DataError
from evals.publish.source import Source, markdown_table

SECTIONS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "checklist.yaml").read_text(encoding="utf-8"))
OPEN = "**The author must answer.**"


def write(source: Source, folder: Path) -> int:
    """Write the page; returns how many questions are left to the author.

    Raises:
        DataError: an answer points at a file that is not in the folder.
    """
    lost = [item["link"] for item in items() if item.get("link") and not (folder / item["link"]).exists()]
    if lost:
        raise DataError(
            f"{folder}: {lost[0]} is missing, which the checklist points at; run snakemake tables figures first"
        )
    write_text(page(source), folder / "checklist.md")
    return sum(not item.get("link") for item in items())


def items() -> list[dict[str, Any]]:
    return [item for section in SECTIONS for item in section["items"]]


def page(source: Source) -> str:
    parts = [
        f"# Checklists for study {source.name}\n",
        "Every answer is a file of this folder. What no file can answer is left to the author.",
    ]
    for section in SECTIONS:
        rows = ([item["ask"], _answer(item)] for item in section["items"])
        parts += [f"\n## {section['title']}\n", markdown_table(["question", "answer"], rows)]
    return "\n".join(parts) + "\n"


def _answer(item: dict[str, Any]) -> str:
    return f"{item['answer']}: [`{item['link']}`]({item['link']})" if item.get("link") else OPEN
