"""Everything that `benchmarks/README.md` states of speed, from one call, as one Markdown table: `make bench`.

    python -m benchmarks.table [--quick] [--part step --part growth] [--peers .venv-peers] [--out table.md]

Each part is a command of its own, one after the other: the base model and its problems (other parts use them), our step against
TRL's, the dearest arms against GRPO, sampling, growth, the verifier, tables and figures from the bundle, and planning. The CPU
seconds include those of all processes that a part starts. About five minutes on a quiet machine. `--quick` takes two or three,
with a smaller base model, fewer rounds and no long responses: it shows that everything runs; its numbers belong on no page.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from asymgrpo.console import run
from asymgrpo.errors import FailedError
from asymgrpo.files import write_text
from asymgrpo.provenance import commit_of_code, machine

ROOT = Path(__file__).parents[1]
SEEDS = (3, 28, 142)
"""Of the default study, for about 100, 1,000 and 5,000 jobs."""


@dataclass(frozen=True)
class Row:
    what: str
    threads: int
    cpu: float | None
    """Seconds; None: not measured."""
    wall: float | None
    ratio: str
    """To the peer, to the limit or to the work done."""


@dataclass(frozen=True)
class Bench:
    """Where the parts work, and how much."""

    folder: Path
    peers: Path
    quick: bool

    @property
    def inputs(self) -> list[str]:
        return ["--model", str(self.folder / "base"), "--problems", str(self.folder / "train.parquet")]

    def python(self, module: str, *words: str) -> Measured:
        return measured(sys.executable, "-W", "ignore", "-m", module, *words)

    def snakemake(self, *words: str, study: str = "") -> Measured:
        places = [f"results={self.folder / 'results'}", f"checkpoints={self.folder / 'checkpoints'}"]
        return self.python(
            "snakemake", *words, "--nolock", "--cores", "2", "--config", *places, *([study] if study else [])
        )


@dataclass(frozen=True)
class Measured:
    said: str
    cpu: float
    wall: float


def measured(*command: str) -> Measured:
    """Run a command at the repository's root. Raises FailedError, with its last words, if it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    surroundings = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, encoding="utf-8", check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise FailedError(f"{' '.join(command[:6])} ... failed:\n{(done.stdout + done.stderr)[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(done.stdout + done.stderr, cpu, wall)


def objects(said: str) -> Iterator[Any]:
    """The JSON objects in what a command said, each from the start of a line.

    >>> list(objects('Loading {\\n{"a": 1}\\nnoise\\n{\\n "b": 2\\n}\\n'))
    [{'a': 1}, {'b': 2}]
    """
    for start in re.finditer(r"^\{", said, re.MULTILINE):
        try:
            yield json.JSONDecoder().raw_decode(said, start.start())[0]
        except ValueError:
            continue


