"""docs/known-issues.md names tests and files that exist, and gives each report a verdict."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "known-issues.md").read_text(encoding="utf-8")
TABLES = TEXT.partition("## Reports")[2]
ROWS = [line.strip("|").split(" | ") for line in TABLES.splitlines() if re.match(r"\| .*#\d", line)]


def test_named_tests_exist():
    defined = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 30
    assert {name for name in named if f"def {name}(" not in defined} == set()


def test_named_files_exist():
    named = set(re.findall(r"`((?:asymgrpo|evals|tests|workflow|config)/[\w./]+)`", TEXT))
    named |= {f"docs/{name}" for name in re.findall(r"\]\((\w+\.md)\)", TEXT)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_report_has_a_verdict_and_says_how_it_is_known():
    assert len(ROWS) >= 70
    for row in ROWS:
        assert len(row) == 4, row[0]
        assert re.search(r"\*\*(holds|fixed|remains|n/a)\*\*", row[2]), row[0]
        assert row[3].strip(), row[0]
