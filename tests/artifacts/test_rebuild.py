"""A bundle gives the same tables and figures as the study that it was made of, and none if it is not whole."""

import http.server
import threading
import zipfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bundled import snakemake

from evals.artifacts.bundle import content_hashes, make
from evals.artifacts.bundle_files import MANIFEST, BundleError, open_bundle
from evals.artifacts.reading import read_samples
from evals.cost.jobs import read_jobs
from evals.estimates.cells import COLUMNS
from evals.io import DataError, inputs_metadata, read_table, sha256_file, write_table

pytestmark = pytest.mark.slow

GRADED = "graded/tiny/grpo/seed0.parquet"


def derived_files(folder: Path) -> dict[str, bytes]:
    patterns = ("*.parquet", "*.md", "figures/*", "controls/**/*.*")
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for pattern in patterns for p in folder.glob(pattern)}
    not_rebuilt = ("jobs", "cost")
    return {name: content for name, content in found.items() if not name.startswith(not_rebuilt)}


def test_tables_and_figures_come_back_byte_by_byte(results, rebuilt):
    """Without torch and transformers: jobs that import them fail."""
    original, again = derived_files(results), derived_files(rebuilt)
    assert {"table1.parquet", "table1.md", "differences.parquet", "contamination.md"} <= original.keys()
    assert {"theory.parquet", "figures/theory_weight.png"} <= original.keys()
    assert sum(name.endswith(".png") for name in original) >= 2
    assert original.keys() == again.keys()
    assert [name for name in original if original[name] != again[name]] == []
    assert content_hashes(results) == content_hashes(rebuilt)


def test_nothing_is_trained_or_sampled_again(rebuilt):
    assert not (rebuilt / "models").exists()
    assert not (rebuilt / "samples").exists()
    assert {path.name for path in (rebuilt / "logs").iterdir()}.isdisjoint({"train", "sample", "grade", "problems"})


