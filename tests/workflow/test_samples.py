"""One job samples all benchmarks of a run; each has a table of its own, which is made when it must be and kept otherwise."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import dry
import pyarrow as pa
import pytest
from dry import run_mini
from test_truth import digests, study_asked_for

from asymgrpo.study import settings
from evals import grade
from evals.checkpoints import SCHEMA
from evals.io import DataError, read_metadata, read_table, write_table
from evals.sampled import SOURCE, Folder, is_of, require_listed
from workflow.ready import forget_samples
from workflow.stale import Stale


class Named(NamedTuple):
    """A rule of Snakemake: it has a name and can be in a set."""

    name: str


ASKED = {"settings": {"of": "samples", "n_samples": 4}, "problems_sha256": "p", "weights_sha256": {"1": {"a": "b"}}}


@pytest.fixture
def folder(tmp_path):
    """Of a run whose samples of one benchmark are there."""
    run = tmp_path / "run"
    (run / "candidates").mkdir(parents=True)
    (run / "done.json").write_text('{"sha256": "a"}')
    (run / "selection.json").write_text("[]")
    made = Folder(tmp_path / "samples" / "sampled.json", run / "candidates", run / "selection.json")
    assert made.missing({"one": ASKED}) == ["one"]
    write_table(SCHEMA.empty_table(), made.table("one"), {"git_commit": "1f"} | ASKED)
    return made


def again(folder: Folder, run: Path) -> Folder:
    """The same folder, as the next job finds it."""
    return Folder(folder.listed, run / "candidates", run / "selection.json")


def test_a_table_is_kept_if_it_states_what_is_asked_for_and_only_then(folder):
    two = {"one": ASKED, "two": ASKED}
    assert folder.missing(two) == ["two"], "another benchmark costs only itself"
    table = folder.table("one")
    before = table.read_bytes(), table.stat().st_mtime_ns
    for change in ({"problems_sha256": "q"}, {"weights_sha256": {}}, {"settings": {"of": "samples", "n_samples": 8}}):
        assert folder.missing({"one": ASKED | change}) == ["one"], change
    assert is_of(table, ASKED), "whoever made it"
    assert (table.read_bytes(), table.stat().st_mtime_ns) == before
    table.write_bytes(before[0][:-9])
    assert folder.missing({"one": ASKED}) == ["one"], "cut short"


@pytest.mark.parametrize("name", ["done.json", "selection.json"])
def test_tables_of_another_training_or_selection_are_deleted(folder, tmp_path, name):
    """Although they state the same settings and weights: the tokenizer, say, may be another."""
    assert again(folder, tmp_path / "run").missing({"one": ASKED}) == []
    (tmp_path / "run" / name).write_text('{"sha256": "b"}')
    assert again(folder, tmp_path / "run").missing({"one": ASKED}) == ["one"]
    assert not folder.table("one").exists()


def test_tables_of_another_image_are_deleted(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("evals.sampled.container", lambda: "c")
    assert again(folder, tmp_path / "run").missing({"one": ASKED}) == ["one"]


def test_tables_of_an_earlier_version_are_judged_by_what_they_state(folder, tmp_path):
    folder.listed.with_name(SOURCE).unlink()
    assert again(folder, tmp_path / "run").missing({"one": ASKED, "two": ASKED}) == ["two"]


def test_a_table_that_is_not_the_listed_one_is_named(folder):
    folder.write_list({"of": "sampled"}, ["one"])
    require_listed(folder.listed, [folder.table("one")])
    write_table(SCHEMA.empty_table(), folder.table("one"), {"git_commit": "2e"} | ASKED)
    for table in (folder.table("one"), folder.table("two")):
        write_table(SCHEMA.empty_table(), table, {"git_commit": "2e"} | ASKED)
        with pytest.raises(DataError, match=rf"{table.name}: it has changed since .*sampled\.json.*delete it and run"):
            grade.main(samples=[table], problems=[], out=folder.table("graded"), listed=folder.listed)


def asked_of(results: Path, *changes: str, arm: str = "grpo") -> settings.Settings:
    return settings.sampled(settings.plan_of(study_asked_for(results, *changes)), "tiny", arm, 0)


def sampling(results: Path, asked: settings.Settings, out: Path) -> list[str]:
    """The command of the job, for problem tables of these results."""
    run = results / f"runs/tiny/{asked['arm']}/seed0"
    problems = [str(results / f"data/{name}.parquet") for name in asked["benchmarks"]]
    options = ["--settings", settings.dumps(asked), "--checkpoints", str(run / "candidates"), "--out", str(out)]
    return [
        sys.executable,
        "-m",
        "evals.sample",
        *options,
        "--selection",
        str(run / "selection.json"),
        "--problems",
        *problems,
    ]


@pytest.mark.slow
def test_a_killed_job_keeps_the_benchmarks_that_it_finished(results, tmp_path):
    """Its successor samples the rest, and says so; the table that was finished has its bytes and its date."""
    asked, out = asked_of(results, "evaluation={samples: {chain4: 600}}"), tmp_path / "samples" / "sampled.json"
    done = out.with_name("chain2.parquet")
    command = sampling(results, asked, out)
    with subprocess.Popen(command, cwd=dry.ROOT, stderr=subprocess.DEVNULL) as first:
        while not done.exists() and first.poll() is None:
            time.sleep(0.02)
        os.kill(first.pid, signal.SIGKILL)
    assert not out.with_name("chain4.parquet").exists(), "the job was killed too late for this test"
    assert not out.exists()
    before = done.read_bytes(), done.stat().st_mtime_ns
    second = subprocess.run(command, cwd=dry.ROOT, capture_output=True, text=True, check=True)
    assert "chain4" in second.stderr
    assert "chain2" not in second.stderr
    assert (done.read_bytes(), done.stat().st_mtime_ns) == before
    told = json.loads(out.read_text())
    assert told["settings"] == asked
    assert list(told["tables"]) == ["chain2", "chain4"]
    assert not list(out.parent.glob(".partial*"))


@pytest.mark.slow
def test_each_benchmark_has_one_problem_table(results, tmp_path):
    command = sampling(results, asked_of(results), tmp_path / "sampled.json")[:-1]
    done = subprocess.run(command, cwd=dry.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--problems: give one table of each of chain2, chain4; there is " in done.stderr
    assert "data/chain2.parquet of chain2\n" in done.stderr


@pytest.fixture
def study(results, tmp_path):
    """A copy of the finished study, which Snakemake knows nothing of."""
    return Path(shutil.copytree(results, tmp_path / "results"))


@pytest.mark.slow
def test_another_benchmark_or_number_of_samples_samples_that_benchmark_only(study):
    """By Snakemake: a dry run says which; nothing else is touched; taken back, it is made again as it was."""
    tables = {path: path.stat().st_mtime_ns for path in (study / "samples").rglob("*.parquet")}
    before = digests(study / "samples")

    def call(*words: str, changes: tuple[str, ...]) -> tuple[str, set[str]]:
        """What Snakemake said, and the benchmarks whose tables are new."""
        done = run_mini("graded", *words, results=study, changes=changes)
        now = {path: path.stat().st_mtime_ns for path in (study / "samples").rglob("*.parquet")}
        new = {path.stem for path, date in now.items() if tables.get(path) != date}
        tables.update(now)
        return done.stdout + done.stderr, new

    third = ("evaluation={benchmarks: [chain2, chain4, chain3]}",)
    text, new = call("-n", changes=third)
    assert "seed0/chain3.parquet is not there: chain3 is sampled when it is needed." in text
    assert dry.planned(text)["sample"] == 3
    assert not new
    assert call(changes=third)[1] == {"chain3"}
    assert {
        name: digest for name, digest in digests(study / "samples").items() if name in before and "json" not in name
    } == {name: digest for name, digest in before.items() if "json" not in name}
    more = (*third, "evaluation={samples: {chain2: 8}}")
    text, new = call("-n", changes=more)
    assert "chain2.parquet states other settings than the configuration: n_samples is 4, not 8" in text
    assert call(changes=more)[1] == {"chain2"}
    assert not dry.planned(call("-n", changes=more)[0])
    assert call(changes=())[1] == {"chain2"}
    assert {name: digest for name, digest in digests(study / "samples").items() if name in before} == before


@pytest.mark.slow
def test_a_deleted_table_is_sampled_again_and_a_forced_job_samples_all(study):
    folder = study / "samples/tiny/grpo/seed0"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    run_mini("-n", "samples", "--forcerun", "sample", results=study)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a dry run deletes nothing"
    (folder / "chain4.parquet").unlink()
    run_mini("samples", results=study)
    kept = {path.stem for path, date in before.items() if path.stat().st_mtime_ns == date}
    assert kept == {"chain2"}
    run_mini("samples", "--forcerun", str(folder / "sampled.json"), results=study)
    assert not [path for path, date in before.items() if path.stat().st_mtime_ns == date]


@pytest.mark.slow
def test_a_table_that_was_replaced_is_not_graded_and_sampled_again_once_deleted(study):
    """By Snakemake, which knows of the list alone."""
    table, graded = study / "samples/tiny/grpo/seed0/chain2.parquet", study / "graded/tiny/grpo/seed0.parquet"
    before = digests(study / "samples"), graded.read_bytes()
    rows = read_table(table)
    column = rows.column_names.index("response")
    other = rows.set_column(column, "response", pa.array(["\\boxed{1}"] * rows.num_rows))
    write_table(other, table, read_metadata(table))
    done = run_mini(str(graded), "--force", results=study, check=False)
    assert done.returncode != 0
    assert "chain2.parquet: it has changed since it was sampled" in done.stdout + done.stderr
    table.unlink()
    run_mini(str(graded), results=study)
    assert (digests(study / "samples"), graded.read_bytes()) == before


def test_what_was_forced_by_hand_is_known_from_what_states_other_settings(tmp_path):
    """Only the first deletes tables."""
    dag = SimpleNamespace(forcefiles={"by-hand"}, forcerules=set())
    stale = Stale(SimpleNamespace(remote_exec=False, dag=dag), say=lambda text: None)
    wrong = tmp_path / "sampled.json"
    wrong.write_text('{"settings": {}}')
    stale.check_sampled(str(wrong), {"of": "sampled", "benchmarks": {}})
    assert dag.forcefiles == {"by-hand", str(wrong)}
    rule = Named("sample")
    jobs = [SimpleNamespace(rule=rule, output=[name]) for name in (str(wrong), "by-hand")]
    assert stale.forced_by_hand(jobs) == jobs[1:]
    (tmp_path / "chain2.parquet").touch()
    forget_samples(stale.forced_by_hand(jobs[:1]))
    assert (tmp_path / "chain2.parquet").exists()
    dag.forcerules.add(rule)
    forget_samples(stale.forced_by_hand(jobs[:1]))
    assert not (tmp_path / "chain2.parquet").exists()
