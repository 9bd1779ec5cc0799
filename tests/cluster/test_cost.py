"""Cost from SLURM's accounting (lines as sacct writes them) and from Snakemake's benchmark files."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from evals.cost.slurm import job_costs, results_folder
from evals.cost.table import by_arm, from_benchmarks, job_table, markdown, read_costs
from evals.io import DataError

NAME = "asymgrpo_3cbe959f-4bd1-48ee-90a8-6127d7bfe9d1"
BATCH = "sbatch --parsable --mem 8000 -D {place} --wrap=python -m snakemake --target-jobs {targets} --cores 2 {options}"
STEP = "srun -n1 --cpu-bind=q python -m snakemake --target-jobs {target} --cores all"


def allocation(number, state, seconds, tres, targets, steps, place, options):
    """sacct's lines of one start of one allocation: its own, the batch script's, and one for each step."""
    quoted = " ".join(f"'{target}'" for target in targets)
    line = BATCH.format(place=place, targets=quoted, options=options)
    yield [number, NAME, state, seconds, "00:12.506", "", tres, place, line]
    yield [f"{number}.batch", "batch", state, seconds, "00:01.641", "118416K", "cpu=1", "", ""]
    for i, (target, elapsed, peak) in enumerate(steps):
        yield [f"{number}.{i}", "python3", state, elapsed, "00:03", peak, "cpu=1", "", STEP.format(target=target)]


@pytest.fixture
def sacct(tmp_path):
    """A requeued training with two GPUs, a group of two jobs on two CPUs, a job cancelled by hand, and another study's job."""
    train, other = "train:model=tiny,arm=grpo,seed=3", "train:model=tiny,arm=grpo,seed=9"
    ours, theirs = f"--config 'results={tmp_path}/ours' 'checkpoints=c'", "--config 'results=theirs'"
    gpus, two = "billing=4,cpu=4,gres/gpu:h100=2,gres/gpu=2,mem=8000M,node=1", "billing=2,cpu=2,mem=4000M,node=1"
    groups = ["problems:dataset=chain2", "score:"]
    starts = [
        ("7", "PREEMPTED", 1800, gpus, [train], [(train, 1790, "500000K")], ours),
        ("7", "COMPLETED", 3600, gpus, [train], [(train, 3590, "1000000K")], ours),
        ("8", "COMPLETED", 100, two, groups, [(groups[0], 30, "2000K"), (groups[1], 10, "3000K")], ours),
        ("9", "CANCELLED by 0", 60, two, ["select:model=tiny,arm=grpo,seed=3"], [], ours),
        ("10", "COMPLETED", 60, gpus, [other], [(other, 50, "1K")], theirs),
    ]
    lines = [
        "|".join(map(str, values))
        for *start, options in starts
        for values in allocation(*start, place=tmp_path, options=options)
    ]
    return "\n".join(lines) + "\n"


def test_each_start_of_a_job_counts_and_only_this_study(sacct, tmp_path):
    jobs = list(job_costs(sacct, tmp_path / "ours"))
    assert [(job.job_id, job.rule, job.state) for job in jobs] == [
        ("7", "train", "PREEMPTED"),
        ("7", "train", "COMPLETED"),
        ("8", "problems", "COMPLETED"),
        ("8", "score", "COMPLETED"),
        ("9", "select", "CANCELLED"),
    ]
    lost, done = jobs[:2]
    assert (lost.gpu_hours, done.gpu_hours) == (1.0, 2.0)
    assert (lost.cpu_hours, done.cpu_hours) == (2.0, 4.0)
    assert done.max_rss_gb == pytest.approx(1.024)
    assert done.wildcards == {"model": "tiny", "arm": "grpo", "seed": "3"}


def test_a_group_shares_its_allocation(sacct, tmp_path):
    group = [job for job in job_costs(sacct, tmp_path / "ours") if job.job_id == "8"]
    assert sum(job.cpu_hours for job in group) == pytest.approx(2 * 100 / 3600)
    assert group[0].cpu_hours == pytest.approx(3 * group[1].cpu_hours), "30 seconds against 10"


def test_sums_per_arm(sacct, tmp_path):
    table = job_table(job_costs(sacct, tmp_path / "ours"), "slurm")
    arm, shared_model, *_ = by_arm(table).to_pylist()
    assert (arm["arm"], arm["n_seeds"], arm["gpu_hours"]) == ("grpo", 1, 3.0)
    assert arm["train_hours"] == 1.5
    assert arm["lost_hours"] == pytest.approx(0.5 + 60 / 3600), "the preempted start and the cancelled job"
    assert shared_model["arm"] == ""
    assert pc.sum(by_arm(table)["cpu_hours"]).as_py() == pytest.approx(pc.sum(table["cpu_hours"]).as_py())
    assert "| GRPO | 1 | 1.5 |" in markdown(by_arm(table))


def test_the_study_of_a_job_without_config_is_found_in_its_configuration_file(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/default.yaml").write_text("results: plain\n")
    (tmp_path / "paper.yaml").write_text("results: results-paper\n")
    (tmp_path / "layer.yaml").write_text("train: {steps: 1}\n")
    for options, expected in (
        ("--configfiles paper.yaml layer.yaml --cores 1", "results-paper"),
        ("--configfiles layer.yaml", "plain"),
        ('--config \'study={"arms": ["don\'t"]}\' results=given', "given"),
    ):
        assert results_folder(f"sbatch {options}", tmp_path) == tmp_path / expected


def write_benchmark(path: Path, values: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
    path.write_text(f"{head}\n{values}\n")


def test_without_slurm_the_benchmark_files_serve(tmp_path):
    write_benchmark(tmp_path / "benchmarks/train/tiny/grpo/3.tsv", "36.0\t0:00:36\t1000\t0\t0\t0\t0\t0\t50\t18")
    write_benchmark(tmp_path / "benchmarks/sample/tiny/grpo/3.tsv", "1.0\t0:00:01\t-\t-\t-\t-\t-\t-\t-\t-")
    write_benchmark(tmp_path / "benchmarks/score.tsv", "2.0\t0:00:02\t10\t0\t0\t0\t0\t0\t50\t1")
    sample, score, train = sorted(read_costs(tmp_path, "benchmarks", "now").to_pylist(), key=lambda row: row["rule"])
    assert (train["arm"], train["train_seed"], train["seconds"]) == ("grpo", 3, 36.0)
    assert train["cpu_hours_used"] == pytest.approx(18 / 3600)
    assert train["max_rss_gb"] == pytest.approx(1.048576)
    assert train["gpu_hours"] is None, "what was allocated is not known"
    assert (sample["train_seed"], sample["max_rss_gb"]) == (3, None), "too short to be measured"
    assert (score["arm"], score["model"]) == ("", "")
    assert "–" in markdown(by_arm(read_costs(tmp_path, "benchmarks", "now")))


def test_a_file_that_is_no_benchmark_is_named(tmp_path):
    with pytest.raises(DataError, match="no benchmark file"):
        list(from_benchmarks(tmp_path))
    (tmp_path / "score.tsv").write_text("")
    with pytest.raises(DataError, match=r"score\.tsv: not a benchmark file"):
        list(from_benchmarks(tmp_path))
