"""A problem of several benchmarks is named and counts once in averages, also where its text may not be passed on."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evals.tables.compare
import evals.tables.contamination
import evals.tables.counts
import evals.tables.run_scores
import evals.tables.score
from asymgrpo.tasks.table import write_problems
from evals.artifacts import bundle
from evals.artifacts.reading import for_reading
from evals.artifacts.withheld import WITHHELD, without_texts
from evals.estimates.cells import GRADED
from evals.io import read_metadata, read_table, write_json, write_table
from evals.tables.options import SeedVarianceRule
from evals.tables.shared import counted_elsewhere, keys_of

RIGHT = {"aime26": [4, 0, 2], "math500": [1, 4, 3], "brumo25": [2, 2, 0]}
"""Correct samples of 4, by problem. The first of math500 is the last of aime26; both of brumo25 but the last are in aime26."""
SAME = {("math500", 0): ("aime26", 2), ("brumo25", 0): ("aime26", 0), ("brumo25", 1): ("aime26", 1)}
ONCE = np.mean([np.mean([4, 0, 2]), np.mean([4, 3]), np.mean([0])]) / 4
TWICE = np.mean([np.mean(right) for right in RIGHT.values()]) / 4
BOOTSTRAP = {"seed_variance": SeedVarianceRule.own, "draws": 100, "seed": 5}


def text(benchmark: str, i: int) -> str:
    first, j = SAME.get((benchmark, i), (benchmark, i))
    told = f"Find $x$ if {first} has the number {j} and x is what follows it in that list."
    return told if first == benchmark else told.upper().replace("$", "") + " [asy] draw(); [/asy]"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Problem tables of three benchmarks, and graded samples of two arms."""
    home = tmp_path_factory.mktemp("shared")
    for name in RIGHT:
        rows = [{"problem_id": f"{name}/{i}", "problem": text(name, i), "answer": "secret 7"} for i in range(3)]
        patched = [{"problem_id": f"{name}/0", "before": "secret 6", "after": "secret 7", "why": "a slip"}]
        rows = [row | {"level": None, "source": "here"} for row in rows]
        write_problems(home / f"data/{name}.parquet", rows, {"dataset": name, "patched": patched})
    train = [{"problem_id": "t", "problem": text("aime26", 0), "answer": "7", "level": None, "source": "here"}]
    write_problems(home / "data/train.parquet", train, {"dataset": "math_train", "patched": []})
    for arm in ("grpo", "asymgrpo"):
        run = {"model": "m", "arm": arm, "train_seed": 0, "step": 5}
        rows = [
            run
            | {"benchmark": name, "problem_id": f"{name}/{i}", "sample_id": s, "correct": s < right}
            | {"second_correct": s < right, "verdict": "correct" if s < right else "wrong", "extracted": "7"}
            | {"n_tokens": 3}
            for name, numbers in RIGHT.items()
            for i, right in enumerate(numbers)
            for s in range(4)
        ]
        write_table(pa.Table.from_pylist(rows, GRADED), home / f"graded/m/{arm}/seed0.parquet", run)
        write_json([run | {"selection": "last"}], home / f"runs/m/{arm}/seed0/selection.json")
    return home


def problems(home: Path) -> list[Path]:
    return [home / f"data/{name}.parquet" for name in RIGHT]


def given(home: Path) -> dict[str, list[Path]]:
    return {"graded": sorted(home.glob("graded/*/*/*.parquet")), "selection": sorted(home.glob("runs/*/*/*/*.json"))}


def counts(home: Path, out: Path, tables: list[Path]) -> Path:
    evals.tables.counts.main(**given(home), out=out, problems=tables)
    return out


def averages(path: Path) -> dict[str, float]:
    column = "estimate" if "estimate" in read_table(path).column_names else "value"
    rows = read_table(path).to_pylist()
    return {row["benchmark"]: row[column] for row in rows if row["arm"] == "grpo" and row["metric"] == "avg_at_n"}


def test_every_average_counts_a_shared_problem_once_and_its_columns_stay(study, tmp_path):
    assert abs(ONCE - TWICE) > 0.01
    for name, tables, average in (("once", problems(study), ONCE), ("twice", [], TWICE)):
        made = counts(study, tmp_path / f"{name}.parquet", tables)
        evals.tables.score.main(counts=[made], k=[1], out=tmp_path / f"{name}-s.parquet", **BOOTSTRAP)
        evals.tables.run_scores.main(counts=[made], k=[1], out=tmp_path / f"{name}-r.parquet")
        for kind in "sr":
            found = averages(tmp_path / f"{name}-{kind}.parquet")
            own = {benchmark: np.mean(right) / 4 for benchmark, right in RIGHT.items()}
            assert found == pytest.approx(own | {"average": average})


