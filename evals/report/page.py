"""The page: one HTML file with everything in it; a browser that opens it asks no server for anything."""

import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from evals.report import cost, curves, sections, texts
from evals.report.results import Results

TEMPLATES = Path(__file__).parent / "templates"


def render(results: Results, with_cost: bool, points: int, characters: int) -> str:
    """The page's HTML: the same results and options give the same bytes, seconds included as they were measured.

    Args:
        with_cost: show seconds; without them two equal studies give equal pages.
        points: longest curve. characters: of all responses together.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["include_raw"] = lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))
    environment.filters["json"] = json_in_html
    drawn, read = curves.curves(results, points), texts.texts(results, characters)
    return environment.get_template("page.html.j2").render(
        study=results.study,
        overview=sections.overview(results),
        conventions=sections.conventions(results),
        table_1=sections.table_1(results),
        analyses=sections.analyses(results),
        differences=sections.differences(results),
        contamination=sections.contamination(results),
        claims=sections.claims(results),
        figures=sections.figures(results),
        curves=drawn,
        texts=read,
        cost=cost.cost(results) if with_cost else None,
        environment=sections.environment(results),
        configuration=sections.configuration(results),
    )


def json_in_html(value: Any) -> Markup:
    """JSON that may stand within a <script>: whatever a model wrote cannot end the element.

    >>> json_in_html({"a": "</script>"})
    Markup('{"a":"\\\\u003c/script>"}')
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
