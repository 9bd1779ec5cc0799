"""What pages name is there: files and headings of links, paths, modules of commands. Every page is in the reading order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.project_files import project_files

ROOT = Path(__file__).parents[2]
PAGES = [name for name in project_files(ROOT) if name.endswith(".md")]

MADE_LATER = {"containers/built", "config/images/IMAGE.json", "config/study.json", "config/operation/", "config/lists/"}
"""Paths below the checkout or a folder of results that a study makes."""


def prose(page: Path) -> str:
    """The text of a page without its code, in which brackets are no links."""
    return re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", PAGES)
def test_paths_and_modules_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:asymgrpo|evals|containers|workflow|tests|docs|requirements|config)/[\w./-]*)`", text))
    modules = set(re.findall(r"python -m ((?:asymgrpo|evals|containers|workflow|benchmarks)[\w.]*\w)", text))
    for module in modules:
        place = module.replace(".", "/")
        paths.add(f"{place}.py" if (ROOT / f"{place}.py").exists() else f"{place}/__main__.py")
    assert {path for path in paths if not (ROOT / path).exists()} - MADE_LATER == set()


def test_every_page_is_in_the_reading_order():
    index = prose(ROOT / "docs" / "index.md")
    pages = {Path(name).name for name in PAGES if name.startswith("docs/")} - {"index.md"}
    assert pages - set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == set()
