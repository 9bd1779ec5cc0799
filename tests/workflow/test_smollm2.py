"""Real weights, tokenizer, chat template and problems through the whole workflow; only the sizes are cut."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("ASYMGRPO_DATA", ROOT.parent / "shared" / "datasets"))
SMALLER = {
    "study": {"arms": ["asymgrpo"]},
    "train": {
        "steps": 1,
        "prompts_per_step": 2,
        "group_size": 2,
        "updates_per_rollout": 2,
        "micro_batch": 2,
        "max_tokens": 16,
        "max_prompt_tokens": 128,
        "evaluate_max_tokens": 16,
    },
    "data": {"dir": str(DATA), "validation_size": 2},
    "evaluation": {"limit": 3, "max_tokens": 16},
}


@pytest.mark.slow
def test_smollm2_on_math(tmp_path):
    changes = [f"{key}={json.dumps(value)}" for key, value in SMALLER.items()]
    results = tmp_path / "results"
    command = [
        *(sys.executable, "-m", "snakemake", "all", "--configfile", "config/smollm2.yaml", "--nolock", "--config"),
        *(f"results={results}", f"checkpoints={tmp_path}/checkpoints", *changes),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table = pq.read_table(results / "table1.parquet").to_pandas()
    assert set(table["arm"]) == {"base", "asymgrpo"}
    samples = pq.read_table(results / "samples/smollm2/asymgrpo/seed0/math500.parquet").to_pandas()
    assert len(samples) == 3 * 2
    assert samples["response"].str.len().gt(0).all()
    assert (results / "controls/smollm2/templates.md").exists()
    metrics = pq.read_table(results / "runs/smollm2/asymgrpo/seed0/metrics.parquet").to_pandas()
    assert metrics["gap_max"].max() < 1e-3, "sampler and trainer agree on real weights too"
