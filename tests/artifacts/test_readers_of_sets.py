"""What compares and pools reads every folder that the workflow leaves: with the harness measured again, and rebuilt."""

import shutil
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from bundled import ROOT, snakemake

from evals.artifacts.bundle_files import BundleError, open_bundle
from evals.artifacts.compare_results import main as compare_results
from evals.estimates.cells import COLUMNS
from evals.io import read_metadata, read_schema, read_table, write_table
from evals.pool.laboratories import opened
from evals.repeatability.table import BATCH, ENGINE, VARIANT
from evals.tables.result_set import read_result_set

pytestmark = pytest.mark.slow

PACKED = ROOT / "artifacts/smollm2.zip"


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    open_bundle(PACKED).unpack(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results that `snakemake tables` made from a bundle."""
    folder = tmp_path_factory.mktemp("of_a_bundle") / "results"
    done = snakemake("tables", "--config", f"artifacts={PACKED}", f"results={folder}", light=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def measured_again(folder: Path) -> Path:
    """Put repeated evaluations of the base model there, as `snakemake repeatability` does."""
    base = read_table(folder / "graded/smollm2/base/seed0.parquet")
    both = pa.concat_tables([base, base])
    variants = ["first"] * len(base) + ["again"] * len(base)
    both = both.append_column(VARIANT, pa.array(variants)).append_column(ENGINE, pa.array(["torch"] * len(both)))
    write_table(
        both.append_column(BATCH, pa.array([4] * len(both), pa.int32())), folder / "repeats/smollm2.parquet", {}
    )
    assert {*COLUMNS} <= set(read_schema(folder / "repeats/smollm2.parquet").names)
    return folder


def test_repeated_evaluations_are_no_part_of_a_result_set(unpacked: Path) -> None:
    before = read_result_set(unpacked)
    after = read_result_set(measured_again(unpacked))
    assert after.files == before.files
    assert not [path for path in after.files if "repeats" in path.parts]
    for rule, counts in before.counts.items():
        assert {key: item.n.sum() for key, item in after.counts[rule].items()} == {
            key: item.n.sum() for key, item in counts.items()
        }


def test_a_rebuilt_folder_is_the_bundle_that_it_is_from(rebuilt: Path, tmp_path: Path) -> None:
    assert (rebuilt / "table1.parquet").exists()
    assert (rebuilt / "config/settings").is_dir()
    compare_results(str(rebuilt), str(PACKED), out=tmp_path / "d.parquet", markdown=tmp_path / "d.md")
    rows = read_table(tmp_path / "d.parquet").to_pylist()
    assert {row["a"] for row in rows} == {"base", "grpo", "asymgrpo"}
    assert all(row["estimate"] == 0 for row in rows)
    for topic in ("configuration", "conventions", "code, packages and data"):
        assert f"## {topic}: 0 differ" in (tmp_path / "d.md").read_text()
    assert [lab.runs for lab in opened([f"a={rebuilt}", f"b={PACKED}"])] == [
        opened([f"a={PACKED}", f"b={rebuilt}"])[0].runs
    ] * 2


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("graded/smollm2/other/seed0.parquet", "is not in the manifest"),
        ("runs/smollm2/grpo/seed0/more.json", "is not in the manifest"),
        ("graded/smollm2/grpo/seed0.parquet", "is changed"),
    ],
)
def test_its_files_of_runs_are_checked_all_the_same(rebuilt: Path, tmp_path: Path, place: str, words: str) -> None:
    folder = shutil.copytree(rebuilt, tmp_path / "spoilt")
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    grown = read_table(folder / "graded/smollm2/grpo/seed0.parquet").slice(1)
    write_table(grown, folder / place, read_metadata(folder / "graded/smollm2/grpo/seed0.parquet"))
    with pytest.raises(BundleError, match=f"{place} (is truncated|{words})"):
        compare_results(str(folder), str(PACKED))


def test_a_zip_file_holds_nothing_beside_its_manifest(tmp_path: Path) -> None:
    shutil.copy(PACKED, tmp_path / "more.zip")
    with zipfile.ZipFile(tmp_path / "more.zip", "a") as archive:
        archive.writestr("table1.parquet", b"x")
    with pytest.raises(BundleError, match=r"table1\.parquet is not in the manifest"):
        open_bundle(tmp_path / "more.zip").check()
