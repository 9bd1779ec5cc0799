"""Whole runs with vLLM as real processes: killed and resumed, on two ranks, and sampling for evaluation."""

import json
import os
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from vllm_models import model_of

from asymgrpo import surroundings
from tests.helpers import runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vllm_installed")]
CHANGES = {"rollout_engine": "vllm", "steps": 4, "mismatch_gate": 1.001, "importance_cap": 2.0, "evaluate_every": 2}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model directory as `asymgrpo.training.build` wants it."""
    from asymgrpo.tasks.tokenizer import build_tokenizer

    directory, tokenizer = tmp_path_factory.mktemp("model") / "base", build_tokenizer()
    shape = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    model_of("tied", **shape).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_killed_and_resumed(tmp_path, base):
    """SIGKILL after the second checkpoint; the resumed run ends with the bytes of one that was left alone: batches are the
    same, and `generate` does not depend on what a sampler did before."""
    whole = runs.prepare(tmp_path / "whole", base, **CHANGES)
    runs.finish(whole)
    killed = runs.prepare(tmp_path / "killed", base, **CHANGES)
    process = runs.start(killed)
    while process.poll() is None and not list(
        (tmp_path / "killed/checkpoints").glob("*/*/seed*/checkpoints/step000002")
    ):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not runs.out_of(killed).joinpath("done.json").exists()
    runs.finish(killed)
    assert runs.digests(runs.out_of(killed)) == runs.digests(runs.out_of(whole))
    metrics = pq.read_table(runs.out_of(whole) / "metrics.parquet").to_pylist()
    assert len(metrics) == 4
    assert 0 < max(row["gap_max"] for row in metrics) < 1e-4


def test_two_ranks_have_a_sampler_each(tmp_path, directories):
    """One rank generates while the other does not; the training's process group survives both samplers; ZeRO-3 weights arrive
    whole; no seed is used twice."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = runs.ROOT / "tests/vllm/two_ranks.py"
    path = os.pathsep.join(str(runs.ROOT / part) for part in ("", "tests/vllm"))
    process = subprocess.Popen(
        [*command, script, directories["untied"], tmp_path / "reports.json"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=500)
    finally:
        process.terminate()  # the launcher then ends its ranks
    assert process.returncode == 0, said[-3000:]
    one, other = json.loads((tmp_path / "reports.json").read_text())
    assert one["world"] == other["world"] == [2, 2]
    assert one["sums"] == other["sums"] == [3, 3, 3]
    assert (one["calls"], other["calls"]) == (3, 0)
    assert 0 < one["gap_max"] < 1e-4
    assert len(set(one["seeds"] + other["seeds"])) == len(one["seeds"]) + len(other["seeds"]) == 16


def test_evaluation_samples_with_vllm(tmp_path, base, monkeypatch):
    """`evals.sample` with evaluation.engine = vllm: every problem and every sample, each with a seed of its own.

    Without a home, as in a container: vLLM writes what it makes for itself below the job's own folder.
    """
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in surroundings.FOLDERS:
        monkeypatch.delenv(name, raising=False)
    from asymgrpo.tasks.chain_sum import rows
    from asymgrpo.tasks.table import write_problems

    write_problems(tmp_path / "chain2.parquet", rows("chain2", 6, 1), {})
    changes = {"engine": "vllm", "samples": {"default": 3}, "k": [1], "max_tokens": 12, "batch": 4}
    options = {
        "settings": runs.asked_of_samples(base, **changes),
        "problems": tmp_path / "chain2.parquet",
        "checkpoints": base,
        "out": tmp_path / "samples.parquet",
    }
    runs.finish([sys.executable, "-m", "evals.sample", *(f"--{k}={v}" for k, v in options.items())])
    table = pq.read_table(tmp_path / "samples.parquet").to_pandas()
    assert table.groupby("problem_id").sample_id.apply(list).tolist() == [[0, 1, 2]] * 6
    assert table.sample_seed.is_unique
    assert (table.logprob_sum < 0).all()
