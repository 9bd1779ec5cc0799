"""`logbook/`: a Trackio logbook with a page for each claim of the paper, as the ICML 2026 Open Reproductions have them.

Pages are Markdown with cells, below `.trackio/`; `trackio logbook sync` there adds its viewer. A claim that small models support
is `toy`, never `verified`: only runs of a model of the paper can verify or falsify one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asymgrpo.files import write_text
from evals.claims.measures import MEASURES
from evals.claims.verdict import Conclusion
from evals.claims.words import NAMES, estimate_text, margin_text, shown, verdict_text
from evals.publish.source import PAPER, Source, markdown_table, write_document

Row = Mapping[str, Any]
LARGE = {
    Conclusion.SUPPORTED: "verified",
    Conclusion.CONTRADICTED: "falsified",
    Conclusion.EQUIVALENT: "falsified",
    Conclusion.TOO_SMALL: "falsified",
}
"""Our verdict on runs of the paper's model -> the status that the logbooks use; all others are inconclusive."""
STATUSES = ("verified", "falsified", "toy", "inconclusive")


def status(verdict: str, of_paper: bool) -> str:
    """The status of a claim.

    >>> [status(verdict, of_paper=False) for verdict in ("supported", "contradicted", "inconclusive", "not tested")]
    ['toy', 'toy', 'inconclusive', 'inconclusive']
    >>> [status(verdict, of_paper=True) for verdict in ("supported", "contradicted", "equivalent", "too small")]
    ['verified', 'falsified', 'falsified', 'falsified']
    """
    decided = LARGE.get(Conclusion(verdict))
    if decided is None:
        return "inconclusive"
    return decided if of_paper else "toy"


def write(source: Source, folder: Path) -> int:
    """Write the logbook; returns the number of its claims."""
    project = folder / ".trackio"
    rows = source.table("claims").to_pylist()
    told = {
        "space_id": None,
        "emoji": "⚖️",
        "created_at": _time(source),
        "paper": {"arxiv_id": PAPER},
        "tags": ["reproduction", f"arxiv:{PAPER}"],
    }
    write_document(told, project / "metadata.json")
    pages = project / "logbook/pages"
    write_text(index(source, rows), pages / "index.md")
    for row in rows:
        write_text(page(source, row), pages / slug(source, row) / "page.md")
    return len(rows)


def slug(source: Source, row: Row) -> str:
    return f"{row['model']}-{row['id']}" if len(source.results.models) > 1 else str(row["id"])


def _time(source: Source) -> str:
    return f"{source.date}T00:00:00+00:00"


def index(source: Source, rows: Sequence[Row]) -> str:
    """The first page: what was tried, what each status means, and all claims."""
    words = [status(row["verdict"], source.of_paper(row["model"])) for row in rows]
    counted = ", ".join(f"{words.count(word)} {word}" for word in STATUSES if word in words)
    lines = [
        [f"[{row['claim']}](#/{slug(source, row)})", word, verdict_text(row)]
        for row, word in zip(rows, words, strict=True)
    ]
    small = [name for name in source.results.models if not source.of_paper(name)]
    toy = (
        f" Everything here is small ({', '.join(small)} is no model of the paper): it speaks about the mechanism only."
    )
    return (
        f"# AsymGRPO (arXiv:{PAPER}) put to the test (study {source.name})\n\n"
        f"A reproduction of [arXiv:{PAPER}](https://arxiv.org/abs/{PAPER}): {len(source.results.runs)} training runs, "
        f"{len(rows)} claims. {counted}.{toy if small else ''}\n\n"
        "The last column is the project's own verdict, from an interval over training seeds and a margin (each page "
        "says where the margin is from, and whether all this was declared before the runs): "
        "*supported* (the interval is above 0), *and relevant* (above the margin), *equivalent* (inside ± margin), *too small*, "
        "*contradicted*, *inconclusive*, *not tested*.\n\n"
        f"## Pages\n\n{markdown_table(['Page', 'Status', 'Our verdict'], lines)}\n"
    )


def page(source: Source, row: Row) -> str:
    """The page of a claim: what it says, what was found, a picture, the command, and the row of claims.parquet."""
    name = slug(source, row)
    parts = [("markdown", "The claim", _claim(row)), ("markdown", "What was found", _found(source, row))]
    parts += [("figure", "The interval", f"````html\n{svg}\n````")] if (svg := picture(row)) else []
    parts += [("code", "Make it again", _command(source)), ("markdown", "As numbers", _numbers(row))]
    cells = [_cell(source, f"{name}/{at}", *part) for at, part in enumerate(parts)]
    return f"# {row['claim']}\n" + "".join(cells)