def base(bench: Bench) -> Iterator[Row]:
    study = yaml.safe_load((ROOT / "config/default.yaml").read_text(encoding="utf-8"))
    sizes, spec = study["data"]["embedded"], study["models"]["tiny"]["spec"]
    if bench.quick:
        spec |= {"examples": spec["examples"] // 10}
    options = {
        "dataset": study["data"]["train"],
        "source": "embedded",
        "lock": "config/data.lock.yaml",
        "split": "train",
        "validation-size": study["data"]["validation_size"],
        "embedded-n": sizes["train_size"],
        "embedded-seed": sizes["seed"],
        "out": bench.folder / "train.parquet",
    }
    bench.python(
        "asymgrpo.tasks.prepare", *(word for name, value in options.items() for word in (f"--{name}", str(value)))
    )
    found = bench.python("asymgrpo.models.tiny", "--spec", json.dumps(spec), "--out", str(bench.folder / "base"))
    yield Row(
        "base model of the default study, whole command", 1, found.cpu, found.wall, f"{found.cpu / 90:.2f} of 90 s"
    )


def step(bench: Bench) -> Iterator[Row]:
    rounds = "2" if bench.quick else "10"
    (found,) = objects(
        bench.python(
            "benchmarks.step_time", "compare", *bench.inputs, "--peers", str(bench.peers), "--rounds", rounds
        ).said
    )
    cpu, wall = found["ratio_cpu"], found["ratio_wall"]
    ratio = f"{cpu['median']:.2f} times as fast by CPU ({cpu['least']:.2f} to {cpu['most']:.2f}), {wall['median']:.2f} by wall"
    for name, title, of in (("ours", "ours", ratio), ("trl", "TRL", "1")):
        seconds = (found[f"{name}_{kind}_seconds"]["median"] for kind in ("cpu", "wall"))
        yield Row(f"rollout batch of 16 x 8, two updates: {title}", found["threads"], *seconds, of)
    phases = ", ".join(f"{phase} {seconds:.3f}" for phase, seconds in found["our_phases"].items() if seconds >= 0.001)
    yield Row(f"wall seconds of it by phase: {phases}", found["threads"], None, None, "")


def arms(bench: Bench) -> Iterator[Row]:
    words = ["--rounds", "1", "--arm", "clip_cov"] if bench.quick else ["--rounds", "7"]
    (found,) = objects(bench.python("benchmarks.arm_cost", *bench.inputs, *words).said)
    ratios = found["times_grpo"]
    for arm in (
        *sorted(set(ratios) - {"grpo", "grpo again"}, key=lambda name: -ratios[name]["median"])[:3],
        "grpo again",
    ):
        times, grpo = ratios[arm], found["grpo_cpu_seconds"]["median"]
        ratio = f"{times['median']:.3f} times GRPO ({times['least']:.3f} to {times['most']:.3f}), limit 1.05"
        yield Row(f"a step of {arm}", 1, grpo * times["median"], None, ratio)


def sampling(bench: Bench) -> Iterator[Row]:
    (found,) = objects(
        bench.python("benchmarks.sampling", *bench.inputs, "--repetitions", "2" if bench.quick else "7").said
    )
    ratio = f"{found['tokens'] / found['cpu']:,.0f} tokens a CPU second"
    yield Row(f"sampling, 16 x 32, {found['tokens']:,} tokens", 1, found["cpu"], found["wall"], ratio)


def growth(bench: Bench) -> Iterator[Row]:
    words = ["--quick"] if bench.quick else []
    for found in objects(bench.python("benchmarks.step_time", "growth", *bench.inputs, *words).said):
        name = next(kind for kind in ("max_tokens", "group_size") if kind in found)
        title = {
            "max_tokens": "a step of 2 x 2 rollouts, tokens each",
            "group_size": "a step of 16 prompts, group size",
        }[name]
        ratio = f"{1000 * found['cpu_seconds'] / found['tokens']:.2f} ms a token"
        yield Row(f"{title}: {found[name]:,}", 1, found["cpu_seconds"], found["wall_seconds"], ratio)


def verifier(bench: Bench) -> Iterator[Row]:
    out = bench.folder / "verifier.json"
    pairs = 48 if bench.quick else 240
    bench.python("benchmarks.verifier_throughput", "--pairs", str(pairs), "--out", str(out))
    found = json.loads(out.read_text(encoding="utf-8"))
    for workers in ("one_worker", "two_workers"):
        rate, threads = found[f"unique_per_second_{workers}"], 1 + (workers == "two_workers")
        ratio = f"{found['two_workers_over_one']:.2f} times one, goal 1.8" if threads == 2 else "1"
        yield Row(
            f"verifier, {workers.replace('_', ' ')}: {pairs} pairs, {rate:.1f} a second",
            threads,
            None,
            pairs / rate,
            ratio,
        )


def rebuild(bench: Bench) -> Iterator[Row]:
    found = bench.snakemake("figures", "tables", "--quiet", "all", study="artifacts=artifacts/study.zip")
    ratio = f"{found.cpu / 25:.2f} of 25 CPU s, {found.wall / 15:.2f} of 15 s"
    yield Row("tables and figures from artifacts/study.zip", 2, found.cpu, found.wall, ratio)


def planning(bench: Bench) -> Iterator[Row]:
    for seeds in SEEDS[: 1 if bench.quick else None]:
        found = bench.snakemake("all", "-n", "--quiet", "rules", study=f"study={{seeds: {list(range(seeds))}}}")
        (jobs,) = set(re.findall(r"^total +(\d+)", found.said, re.MULTILINE))
        ratio = f"{1000 * found.cpu / int(jobs):.1f} ms a job"
        yield Row(f"planning of {int(jobs):,} jobs (dry run)", 1, found.cpu, found.wall, ratio)


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    part.__name__: part for part in (base, step, arms, sampling, growth, verifier, rebuild, planning)
}
Part = StrEnum("Part", list(PARTS))


def markdown(rows: list[Row], kind: str, commit: str) -> str:
    """A table of rows, all on one kind of machine at one commit.

    >>> print(markdown([Row("a step", 1, 0.25, None, "2")], "a machine", "abc"), end="")
    | what | machine | threads | CPU s | wall s | ratio | commit |
    |---|---|---|---|---|---|---|
    | a step | a machine | 1 | 0.250 |  | 2 | abc |
    """
    head = ("what", "machine", "threads", "CPU s", "wall s", "ratio", "commit")
    lines = [head, ["---"] * len(head)]
    lines += [
        [row.what, kind, str(row.threads), seconds(row.cpu), seconds(row.wall), row.ratio, commit] for row in rows
    ]
    first, rule, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([first, rule.replace(" ", ""), *rest, ""])


def seconds(value: float | None) -> str:
    """Three digits, or nothing.

    >>> [seconds(value) for value in (0.0512, 2.345, 64.04, None)]
    ['0.051', '2.35', '64.0', '']
    """
    return "" if value is None else f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything, in two or three minutes.")] = False,
    part: Annotated[list[Part] | None, typer.Option(help="Only this part (repeat it for more); none: all.")] = None,
    peers: Annotated[Path, typer.Option(help="Where TRL is installed (`make peer-packages`).")] = Path(".venv-peers"),
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Measure everything and print one table."""
    found, rows = machine(), list[Row]()
    kind = f"{found['processor']}, {found['cores']} cores"
    commit = (commit_of_code() or "none")[:7]
    wanted = [name for name in PARTS if not part or name in part or (name == "base" and set(part) & NEED_BASE)]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), peers.absolute(), quick)
        for name in wanted:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += PARTS[name](bench)
    table = markdown(rows, kind, commit)
    print(table, end="")
    if out:
        write_text(table, out)


NEED_BASE = {"step", "arms", "sampling", "growth"}
"""Parts that use the base model."""

if __name__ == "__main__":
    run(main)