def test_from_graded_tables_the_numbers_are_the_same(study, tmp_path):
    made = counts(study, tmp_path / "counts.parquet", problems(study))
    evals.tables.score.main(counts=[made], k=[1], out=tmp_path / "c.parquet", **BOOTSTRAP)
    for name, votes in (("g", None), ("v", [3])):
        options = {"k": [1], "maj_k": votes, "out": tmp_path / f"{name}.parquet", "problems": problems(study)}
        evals.tables.score.main(**given(study), **options, **BOOTSTRAP)
        assert averages(tmp_path / f"{name}.parquet") == averages(tmp_path / "c.parquet")
    evals.tables.compare.main(study, out=tmp_path / "d.parquet", **BOOTSTRAP)
    sizes = {row["benchmark"]: row["n_problems"] for row in read_table(tmp_path / "d.parquet").to_pylist()}
    assert sizes == {"aime26": 3, "brumo25": 3, "math500": 3, "average": 3 + 2 + 1}


def test_counts_of_benchmarks_that_share_nothing_are_as_they_were(study, tmp_path):
    apart = [study / "data/aime26.parquet"]
    with_them, without = (counts(study, tmp_path / f"{i}.parquet", tables) for i, tables in enumerate((apart, [])))
    assert with_them.read_bytes() == without.read_bytes()


def withheld(home: Path, out: Path) -> list[Path]:
    """The problem tables as a bundle has them."""
    for path in problems(home):
        small = without_texts(read_table(path))
        write_table(small, out / path.name, json.loads(small.schema.metadata[b"asymgrpo"]))
    return [out / path.name for path in problems(home)]


def test_texts_that_may_not_be_passed_on_are_hashes_by_which_shared_problems_are_still_found(study, tmp_path):
    small = withheld(study, tmp_path)
    assert {path.stem: read_metadata(path).get(WITHHELD) for path in small} == {
        "aime26": "CC-BY-NC-SA-4.0",
        "brumo25": "CC-BY-NC-SA-4.0",
        "math500": None,
    }
    for path in small:
        told = json.dumps([read_table(path).to_pylist(), read_metadata(path)]).lower()
        assert ("find $x$" in told, "secret" in told) == ((path.stem == "math500",) * 2)
        assert read_table(path)["problem_id"].to_pylist() == [f"{path.stem}/{i}" for i in range(3)]
    assert without_texts(read_table(small[0])).equals(read_table(small[0]), check_metadata=True)
    found = counted_elsewhere(keys_of(small))
    assert found == counted_elsewhere(keys_of(problems(study)))
    assert found == {"brumo25": ["brumo25/0", "brumo25/1"], "math500": ["math500/0"]}


def test_contamination_names_them_and_what_a_bundle_cannot_compare(study, tmp_path):
    for name, tables in (("whole", problems(study)), ("small", withheld(study, tmp_path))):
        out = {"out": tmp_path / f"{name}.pairs", "markdown": tmp_path / f"{name}.md"}
        evals.tables.contamination.main(train=study / "data/train.parquet", benchmarks=tables, **out)
    whole, small = ((tmp_path / f"{name}.md").read_text() for name in ("whole", "small"))
    for shared in ("aime26/2 (aime26), math500/0 (math500)", "aime26/0 (aime26), brumo25/0 (brumo25)"):
        assert f"- {shared}\n" in whole
        assert f"- {shared}\n" in small
    assert "| aime26/0 | t |" in whole
    assert "Not compared" not in whole
    assert "Not compared with the training set" in small
    assert "aime26 (CC-BY-NC-SA-4.0), brumo25 (CC-BY-NC-SA-4.0)." in small


def test_no_response_to_a_problem_that_may_not_be_passed_on_is_kept():
    rows = [{"step": 5, "benchmark": name, "problem_id": "p", "sample_id": 0} for name in ("aime26", "math500", "mine")]
    assert for_reading(pa.Table.from_pylist(rows)).tolist() == [False, True, True]


def test_a_bundle_has_these_tables_without_their_texts(study, monkeypatch):
    """All other files go in as they are; the manifest says what a reduced table was made of."""
    write_json({"config_sha256": "0"}, study / "config/study.json")
    monkeypatch.setattr(bundle, "refuse_other_settings", lambda results, names: None)
    names = [f"data/{path.name}" for path in problems(study)]
    found = {name: (content, entry) for name, content, entry in bundle.contents(study, [*names, "config/study.json"])}
    for name in names:
        content, entry = found[name]
        told = content + pq.read_table(pa.BufferReader(content)).to_pandas().to_csv().encode()
        assert (b"secret" in told.lower()) == (name == "data/math500.parquet")
        assert ("reduced_from" in entry) == (name != "data/math500.parquet")
        assert (content == (study / name).read_bytes()) == (name == "data/math500.parquet")
