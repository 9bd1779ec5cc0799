"""Counts of a study: the same numbers as the samples they are of, in any number of files, and never of other settings."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evals.tables.compare
import evals.tables.counts
import evals.tables.run_scores
import evals.tables.score
from asymgrpo.content import data_hash
from asymgrpo.study import agreement, settings
from asymgrpo.study.outcome import Diverged, stated
from evals import asked
from evals.cli import listed, understood
from evals.estimates.cells import CELL, GRADED, cells_of
from evals.io import DataError, check_table, read_metadata, read_table, write_json, write_table
from evals.tables.counts import SCHEMA, counts_table
from evals.tables.options import SeedVarianceRule

RULES = ("last", "validation")
BENCHMARKS = ("b1", "b2")
MAIN, ANALYSES = ("base", "grpo", "dr_grpo"), ("positive_only",)
SEEDS = (0, 1)
DIVERGED = ("dr_grpo", 1)
K = [1, 2, 4]
BOOTSTRAP = {"seed_variance": SeedVarianceRule.own, "draws": 300, "seed": 5}


def samples(arm: str, seed: int, rng: np.random.Generator, n: int = 4) -> pa.Table:
    """Graded samples of one run at two checkpoints, in any order."""
    steps = (0,) if arm == "base" else (5, 10)
    places = [(s, b, p, i) for s in steps for b in BENCHMARKS for p in range(6) for i in range(n)]
    verdicts = [("correct", "wrong", "truncated", "unparsed")[k] for k in rng.integers(4, size=len(places))]
    rows = [
        {
            **{"model": "m", "arm": arm, "train_seed": seed, "step": step, "benchmark": name, "problem_id": f"p{p}"},
            **{"sample_id": i, "verdict": verdict, "correct": verdict == "correct", "extracted": str(p)},
            "second_correct": bool(rng.integers(2)) and verdict != "truncated",
            "n_tokens": 3 + i,
        }
        for (step, name, p, i), verdict in zip(places, verdicts, strict=True)
    ]
    return pa.Table.from_pylist(rows, GRADED).take(rng.permutation(len(rows)))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Graded tables and selections of all runs; one run diverged."""
    home, rng = tmp_path_factory.mktemp("counted"), np.random.default_rng(3)
    for arm in (*MAIN, *ANALYSES):
        for seed in (0,) if arm == "base" else SEEDS:
            run, at = {"model": "m", "arm": arm, "train_seed": seed}, home / f"{arm}/seed{seed}"
            ended = Diverged(7, "the loss is nan") if (arm, seed) == DIVERGED else None
            table = samples(arm, seed, rng)
            write_table(table.slice(0, 0) if ended else table, at.with_suffix(".parquet"), run | stated(ended))
            chosen = {"step": None, **stated(ended)} if ended else {}
            rows = [run | {"selection": rule, "step": 5 * (i + 1)} | chosen for i, rule in enumerate(RULES)]
            if arm != "base":
                write_json(rows, at.with_suffix(".json"))
    return home


def files(study: Path, arms: tuple[str, ...], ending: str) -> list[Path]:
    return [path for arm in arms for path in sorted((study / arm).glob(f"*.{ending}"))]


@pytest.fixture(scope="module")
def counted(study: Path) -> dict[str, Path]:
    """Part -> its counts, as the workflow makes them."""
    found = {}
    for part, arms in {"main": MAIN, "analyses": ANALYSES}.items():
        found[part] = study / f"counts/{part}.parquet"
        evals.tables.counts.main(files(study, arms, "parquet"), files(study, arms, "json"), found[part])
    return found


def made(out: Path, module, **options) -> str:
    module.main(out=out, **options)
    table = read_table(out)
    assert read_metadata(out)["data_hash"] == data_hash(table)
    return data_hash(table)


