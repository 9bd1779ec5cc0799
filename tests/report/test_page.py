"""The page says what the results say, needs nothing but itself, and is the same bytes for the same results."""

import json
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import ANALYSES, ARMS, HOSTILE, SEEDS

from asymgrpo.files import write_table
from asymgrpo.method.arms import ARMS as ARM_TABLE
from evals.artifacts.bundle import make
from evals.artifacts.bundle_files import open_bundle
from evals.figures.table import FIGURES
from evals.io import read_table
from evals.names import percent, title
from evals.report.curves import rounded, thinned
from evals.report.page import render
from evals.report.results import read_results
from evals.report.texts import within

ROOT = Path(__file__).parents[2]
FETCHING = ("src", "href", "action", "data", "poster", "srcset")


class Page(HTMLParser):
    """The page's data, addresses, visible words and first column of each table row."""

    def __init__(self, html: str):
        super().__init__()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.data: dict[str, dict] = {}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in FETCHING]
        self._inside = found.get("id") or "script" if tag == "script" else "style" if tag == "style" else ""

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, text):
        if self._inside.endswith("-data"):
            self.data[self._inside] = json.loads(text)
        elif not self._inside:
            self.words.append(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(results: Path, with_cost: bool = True) -> Page:
    return Page(render(read_results(results), with_cost, points=200, characters=10**6))


@pytest.fixture(scope="module")
def page(study) -> Page:
    return page_of(study)


@pytest.fixture
def copied(study, tmp_path) -> Path:
    return shutil.copytree(study, tmp_path / "elsewhere")


def test_it_refers_to_nothing_outside_of_itself(study, page):
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    html = render(read_results(study), True, 200, 10**6)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|importScripts", html)
    assert "default-src 'none'" in html, "the browser itself refuses what the page should not ask for"


def test_table_1_is_table_1(study, page):
    for row in read_table(study / "table1.parquet").to_pylist():
        assert percent(row["estimate"], row["ci_low"], row["ci_high"]) in page.text
        assert title(row["arm"]) in page.text


def test_every_arm_is_said_to_be_something(study, page):
    for arm in (*ARMS, *ANALYSES):
        told = json.loads((study / f"runs/tiny/{arm}/seed0/conventions.json").read_text())["arm"]
        assert told["about"] == "", "as a run writes it"
        assert f"{title(arm)} {ARM_TABLE[arm].about} " in page.text


def test_an_arm_that_nothing_is_known_of_has_a_dash(copied):
    for path in copied.glob("runs/tiny/asymgrpo/*/conventions.json"):
        told = json.loads(path.read_text())
        path.write_text(json.dumps(told | {"arm": told["arm"] | {"arm": "mine"}}))
    assert f"{title('asymgrpo')} – advantage: " in page_of(copied).text


def test_arms_of_the_analyses_have_their_scores_too(study, page):
    rows = [r for r in read_table(study / "analyses.parquet").to_pylist() if r["metric"] == "avg_at_n"]
    assert {row["arm"] for row in rows} == {"base", *ARMS, *ANALYSES}
    for row in rows:
        assert percent(row["estimate"], row["ci_low"], row["ci_high"]) in page.text


def test_claims_have_their_verdict_estimate_or_reason(page):
    assert "supported and relevant +2.9 [+1.1, +4.6] points 1.0 points 8" in page.text
    assert "not tested no such arm" in page.text


def test_the_test_is_said_once_and_beside_a_claim_that_has_another(page, copied):
    assert page.text.count("t test over seeds") == 1, "below the table"
    assert "Test: t test over seeds." in page.text
    claims = read_table(copied / "claims.parquet")
    rows = claims.to_pylist()
    rows = [*rows, rows[0] | {"id": "c", "test": "another test"}, rows[0] | {"id": "d"}]
    write_table(pa.Table.from_pylist(rows, claims.schema), copied / "claims.parquet", {})
    text = page_of(copied).text
    assert "Test, unless a claim says another: t test over seeds." in text
    assert text.count("AsymGRPO beats GRPO (as we read it) another test supported") == 1


def test_a_figure_has_its_heading_for_a_title(study, page):
    (name,) = (path.stem for path in (study / "figures").glob("*.png"))
    assert f"{FIGURES[name].heading}. " in page.text


def test_each_run_has_a_curve_of_what_was_measured(study, page):
    data = page.data["curve-data"]
    assert [arm["name"] for arm in data["arms"]] == [*ARMS, *ANALYSES]
    assert [arm["main"] for arm in data["arms"]] == [True, True, False]
    assert data["constant"] == ["timeout_share"]
    curves = {(row[0], row[1], row[3]): (data["steps"][row[4]], row[5]) for row in data["series"]}
    for arm, seeds in {**dict.fromkeys(ARMS, SEEDS), **dict.fromkeys(ANALYSES, (0,))}.items():
        for seed in seeds:
            metrics = pd.read_parquet(study / "runs" / "tiny" / arm / f"seed{seed}" / "metrics.parquet")
            for name in ("entropy", "logp_change_correct"):
                steps, values = curves[name, arm, seed]
                measured = metrics[["step", name]].dropna()
                assert steps == measured["step"].tolist()
                np.testing.assert_allclose(values, measured[name], rtol=1e-3)
            assert curves["accuracy: validation", arm, seed] == ([30, 60], [0.3, 0.6])


def test_samples_are_the_graded_ones_unbroken(study, page):
    data = page.data["sample-data"]
    rows = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
    rows = [row | {name: values[row[name]] for name, values in data["levels"].items()} for row in rows]
    graded = pd.concat(pd.read_parquet(path) for path in (study / "graded").rglob("*.parquet"))
    keys = ["model", "arm", "train_seed", "step", "benchmark", "problem_id", "sample_id"]
    joined = pd.DataFrame(rows).merge(graded, on=keys, suffixes=("", "_graded"), validate="one_to_one")
    assert len(joined) == len(rows) == 6 * 2 * 10 * 2, "runs and the base model x benchmarks x problems x samples"
    assert (joined["response"] == joined["response_graded"]).all()
    assert (joined["verdict"] == joined["verdict_graded"]).all()
    assert HOSTILE in set(joined["response"])
    assert all(data["problems"][row["problem_id"]]["answer"] for row in rows)


def test_hours_are_added_up_by_arm(page):
    assert re.search(r"GRPO 2 0\.2 0 0 0\.2 0\.1 0\.1 0 0\.734", page.text), "two runs of 360 s, half of it on the CPU"
    assert re.search(r"\ball 5 0\.5 0 0 0\.5", page.text)


def test_same_results_same_bytes_wherever_they_lie(study, copied):
    one, other = (render(read_results(path), True, 200, 10**6) for path in (study, copied))
    assert one == other
    assert str(study) not in one.replace(json.dumps(str(study))[1:-1], "", 1), "no path but the configured one"


def test_a_bundle_of_the_study_gives_the_same_page(study, tmp_path):
    """Texts, verdicts and seconds come from the bundle; tables and figures are made again beside it, here copied."""
    bundle = tmp_path / "study.zip"
    make(study, bundle)
    unpacked = tmp_path / "unpacked"
    open_bundle(bundle).unpack(unpacked)
    assert not (unpacked / "benchmarks").exists()
    for path in [*study.glob("*.parquet"), *study.glob("figures/*")]:
        (unpacked / path.relative_to(study)).parent.mkdir(exist_ok=True)
        shutil.copy(path, unpacked / path.relative_to(study))
    one, other = (render(read_results(path), True, 200, 10**6) for path in (study, unpacked))
    assert one == other


def test_without_cost_seconds_leave_no_trace(study, copied):
    for path in copied.rglob("timings.parquet"):
        slower = read_table(path)
        column = slower.column_names.index("rollout")
        slower = slower.set_column(column, "rollout", pa.array(np.array(slower["rollout"]) * 3))
        write_table(slower, path, {"machine": {"cores": 2}})
    for path in copied.rglob("*.tsv"):
        path.write_text(path.read_text().replace("360.0", "720.0"))
    with_cost, without = ([render(read_results(f), c, 200, 10**6) for f in (study, copied)] for c in (True, False))
    assert with_cost[0] != with_cost[1]
    assert without[0] == without[1]


def test_what_is_not_there_is_said(copied):
    (copied / "runs/tiny/grpo/seed1/done.json").unlink()
    for name in ("table1.parquet", "claims.parquet"):
        (copied / name).unlink()
    for name in ("figures", "graded", "benchmarks"):
        shutil.rmtree(copied / name)
    text = page_of(copied).text
    for sentence in (
        "4 finished of 5 planned",
        "Table 1 is not made yet",
        "no claims.parquet",
        "No figure is drawn yet",
        "no graded samples",
    ):
        assert sentence in text


@pytest.mark.parametrize(("spoil", "sentence"), [("config", "no study's results"), ("runs", "no finished run yet")])
def test_a_folder_without_a_study_is_refused_in_a_sentence(copied, tmp_path, spoil, sentence):
    shutil.rmtree(copied / spoil)
    command = [sys.executable, "-m", "evals.report", "--results", copied, "--out", tmp_path / "r.html"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert not (tmp_path / "r.html").exists()


def test_neither_torch_nor_transformers_is_needed(study, tmp_path):
    blocked = "import sys, runpy; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'deepspeed')));"
    code = f"{blocked} sys.argv = ['report', '--results', {str(study)!r}, '--out', {str(tmp_path / 'r.html')!r}];"
    code += "runpy.run_module('evals.report', run_name='__main__')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert (tmp_path / "r.html").stat().st_size > 10_000


@settings(max_examples=30)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(2, 40))
def test_thinning_keeps_length_in_bounds_and_the_mean(values, points):
    steps, kept = thinned(np.arange(1.0, len(values) + 1), np.array(values), points)
    assert len(steps) == len(kept) <= points
    assert steps == sorted(set(steps))
    width = -(-len(values) // points)
    sizes = [min(width, len(values) - i) for i in range(0, len(values), width)]
    assert np.average(kept, weights=sizes) == pytest.approx(np.mean(values), abs=1e-6)


@settings(max_examples=30)
@given(st.floats(-1e300, 1e300))
def test_rounding_is_to_four_digits(value):
    assert rounded(value) == pytest.approx(value, rel=5.1e-4)
    assert len(Decimal(json.dumps(rounded(value))).normalize().as_tuple().digits) <= 4


@settings(max_examples=30)
@given(st.integers(0, 400), st.integers(1, 3), st.integers(1, 6))
def test_every_arm_keeps_the_same_problems_within_the_budget(budget, seeds, problems):
    frame = pd.DataFrame(
        {
            "model": "m",
            "arm": arm,
            "train_seed": s,
            "step": 1,
            "benchmark": b,
            "problem_id": f"{b}{p}",
            "response": "x" * 7,
        }
        for arm in "ab"
        for s in range(seeds)
        for b in "uv"
        for p in range(problems)
    )
    kept = within(frame, budget)
    assert len(kept) * 7 <= max(budget, 4 * 7), "at least one problem of each benchmark and arm is shown"
    for keys in ("problem_id", "train_seed"):
        assert kept[kept["arm"] == "a"][keys].tolist() == kept[kept["arm"] == "b"][keys].tolist()
