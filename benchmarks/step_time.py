"""Seconds per rollout batch, ours against TRL's GRPOTrainer: same model, prompts, batch, lengths, updates, reward and threads.

    python -m benchmarks.step_time --model results/models/tiny/base --problems results/data/train.parquet

Both trainers live in processes of their own and take turns, a few rollout batches each, so that a change of the machine's mood
meets both; the one whose turn it is not waits. Work per batch: 16 prompts x 8 rollouts of at most 48 tokens, two updates of 64
sequences. The ratio of each round is one measurement: printed are its median and its range, of CPU and of wall seconds. TRL comes
with the optional peers (`make peer-packages`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import yaml

app = typer.Typer(add_completion=False, help=__doc__)
Model = Annotated[Path, typer.Option(help="model directory")]
Problems = Annotated[Path, typer.Option(help="training problems (Parquet)")]
Threads = Annotated[int, typer.Option(help="threads of each trainer")]
WARM_UP = 2
"""Rollout batches before the first that counts."""
SIZES = {"updates_per_rollout": 2, "micro_batch": 32, "learning_rate": 1e-4}
"""What differs from the default study's `train`."""


def settings(**changes: Any) -> Any:
    from asymgrpo.study.config import parse_section

    train = yaml.safe_load(Path("config/default.yaml").read_text(encoding="utf-8"))["train"]
    return parse_section("train", train | SIZES | changes)


@app.command()
def compare(
    model: Model,
    problems: Problems,
    rounds: Annotated[int, typer.Option(help="turns of each trainer")] = 8,
    batches: Annotated[int, typer.Option(help="rollout batches per turn")] = 3,
    threads: Threads = 1,
    peers: Annotated[Path, typer.Option(help="where TRL is installed")] = Path(".venv-peers"),
) -> None:
    """Both, in turn; one JSON object with seconds per rollout batch, their ratios and the share of each phase of ours."""
    workers = {name: Worker(name, model, problems, threads, peers) for name in ("ours", "trl")}
    turns: dict[str, list[dict]] = {name: [] for name in workers}
    for worker in workers.values():
        worker.turn(WARM_UP)
    for _ in range(rounds):
        for name, worker in workers.items():
            turns[name].append(worker.turn(batches))
    for worker in workers.values():
        worker.stop()
    print(json.dumps(summary(turns) | {"threads": threads, "rounds": rounds, "batches_per_round": batches}, indent=1))


def summary(turns: Mapping[str, list[dict]]) -> dict[str, Any]:
    """Medians and ranges over rounds of what the workers reported.

    >>> turns = [{"cpu": c, "wall": c, "tokens": 10.0, "phases": {}} for c in (1.0, 2.0)]
    >>> summary({"ours": turns, "trl": [one | {"cpu": 4.0} for one in turns]})["ratio_cpu"]
    {'median': 3.0, 'least': 2.0, 'most': 4.0}
    """
    row: dict[str, Any] = {}
    for kind in ("cpu", "wall"):
        for name, found in turns.items():
            row[f"{name}_{kind}_seconds"] = spread([one[kind] for one in found])
        pairs = zip(turns["trl"], turns["ours"], strict=True)
        row[f"ratio_{kind}"] = spread([trl[kind] / ours[kind] for trl, ours in pairs])
    row["response_tokens"] = {name: round(median(one["tokens"] for one in found)) for name, found in turns.items()}
    phases = turns["ours"][0]["phases"]
    row["our_phases"] = {p: round(median(one["phases"][p] for one in turns["ours"]), 4) for p in phases}
    return row


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 4), "least": round(min(values), 4), "most": round(max(values), 4)}