@pytest.mark.parametrize("parts", [("main",), ("main", "analyses")])
def test_tables_of_counts_are_those_of_the_samples(study, counted, parts, tmp_path):
    arms = MAIN + ANALYSES if "analyses" in parts else MAIN
    samples_of = {"graded": files(study, arms, "parquet"), "selection": files(study, arms, "json")}
    for module, options in (
        (evals.tables.score, BOOTSTRAP),
        (evals.tables.compare, BOOTSTRAP),
        (evals.tables.run_scores, {}),
    ):
        of_counts = made(tmp_path / "a.parquet", module, counts=[counted[part] for part in parts], k=K, **options)
        assert of_counts == made(tmp_path / "b.parquet", module, k=K, **samples_of, **options), module.__name__
        inputs = read_metadata(tmp_path / "a.parquet")["inputs"]
        assert {name: inputs[name]["data_hash"] for name in inputs} == {
            f"{part}.parquet": read_metadata(counted[part])["data_hash"] for part in parts
        }
        assert "inputs" not in json.dumps([*inputs.values()]), "a table's metadata do not grow with the study"


def test_counts_are_what_counting_by_hand_gives(study, counted):
    table = read_table(counted["main"])
    check_table(table, counted["main"], SCHEMA, nullable=SCHEMA.names)
    rows = {tuple(row[key] for key in ("selection", *CELL)): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    chosen = {"last": 5, "validation": 10}
    for arm in MAIN:
        for path in files(study, (arm,), "parquet"):
            found = read_table(path).to_pylist()
            for rule in RULES:
                mine = [row for row in found if arm == "base" or row["step"] == chosen[rule]]
                verdicts = Counter((tuple(row[key] for key in CELL), row["verdict"]) for row in mine)
                for cell in {cell for cell, _ in verdicts}:
                    row = rows[(None if arm == "base" else rule, *cell)]
                    told = {name: row[name] for name in ("correct", "truncated", "unparsed", "timeout")}
                    assert told == {name: verdicts[cell, name] for name in told}
                    samples = [row for row in mine if tuple(row[key] for key in CELL) == cell]
                    assert (row["n"], row["tokens"]) == (4, sum(one["n_tokens"] for one in samples))
                    assert row["second_correct"] == sum(one["second_correct"] for one in samples)
    assert {rule: rows[rule, "m", *DIVERGED, None, None, None]["diverged_at"] for rule in RULES} == dict.fromkeys(
        RULES, 7
    )
    assert sum(row["n"] or 0 for row in rows.values()) == 4 * 6 * 2 * (1 + 3 * 2), "nothing of another checkpoint"


@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_counts_do_not_depend_on_the_order_of_samples(random, n):
    rng = np.random.default_rng(random.randrange(2**32))
    table = samples("grpo", 0, rng, n)
    again = table.take(rng.permutation(table.num_rows))
    order = [(name, "ascending") for name in CELL]
    assert cells_of(table).sort_by(order).equals(cells_of(again).sort_by(order))
    assert cells_of(table)["n"].to_pylist() == [n] * (2 * 2 * 6)


def test_samples_of_a_run_in_several_files_are_counted_together_and_never_twice(study, tmp_path):
    whole = read_table(study / "grpo/seed0.parquet")
    pick = np.array(whole["sample_id"].to_pylist()) < 2
    parts = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for path, rows in zip(parts, (whole.filter(pick), whole.filter(~pick)), strict=True):
        write_table(rows, path, {})
    base, chosen = study / "base/seed0.parquet", [study / "grpo/seed0.json"]
    order = [(name, "ascending") for name in ("selection", *CELL)]
    one = counts_table([base, study / "grpo/seed0.parquet"], chosen).sort_by(order)
    assert counts_table([base, *parts], chosen).sort_by(order).equals(one)
    for twice in ([base, parts[0], *parts], [base, base]):
        with pytest.raises(DataError, match="the same sample twice"):
            counts_table(twice, chosen)


def test_what_cannot_be_told_from_counts_is_refused(study, counted, tmp_path):
    both = {"counts": [counted["main"]], "graded": files(study, MAIN, "parquet")}
    for given_files in (both, {}):
        with pytest.raises(DataError, match="give either --counts, or --graded with --selection"):
            evals.tables.run_scores.main(k=[1], out=tmp_path / "x.parquet", **given_files)
    with pytest.raises(DataError, match="--maj-k needs samples"):
        evals.tables.score.main(counts=[counted["main"]], k=[1], maj_k=[2], out=tmp_path / "x.parquet", **BOOTSTRAP)
    write_table(read_table(counted["main"]), tmp_path / "again.parquet", {})
    with pytest.raises(DataError, match="the same run is in them twice"):
        evals.tables.run_scores.main(
            counts=[counted["main"], tmp_path / "again.parquet"], k=[1], out=tmp_path / "x.parquet"
        )
    write_table(read_table(counted["main"]).drop_columns(["truncated"]), tmp_path / "other.parquet", {})
    with pytest.raises(DataError, match=r"other.parquet: column\(s\) truncated missing"):
        evals.tables.run_scores.main(counts=[tmp_path / "other.parquet"], k=[1], out=tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


VERSION = "verifier_version"


def test_verdicts_of_two_versions_of_the_verifier_are_refused_by_file(study, tmp_path):
    home = tmp_path / "of"
    for arm, version in {"base": "2", "grpo": "2", "dr_grpo": "1"}.items():
        for path in files(study, (arm,), "parquet"):
            write_table(read_table(path), home / arm / path.name, {**read_metadata(path), VERSION: version})
    graded = files(home, MAIN, "parquet")
    given_files = {"graded": graded, "selection": files(study, MAIN, "json")}
    words = r"verifier \(1: dr_grpo/seed0.parquet, .*; 2: base/seed0.parquet, .*forcerun grade"
    for module, more in (
        (evals.tables.counts, {}),
        (evals.tables.run_scores, {"k": [1]}),
        (evals.tables.score, {"k": [1], **BOOTSTRAP}),
        (evals.tables.score, {"k": [1], "maj_k": [1], **BOOTSTRAP}),
    ):
        with pytest.raises(DataError, match=words):
            module.main(out=tmp_path / "x.parquet", **given_files, **more)
    assert not (tmp_path / "x.parquet").exists()
    parts = {"one": MAIN[:2], "two": MAIN[2:]}
    for name, arms in parts.items():
        chosen = files(study, arms, "json")
        evals.tables.counts.main(files(home, arms, "parquet"), chosen, tmp_path / f"{name}.parquet")
    words = r"verifier \(1: seed0.parquet of two.parquet, .*; 2: base/seed0.parquet of one.parquet, .*forcerun grade"
    with pytest.raises(DataError, match=words):
        evals.tables.run_scores.main(
            counts=[tmp_path / f"{name}.parquet" for name in parts], k=[1], out=tmp_path / "x.parquet"
        )


# --- settings -------------------------------------------------------------------------------------------------------------


def plan(named=(*MAIN, *ANALYSES), **changes) -> settings.Plan:
    """A plan as a configuration gives it, short."""
    trained = [arm for arm in named if arm != "base"]
    return {
        "models": {"m": {"base": {"of": "base model", "kind": "x"}, "template": "plain"}},
        "arms": {arm: {"name": arm, "clip_high": 0.2} for arm in trained},
        "seeds": {arm: [*SEEDS] for arm in trained},
        "problems": {name: {"of": "problems", "dataset": name} for name in ("train", "validation", *BENCHMARKS)},
        "n_samples": dict.fromkeys(BENCHMARKS, 4),
        "selection": [*RULES],
    } | changes


@pytest.fixture
def asking():
    """A function that asks for settings from now on; afterwards nothing is asked for."""
    yield asked.ask
    asked.ask(None)


def test_counts_state_their_settings_and_others_are_refused_by_name(study, asking, tmp_path):
    out = tmp_path / "main.parquet"
    part = settings.part(plan(), ["m"], MAIN, BENCHMARKS)
    asking(settings.counts(part))
    evals.tables.counts.main(files(study, MAIN, "parquet"), files(study, MAIN, "json"), out)
    assert agreement.stated(out) == settings.counts(part)
    asking(settings.table(plan(), k=K))
    evals.tables.run_scores.main(counts=[out], k=K, out=tmp_path / "all.parquet")  # of a part, for a table of all arms
    one, both = {"b1": 4}, {"b1": 4, "b2": 9}
    other = plan()["arms"] | {"grpo": {"name": "grpo", "clip_high": 0.3}}
    for changed, words in (
        (plan(arms=other), r"main.parquet was made with other settings .*plan.arms.grpo.clip_high is 0.2, not 0.3"),
        (plan(n_samples=both), r"main.parquet .*plan.n_samples.b2 is 4, not 9"),
        (
            plan(n_samples=one, problems={k: v for k, v in plan()["problems"].items() if k != "b2"}),
            "main.parquet is of 'b2'",
        ),
        (plan(selection=["last"]), r"main.parquet .*plan.selection is \[.last., .validation.\], not"),
        (plan(seeds=plan()["seeds"] | {"grpo": [0]}), r"main.parquet .*plan.seeds.grpo is \[0, 1\], not \[0\]"),
        (plan((*MAIN[:2], *ANALYSES)), "main.parquet is of 'dr_grpo', which the configuration does not name"),
    ):
        asking(settings.table(changed, k=K))
        with pytest.raises(DataError, match=words):
            evals.tables.run_scores.main(counts=[out], k=K, out=tmp_path / "other.parquet")
    assert not (tmp_path / "other.parquet").exists()


# --- lists in files --------------------------------------------------------------------------------------------------------


def test_a_list_in_a_file_stands_for_its_lines(study, tmp_path, asking):
    paths = [f"{tmp_path}/a b.parquet", "-x"]
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in paths))
    assert [*listed(["--graded", f"@{tmp_path}/list.txt", "--out", "o"])] == ["--graded", *paths, "--out", "o"]
    assert understood([f"--x=@{tmp_path}"]) == [f"--x=@{tmp_path}"], "only a whole argument is a list"
    (tmp_path / "empty.txt").write_text("\n")
    for name, words in (("none.txt", "no such file"), ("empty.txt", "lists no files; write one path on each line")):
        with pytest.raises(DataError, match=rf"{name}: {words}"):
            understood(["--graded", f"@{tmp_path / name}"])