def test_a_bundle_with_another_manifest_is_unpacked_again(rebuilt, bundle, tmp_path):
    """Whatever Snakemake's records and dates say: the folder's manifest is compared with the bundle's."""
    files = members(bundle)
    for name, text in {"same": files[MANIFEST], "other": files[MANIFEST] + b"\n"}.items():
        at = write_zip(files | {MANIFEST: text}, tmp_path / f"{name}.zip")
        done = snakemake("-n", "tables", "--config", f"artifacts={at}", f"results={rebuilt}", light=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("Forced execution" in done.stdout + done.stderr) == (name == "other")


def test_the_same_results_give_the_same_bundle(results, bundle, tmp_path):
    make(results, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_what_is_not_reduced_is_as_it_was(results, bundle):
    files = open_bundle(bundle).files
    whole = [name for name in files if "reduced_from" not in files[name] and name != "jobs.parquet"]
    assert {"config/study.json", "data/train.parquet", "runs/tiny/grpo/seed1/metrics.parquet"} <= set(whole)
    assert [name for name in whole if sha256_file(results / name) != files[name]["sha256"]] == []
    assert files[GRADED]["reduced_from"]["sha256"] == sha256_file(results / GRADED)
    assert all(
        entry["rule"] and entry.get("config_sha256", "") for name, entry in files.items() if name != "jobs.parquet"
    )


def test_verdicts_and_samples_to_read_are_the_same_in_both(results, rebuilt):
    paths = [folder / GRADED for folder in (results, rebuilt)]
    whole, reduced = (read_table(path, COLUMNS) for path in paths)
    assert whole.equals(reduced)
    texts = [read_samples([path]) for path in paths]
    assert texts[0].equals(texts[1])
    assert 0 < len(texts[0]) < len(whole)
    assert texts[0]["response"].null_count == 0
    assert read_table(paths[1])["response"].null_count == len(whole) - len(texts[0])


def test_seconds_are_those_of_the_study(results, rebuilt):
    jobs = read_jobs(results)
    assert jobs.equals(read_jobs(rebuilt))
    trained = [row for row in jobs.to_pylist() if row["rule"] == "train"]
    assert {(row["arm"], row["seed"]) for row in trained} >= {("grpo", 0), ("grpo", 1), ("positive_only", 0)}
    assert all(row["seconds"] > 0 for row in trained)


def test_an_unfinished_study_is_refused_by_name(results, tmp_path):
    part = copied(results, tmp_path / "part", leave_out="graded/tiny/grpo/seed1.parquet")
    with pytest.raises(Exception, match=r"graded/tiny/grpo/seed1.parquet is missing .* not finished"):
        make(part, tmp_path / "part.zip")
    assert not (tmp_path / "part.zip").exists()


def copied(folder: Path, out: Path, leave_out: str) -> Path:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != leave_out and name.split("/")[0] in ("config", "data", "runs", "graded"):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(path.read_bytes())
    return out


def changed(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


FAULTS = {
    "changed": (lambda files: files | {GRADED: changed(files[GRADED])}, f"{GRADED} is changed"),
    "truncated": (lambda files: files | {GRADED: files[GRADED][:-40]}, f"{GRADED} is truncated"),
    "missing": (lambda files: {n: c for n, c in files.items() if n != GRADED}, f"{GRADED} is missing"),
    "extra": (lambda files: files | {"graded/other.parquet": b"x"}, "graded/other.parquet is not in the manifest"),
}


def members(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_folder(files: dict[str, bytes], path: Path) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("form", [write_zip, write_folder])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_nothing_unpacked(bundle, tmp_path, fault, form):
    spoil, words = FAULTS[fault]
    spoilt = open_bundle(form(spoil(members(bundle)), tmp_path / "spoilt"))
    with pytest.raises(BundleError, match=words):
        spoilt.unpack(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    open_bundle(form(members(bundle), tmp_path / "whole")).check()


def test_a_zip_file_that_was_cut_or_damaged_is_refused(bundle, tmp_path):
    content = bundle.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=r"cut.zip: not a whole zip"):
        open_bundle(tmp_path / "cut.zip")
    with zipfile.ZipFile(bundle) as archive:
        start = archive.getinfo(GRADED).header_offset + 200
    (tmp_path / "bad.zip").write_bytes(content[:start] + b"\0\0\0\0" + content[start + 4 :])
    with pytest.raises(BundleError, match=f"{GRADED} is (damaged|changed)"):
        open_bundle(tmp_path / "bad.zip").check()


def test_no_file_may_lie_outside(bundle, tmp_path):
    files = members(bundle)
    files[MANIFEST] = files[MANIFEST].replace(b'"data/train.parquet"', b'"../train.parquet"')
    with pytest.raises(BundleError, match="outside of the bundle"):
        open_bundle(write_zip(files, tmp_path / "outside.zip"))


def test_snakemake_starts_nothing_from_a_spoilt_bundle(bundle, tmp_path):
    spoilt = write_zip(FAULTS["changed"][0](members(bundle)), tmp_path / "spoilt.zip")
    done = snakemake("figures", "tables", "--config", f"artifacts={spoilt}", f"results={tmp_path / 'out'}", light=True)
    assert done.returncode != 0
    assert f"{GRADED} is changed" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_the_configuration_is_the_bundles(bundle, tmp_path):
    arguments = ("--config", f"artifacts={bundle}", f"results={tmp_path / 'out'}", "study={seeds: [0]}")
    done = snakemake("-n", "tables", *arguments, light=True)
    assert done.returncode != 0
    assert "config: study cannot be set beside artifacts" in done.stdout + done.stderr


def test_a_bundle_is_fetched_once_and_checked(bundle, tmp_path):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(bundle.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{bundle.name}"
        with pytest.raises(BundleError, match=r"sha256 is not 00"):
            open_bundle(f"{url}#sha256=00", tmp_path)
        assert list(tmp_path.iterdir()) == []
        source = f"{url}#sha256={sha256_file(bundle)}"
        open_bundle(source, tmp_path).check()
        with pytest.raises(BundleError, match="could not be fetched"):
            open_bundle(f"{url}.other", tmp_path)
        server.shutdown()
    open_bundle(source, tmp_path).check()  # the server is gone
    with pytest.raises(BundleError, match="sha256 is not 00"):
        open_bundle(f"{bundle}#sha256=00")


def test_every_parquet_file_tells_its_origin(results):
    code = {"git_commit", "git_dirty", "packages", "locks", "python"}
    wanted = {
        "runs": {"sha256", "arm_fields", "train", "train_seed", "model_sha256", "data_sha256", *code},
        "samples": {"evaluation", "problems_sha256", "weights_sha256", *code},
        "graded": {"samples", "verifier_version", "data_hash", *code},
        "data": {"content_sha256", "dataset", "source", "split"},
    }
    derived = {"data_hash", "inputs", "produced_by"}
    files = sorted(results.rglob("*.parquet"))
    assert len(files) > 30
    for path in files:
        metadata = pq.read_schema(path).metadata or {}
        told = read_table_metadata(metadata)
        lacking = wanted.get(path.relative_to(results).parts[0], derived) - told.keys()
        assert not lacking, (path, lacking)
    timings = read_table_metadata(pq.read_schema(results / "runs/tiny/grpo/seed0/timings.parquet").metadata)
    assert timings["machine"]["cores"] > 0


def read_table_metadata(metadata: dict[bytes, bytes]) -> dict:
    import json

    return json.loads(metadata[b"asymgrpo"])


def test_inputs_are_named_alike_wherever_they_lie(tmp_path):
    names = ["run_scores.parquet", "runs/tiny/a/seed0/metrics.parquet", "runs/tiny/b/seed0/metrics.parquet"]
    found = []
    for place in ("here", "there/below"):
        files = [tmp_path / place / name for name in names]
        for file in files:
            write_table(pa.table({"a": [1]}), file, {})
        found.append(list(inputs_metadata(files)))
    assert found[0] == found[1] == ["run_scores.parquet", "a/seed0/metrics.parquet", "b/seed0/metrics.parquet"]
    with pytest.raises(DataError, match="given twice"):
        inputs_metadata([*files, files[1]])