class Worker:
    """A trainer in a process that works only when it is its turn."""

    def __init__(self, name: str, model: Path, problems: Path, threads: int, peers: Path | None = None):
        paths = [str(Path(__file__).parents[1]), *([str(peers)] if name == "trl" else [])]
        surroundings = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
        options = ["--model", str(model), "--problems", str(problems), "--threads", str(threads)]
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.step_time", name, *options]
        self.process = subprocess.Popen(
            command, env=surroundings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def turn(self, batches: int) -> dict:
        """Let it work on so many rollout batches -> what it took, per batch."""
        assert self.process.stdin
        assert self.process.stdout
        print(batches, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{' '.join(self.process.args)} ended early; its message is above.")  # type: ignore[arg-type]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Turns:
    """In a worker: how many batches to work on comes from standard input; what they took goes to standard output."""

    def __init__(self) -> None:
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # whatever a library prints
        self.left, self.tokens, self.phases = 0, list[float](), list[Mapping[str, float]]()

    def wait(self) -> None:
        """For the next turn."""
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        self.batches = self.left = int(line)
        self.tokens.clear()
        self.phases.clear()
        self.began = time.process_time(), time.perf_counter()

    def done(self, tokens: float, phases: Mapping[str, float]) -> None:
        """One batch of so many response tokens is finished; at the end of a turn, report it and wait for the next."""
        self.left -= 1
        self.tokens.append(tokens)
        self.phases.append(phases)
        if self.left:
            return
        cpu, wall = time.process_time() - self.began[0], time.perf_counter() - self.began[1]
        report = {"cpu": cpu, "wall": wall, "tokens": sum(self.tokens)}
        row: dict[str, Any] = {name: value / self.batches for name, value in report.items()}
        row["phases"] = {p: sum(one[p] for one in self.phases) / self.batches for p in phases}
        print(json.dumps(row), file=self.out, flush=True)
        self.wait()


@app.command(hidden=True)
def ours(model: Model, problems: Problems, threads: Threads = 1) -> None:
    """Our trainer, DeepSpeed ZeRO 0 and the torch sampler."""
    turns = Turns()
    step = our_trainer(model, problems, threads, settings())
    turns.wait()
    for tokens, phases in step:
        turns.done(tokens, phases)


@app.command()
def growth(
    model: Model,
    problems: Problems,
    threads: Threads = 1,
    quick: Annotated[bool, typer.Option("--quick", help="the two smallest of each alone")] = False,
) -> None:
    """Seconds of one step of ours by response length and by group size; responses never end before their limit."""
    for name, sizes in [*GROWTH[:2], *GROWTH[4:6]] if quick else GROWTH:
        train = settings(max_prompt_tokens=32, displacement_every=10**6, **sizes)
        steps = our_trainer(model, problems, threads, train, endless=True)
        next(steps)
        began = time.process_time(), time.perf_counter()
        tokens, _ = next(steps)
        taken = time.process_time() - began[0], time.perf_counter() - began[1]
        row = {name: sizes[name], "cpu_seconds": taken[0], "wall_seconds": taken[1], "tokens": round(tokens)}
        print(json.dumps(row), flush=True)


GROWTH: list[tuple[str, dict[str, int]]] = [
    *(
        ("max_tokens", {"max_tokens": n, "prompts_per_step": 2, "group_size": 2, "micro_batch": 2})
        for n in (64, 256, 1024, 4096)
    ),
    *(("group_size", {"group_size": n, "max_tokens": 48}) for n in (4, 8, 16, 32)),
]


def our_trainer(
    model: Path, problems: Path, threads: int, train: Any, endless: bool = False
) -> Iterator[tuple[float, Mapping[str, float]]]:
    """Steps without end: (response tokens, wall seconds by phase) of each. `endless`: no response ends before its limit, and
    every second is correct."""
    import torch

    from asymgrpo.method.arms import get_arm
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model
    from asymgrpo.training.build import make_grader, micro_batches_per_update, sampler_of
    from asymgrpo.training.engine import Engine, start_process_group
    from asymgrpo.training.inputs import read_problems
    from asymgrpo.training.stopwatch import Stopwatch
    from asymgrpo.training.trainer import Trainer
    from asymgrpo.verifier import Verdict

    torch.set_num_threads(threads)
    start_process_group()
    tokenizer = load_tokenizer(model)
    engine = Engine(load_model(model, train.dtype), train, micro_batches_per_update(train))
    sampler = sampler_of(train, model, engine, tokenizer, train.max_prompt_tokens + train.max_tokens)
    training_set = read_problems(problems, "plain", tokenizer, train.max_prompt_tokens)
    trainer = Trainer(get_arm("grpo"), train, engine, sampler, make_grader(tokenizer, workers=1), training_set, 0)
    if endless:
        sampler.eos_ids = sampler.eos_ids[:0]
        trainer.grade = lambda rollouts, _: [Verdict.correct if i % 2 else Verdict.wrong for i in range(len(rollouts))]
        trainer.train = train.model_copy(update={"mismatch_gate": None})
    n = 0
    while True:
        n, clock = n + 1, Stopwatch()
        row, _, _ = trainer.step(n, clock)
        yield row["response_tokens_mean"] * train.prompts_per_step * train.group_size, clock.seconds


@app.command(hidden=True)
def trl(model: Model, problems: Problems, threads: Threads = 1) -> None:
    """TRL's GRPOTrainer with the same sizes and our verifier as its reward."""
    turns = Turns()
    import torch
    import trl as peer
    from transformers import TrainerCallback

    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model

    torch.set_num_threads(threads)
    train, lengths = settings(), list[float]()

    class Turn(TrainerCallback):
        """A rollout batch ends with its last update."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            turns.wait()

        def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step % train.updates_per_rollout == 0:
                turns.done(lengths[-1], {})

    peer.GRPOTrainer(
        model=load_model(model, train.dtype),
        processing_class=load_tokenizer(model),
        reward_funcs=correct(lengths),
        args=peer.GRPOConfig(**trl_arguments(train)),
        train_dataset=trl_data(problems),
        callbacks=[Turn()],
    ).train()


def correct(lengths: list[float]) -> Callable[..., list[float]]:
    """Our verifier as TRL's reward, which also notes the response tokens of each rollout batch."""
    from asymgrpo.verifier import reward, verify_many

    def function(completions: Any, answer: Any, completion_ids: Any, **_: Any) -> list[float]:
        lengths.append(sum(map(len, completion_ids)))
        return [reward(v) for v in verify_many(list(zip(completions, answer, strict=True)), workers=1)]

    return function


def trl_data(problems: Path) -> Any:
    import pyarrow.parquet as pq
    from datasets import Dataset

    rows = pq.read_table(problems, columns=["problem", "answer"]).to_pylist()
    return Dataset.from_list([{"prompt": row["problem"] + "\n", "answer": row["answer"]} for row in rows])


def trl_arguments(train: Any) -> dict[str, Any]:
    """TRL's names for what `train` says."""
    return {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "max_steps": 10**6,
        "per_device_train_batch_size": train.prompts_per_step * train.group_size // train.updates_per_rollout,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": train.updates_per_rollout,
        "num_generations": train.group_size,
        "max_completion_length": train.max_tokens,
        "temperature": train.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "beta": 0.0,
        "epsilon": 0.2,
        "loss_type": "dapo",
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": "constant",
        "max_grad_norm": train.max_grad_norm,
        "bf16": False,
        "gradient_checkpointing": False,
    }


if __name__ == "__main__":
    app()