@pytest.mark.parametrize(
    "module",
    [
        "evals.tables.score",
        "evals.tables.counts",
        "evals.tables.run_scores",
        "evals.tables.table1",
        "evals.tables.compare",
        "evals.select",
    ],
)
def test_tables_and_selection_start_without_pandas_and_scipy(module):
    code = f"import sys, {module}; print([name for name in ('pandas', 'scipy', 'torch', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def peak_kb(module: str, *arguments: str) -> int:
    """Most memory that a command had at once. Not of getrusage, which knows the largest of all children since pytest began."""
    code = f"""
import runpy, sys
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
finally:
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize(
    ("arms", "runs"), [(2, 100), pytest.param(20, 3000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_any_number_of_runs_is_counted_and_scored(arms, runs, tmp_path):
    """The names of 3,000 graded files are longer than an argument may be."""
    rng, per_arm, graded, chosen = np.random.default_rng(0), runs // arms, [], []
    for arm, seed in [("base", 0), *((f"arm{i % arms}", i // arms) for i in range(runs))]:
        at = tmp_path / f"{arm}/seed{seed}"
        write_table(samples(arm, seed, rng), at.with_suffix(".parquet"), {})
        graded.append(f"{at}.parquet")
        if arm != "base":
            run = {"model": "m", "arm": arm, "train_seed": seed, "step": 5}
            write_json([run | {"selection": rule} for rule in RULES], at.with_suffix(".json"))
            chosen.append(f"{at}.json")
    for name, paths in (("graded", graded), ("selection", chosen)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{path}\n" for path in paths))
    bootstrap = ["--k", "1", "4", "--draws", "1000", "--seed", "0", "--seed-variance", "own"]
    counts, scores = tmp_path / "counts.parquet", tmp_path / "scores.parquet"
    for command in (
        ["counts", "--graded", f"@{tmp_path}/graded.txt", "--selection", f"@{tmp_path}/selection.txt", "--out", counts],
        ["score", "--counts", counts, *bootstrap, "--out", scores],
    ):
        assert peak_kb(f"evals.tables.{command[0]}", *map(str, command[1:])) < 1_000_000
    table = read_table(counts)
    assert table.num_rows == 12 * (1 + 2 * runs)
    assert {row["n_seeds"] for row in read_table(scores).to_pylist() if row["arm"] != "base"} == {per_arm}
