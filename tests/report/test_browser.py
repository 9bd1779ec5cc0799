"""The page in a real browser: it loads without a network, and its filters, chart and keyboard work."""

from pathlib import Path

import pandas as pd
import pytest
from synthetic import ANALYSES, ARMS, SEEDS, STEPS

from asymgrpo.files import write_text
from evals.report.page import render
from evals.report.results import read_results

LIGHT, DARK = "light", "dark"


@pytest.fixture(scope="module")
def address(study, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_text(render(read_results(study), True, 200, 10**6), path)
    return path.as_uri()


class Opened:
    """A page with everything that it asked for and complained of."""

    def __init__(self, browser, address: str, width: int = 1200, scheme: str = LIGHT):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def samples(self) -> list[str]:
        """The line above each response."""
        return self.page.locator(".response > p").all_inner_texts()

    def matching(self) -> int:
        return int(self.page.inner_text("#sample-count").split(" of ")[0].replace(",", ""))


@pytest.fixture
def opened(browser, address):
    with Opened(browser, address) as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), [(1200, LIGHT), (1200, DARK), (390, LIGHT)])
def test_it_loads_alone_and_without_complaint(browser, address, width, scheme):
    with Opened(browser, address, width, scheme) as found:
        for section in ("run", "table1", "claims", "figures", "curves", "samples", "cost", "environment"):
            assert found.page.locator(f"#{section} h2").is_visible()
        found.page.locator("img").first.scroll_into_view_if_needed()
        assert found.page.evaluate("document.images[0].decode().then(() => document.images[0].naturalWidth)") > 500
        assert found.requests == [address]
        assert found.complaints == []
        assert found.page.evaluate("window.hacked") is None, "a response ran as a script"
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
        back = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, back.removeprefix("rgb(").removesuffix(")").split(",")))
        assert (brightness > 600) == (scheme == LIGHT)


def test_claims_are_seen_whole(opened):
    table = opened.page.locator("table.claims")
    hidden = "e => e.parentElement.scrollWidth - e.parentElement.clientWidth"
    assert table.evaluate(hidden) == 0, "columns are hidden behind the edge"
    last = table.locator("thead th").last
    assert last.inner_text() == "protocol"
    estimate, margin, seeds = (
        table.locator("tbody tr").first.locator("td.n").nth(at).bounding_box()["width"] for at in range(3)
    )
    assert estimate > margin > seeds


def test_every_control_has_a_name(opened):
    nameless = """() => [...document.querySelectorAll("select, input, button, summary, [role=region]")].filter(
        (e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label"))).length"""
    assert opened.page.evaluate(nameless) == 0
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"


@pytest.fixture(scope="module")
def readable(study) -> pd.DataFrame:
    """The samples that the page should have: the first two of the first ten problems."""
    frame = pd.concat(pd.read_parquet(path) for path in (study / "graded").rglob("*.parquet"))
    problems = frame.groupby("benchmark")["problem_id"].transform(lambda names: pd.factorize(names)[0])
    return frame[(problems < 10) & (frame["sample_id"] < 2)]


def test_filters_leave_what_matches(opened, readable):
    assert opened.matching() == len(readable)
    opened.page.select_option("#sample-controls [name=arm]", "asymgrpo")
    assert opened.matching() == (readable["arm"] == "asymgrpo").sum()
    assert all("AsymGRPO" in line for line in opened.samples())
    opened.page.select_option("#sample-controls [name=verdict]", "correct")
    opened.page.select_option("#sample-controls [name=benchmark]", "chain4")
    wanted = readable.query("arm == 'asymgrpo' and verdict == 'correct' and benchmark == 'chain4'")
    assert opened.matching() == len(wanted) > 0
    assert all(line.startswith("correct") for line in opened.samples())
    shown = opened.page.locator(".response pre").all_inner_texts()
    assert sorted(shown) == sorted(wanted["response"])


def test_text_is_searched_in_responses_as_they_are(opened, readable):
    opened.page.fill("#sample-controls [name=text]", "<B>7</b>")
    assert opened.matching() == readable["response"].str.contains("<b>7</b>").sum() > 0
    assert "</script><script>" in opened.page.locator(".response pre").first.inner_text()
    opened.page.fill("#sample-controls [name=text]", "nobody wrote this")
    assert opened.matching() == 0
    assert opened.count(".problem") == 0


def test_disagreeing_graders_are_found(opened, readable):
    opened.page.check("#sample-controls [name=disagree]")
    assert opened.matching() == (readable["correct"] != readable["second_correct"]).sum() > 0
    assert all("second grader disagrees" in line for line in opened.samples())


def test_more_samples_on_demand(opened, readable):
    first = len(opened.samples())
    assert first < len(readable)
    while opened.page.locator("#sample-more").is_visible():
        opened.page.click("#sample-more")
    assert len(opened.samples()) == len(readable)


def test_the_chart_shows_the_chosen_arms_and_runs(opened):
    assert opened.count("#chart .mean") == len(ARMS), "analyses are not chosen at first"
    assert opened.count("#chart .run") == len(ARMS) * len(SEEDS)
    opened.page.click("[data-arms=all]")
    assert opened.count("#chart .mean") == len(ARMS) + len(ANALYSES)
    opened.page.uncheck("#curve-controls [name=runs]")
    assert opened.count("#chart .run") == 0
    opened.page.click("[data-arms=none]")
    assert "choose an arm" in opened.page.inner_text("#chart")
    opened.page.check(f"#curve-controls [value={ARMS[1]}]")
    assert opened.count("#chart .mean") == 1
    opened.page.select_option("#curve-controls [name=metric]", "logp_change_correct")
    assert "log-probability per token" in opened.page.inner_text("#curve-about")
    assert opened.complaints == []


def test_values_are_read_off_with_the_keyboard(opened, study):
    opened.page.select_option("#curve-controls [name=window]", "1")
    opened.page.focus("#curve-cursor")
    assert opened.page.inner_text("#curve-step") == str(STEPS)
    opened.page.keyboard.press("ArrowLeft")
    assert opened.page.inner_text("#curve-step") == str(STEPS - 1)
    cells = opened.page.locator("#curve-values tbody tr").first.locator("td").all_inner_texts()
    paths = sorted((study / "runs/tiny" / ARMS[0]).glob("*/metrics.parquet"))
    values = [pd.read_parquet(path).set_index("step")["entropy"][STEPS - 1] for path in paths]
    assert [float(cell) for cell in cells] == pytest.approx(
        [len(SEEDS), sum(values) / len(values), min(values), max(values)], rel=1e-3
    )


def test_it_prints(opened, tmp_path):
    path = Path(tmp_path / "report.pdf")
    opened.page.pdf(path=path, format="A4")
    assert path.read_bytes().startswith(b"%PDF")
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("#sample-controls").is_visible()
    assert opened.page.locator("#table1 table").first.is_visible()