def _cell(source: Source, identity: str, kind: str, title: str, body: str) -> str:
    digest = hashlib.sha256(f"{source.results.config_sha256}/{identity}".encode()).hexdigest()[:12]
    told = {"type": kind, "id": f"cell_{digest}", "created_at": _time(source), "title": title}
    if kind == "code":
        told["language"] = "bash"
    return f"\n\n---\n<!-- trackio-cell\n{json.dumps(told, ensure_ascii=False)}\n-->\n{body.strip()}\n"


def _claim(row: Row) -> str:
    where = "a question of ours" if row["version"] == "ours" else f"arXiv:{PAPER} ({row['version']}), {row['section']}"
    return f"> {row['claim']}\n\nSource: {where}.\n\nHow it was read: {row['reading'] or 'as it stands'}."


def _found(source: Source, row: Row) -> str:
    rows = [
        ("status", status(row["verdict"], source.of_paper(row["model"]))),
        ("our verdict", verdict_text(row)),
        ("why it was not tested", row["why_not"]),
        ("contrast", row["contrast"]),
        ("measure", row["measure"]),
        ("estimate with its interval", estimate_text(row)),
        (
            "margin, the smallest effect that matters",
            f"{margin_text(row)} ({row['margin_from']})" if row["margin"] else None,
        ),
        ("test", row["test"]),
        ("training seeds", row["n_seeds"]),
        ("level of the interval", _level(row)),
        ("checkpoints", row["selection"]),
        ("checks", row["checks"]),
        ("declared", row["protocol"]),
    ]
    return f"{row['sentence']}\n\n" + markdown_table(
        ["what", "value"], ([k, v] for k, v in rows if v not in (None, ""))
    )


def _level(row: Row) -> str | None:
    if row["level"] is None:
        return None
    return f"{100 * row['level']:.2f} %: 95 % for all {row['n_tests']} tests together"


def _command(source: Source) -> str:
    commit = source.commits[0].removesuffix("-dirty") if source.commits else "COMMIT"
    lines = (
        "# in a checkout of asymgrpo; FOLDER is the folder that this logbook lies in",
        f"git checkout {commit} && make .venv/.complete",
        ".venv/bin/snakemake claims --configfile FOLDER/crate/config.json",
    )
    return "````bash\n" + "\n".join(lines) + "\n````"


def _numbers(row: Row) -> str:
    """Numbers that are not finite have no JSON; they are text here."""
    plain = {key: str(v) if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
    return "The row of `crate/claims.parquet`:\n\n```json\n" + json.dumps(plain, indent=1, ensure_ascii=False) + "\n```"


WIDTH, LEFT, RIGHT = 640, 40, 600


def picture(row: Row) -> str | None:
    """The interval as a drawing: estimate, both ends, 0 and the margin; None where nothing finite was estimated."""
    numbers = [row[key] for key in ("ci_low", "estimate", "ci_high", "margin")]
    if any(value is None or not math.isfinite(value) for value in numbers):
        return None
    low, middle, high, margin = map(float, numbers)
    ends = min(low, -margin, 0.0), max(high, margin, 0.0)
    pad = 0.05 * (ends[1] - ends[0])

    def x(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - ends[0] + pad) / (ends[1] - ends[0] + 2 * pad), 1)

    def text(value: float, y: int, words: str) -> str:
        return f'<text x="{x(value)}" y="{y}" text-anchor="middle">{words}</text>'

    name = NAMES[row["measure"]]
    unit = MEASURES[name].unit
    return "\n".join(_drawn(x, text, (low, middle, high, margin), lambda value: shown(name, value), unit))


def _drawn(x: Any, text: Any, numbers: tuple[float, float, float, float], label: Any, unit: str) -> Iterator[str]:
    low, middle, high, margin = numbers
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 130" role="img" width="100%" '
        f'style="max-width:{WIDTH}px;background:#fff;font:13px sans-serif">'
    )
    yield f"<title>{label(middle)}, interval {label(low)} to {label(high)} {unit}</title>"
    yield f'<rect x="{x(-margin)}" y="25" width="{round(x(margin) - x(-margin), 1)}" height="60" fill="#e8e8e8"/>'
    yield f'<line x1="{x(0)}" x2="{x(0)}" y1="20" y2="90" stroke="#555" stroke-dasharray="4 3"/>'
    yield f'<line x1="{x(low)}" x2="{x(high)}" y1="55" y2="55" stroke="#1f5fa8" stroke-width="3"/>'
    yield f'<circle cx="{x(middle)}" cy="55" r="6" fill="#1f5fa8"/>'
    yield text(middle, 42, label(middle)) + text(low, 74, label(low)) + text(high, 74, label(high)) + text(0, 104, "0")
    yield (
        f'<text x="{LEFT}" y="124" fill="#555">dot: estimate; line: its interval; grey: ± the margin {label(margin).lstrip("+")}'
        f"{' ' + unit if unit else ''}; right of 0 favours the claim</text>"
    )
    yield "</svg>"
