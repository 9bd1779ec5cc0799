"""Seconds, hours and memory of a study for its report: by arm (the rows of Table 1) and by phase of a training step."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from asymgrpo.training.stopwatch import PHASES
from evals.cost.jobs import read_jobs
from evals.names import title
from evals.report.results import Results
from evals.report.sections import Grid

SHARED = "shared by all arms"
COLUMNS = ("rule", "model", "arm", "seconds", "cpu_hours", "gpu_hours", "max_rss_gb")


def cost(results: Results) -> list[Grid]:
    """Hours by arm and seconds by phase."""
    return [*by_arm(results), by_phase(results)]


def jobs(results: Results) -> pd.DataFrame:
    """One row of COLUMNS per job: from cost.parquet (evals.cost.table) where it was made, else from Snakemake's benchmark
    files."""
    table = results.table("cost")
    if table is not None:
        frame = table.to_pandas()
        return frame.assign(cpu_hours=frame["cpu_hours"].fillna(frame["cpu_hours_used"]))[list(COLUMNS)]
    frame = read_jobs(results.folder).to_pandas()
    if frame.empty:
        return pd.DataFrame(columns=COLUMNS)
    gpus = {model: gpus_of_training(results.study, model) for model in results.models}
    training = frame["rule"] == "train"
    return frame.assign(
        cpu_hours=frame["cpu_seconds"] / 3600,
        gpu_hours=(frame["seconds"] / 3600 * frame["model"].map(gpus)).where(training, 0.0),
        max_rss_gb=frame["max_rss_mb"] * 2**20 / 1e9,
    )[list(COLUMNS)]


def gpus_of_training(study: Mapping[str, Any], model: str) -> int:
    """GPUs of one training job.

    >>> plan = {"machine": {"kind": "h100-80gb"}, "train": {"nodes": 1, "ranks_per_node": 4}, "models": {"m": {"train": {}}}}
    >>> gpus_of_training(plan, "m"), gpus_of_training(plan | {"machine": {"kind": "cpu"}}, "m")
    (4, 0)
    """
    if study.get("machine", {}).get("kind", "cpu") == "cpu":
        return 0
    train = {**study["train"], **study["models"][model].get("train", {})}
    return train["nodes"] * train["ranks_per_node"]


def by_arm(results: Results) -> list[Grid]:
    """Wall-clock hours of training, sampling and the rest, CPU- and GPU-hours; nothing if no job was measured."""
    frame = jobs(results)
    if frame.empty:
        return []
    frame = frame.assign(arm=frame["arm"].replace("", None).fillna(SHARED))
    rows = []
    for arm in [arm for arm in (*["base"], *results.arms, SHARED) if (frame["arm"] == arm).any()]:
        rows.append([arm if arm == SHARED else title(arm), *_hours(frame[frame["arm"] == arm])])
    rows.append(["all", *_hours(frame)])
    head = [
        "arm",
        "runs",
        "training",
        "sampling",
        "rest",
        "all jobs",
        "training per run",
        "CPU",
        "GPU",
        "peak memory, GB",
    ]
    note = (
        "Wall-clock hours of jobs, measured while other jobs ran beside them; CPU- and GPU-hours, the latter of training only. "
        "A job that was interrupted counts with its last start, unless SLURM's accounting was asked (snakemake cost)."
    )
    return [Grid("Hours by arm", head, rows, note)]


def _hours(frame: pd.DataFrame) -> list[str]:
    hours = frame.groupby("rule")["seconds"].sum() / 3600
    training, sampling = float(hours.get("train", 0)), float(hours.get("sample", 0))
    runs = int((frame["rule"] == "train").sum())
    rest = float(hours.drop(["train", "sample"], errors="ignore").sum())
    per_run = number(training / runs) if runs else "–"
    sums = [frame["cpu_hours"].sum(min_count=1), frame["gpu_hours"].sum(min_count=1), frame["max_rss_gb"].max()]
    return [
        *(str(runs), number(training), number(sampling), number(rest), number(training + sampling + rest), per_run),
        *map(number, sums),
    ]


def number(value: float) -> str:
    """Three significant digits, or a dash for what was not measured.

    >>> number(1.23456), number(123.4), number(0.0), number(float("nan"))
    ('1.23', '123', '0', '–')
    """
    return "–" if pd.isna(value) else f"{value:.3g}"


def by_phase(results: Results) -> Grid:
    """Mean seconds of a training step by phase, over the runs of an arm; and the response tokens that a run sampled."""
    frames = {arm: pd.concat([run.table("timings").to_pandas() for run in results.of_arm(arm)]) for arm in results.arms}
    phases = [phase for phase in PHASES if any(frame[phase].any() for frame in frames.values())]
    rows = []
    for arm, frame in frames.items():
        means = frame[phases].mean()
        seconds = frame["rollout"].sum()  # 0 where every run diverged in its first step
        tokens = f"{frame['response_tokens'].sum() / seconds:,.0f}" if seconds else "–"
        total = number(means.sum()) if len(frame) else "–"
        spent = f"{frame['response_tokens'].sum() / len(results.of_arm(arm)):,.0f}"
        rows.append([title(arm), *map(number, means), total, tokens, spent])
    return Grid(
        "Seconds of a training step by phase",
        ["arm", *phases, "sum", "rollout tokens/s", "tokens per run"],
        rows,
        "Means over all steps and runs; candidates are evaluated in some steps only. Tokens are those of responses; what dynamic "
        "sampling threw away is among them.",
    )
