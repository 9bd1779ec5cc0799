"""The one table of what a person types: `asymgrpo NAME ...` starts `python -m MODULE ...` (asymgrpo.cli).

Programs that only rules of the workflow call are not listed.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A program by its short name."""

    name: str
    module: str
    """What `python -m` starts; a file below the checkout when it ends with .py."""
    does: str
    """One sentence."""
    example: str
    """What may follow the name; files below results/ are those of the default study."""
    extra: str = ""
    """Of pyproject.toml: what it imports beyond the dependencies of all commands."""
    checkout: str = ""
    """A file that only a checkout of the project has, and that it reads."""


STUDY = (
    Command(
        "prereg",
        "evals.protocol",
        "Declare a study before its runs: claims, analysis, endpoint, arms, seeds and code in one file.",
        "--configfile config/study.yaml --out protocol.json",
        extra="train",
        checkout="config/default.yaml",
    ),
    Command(
        "arms",
        "asymgrpo.method",
        "Print every convention of an arm, and what differs from GRPO; without a name, list the arms.",
        "asymgrpo",
    ),
    Command(
        "plan",
        "asymgrpo.planner",
        "Does a study fit on these GPUs, and what will it cost?",
        "--config config/paper.yaml --gpu h100-80gb --gpus 4",
        checkout="config/default.yaml",
    ),
    Command(
        "theory",
        "asymgrpo.theory",
        "Compute what each arm does exactly, and train all arms on softmax policies of a few answers.",
        "--settings theory.json --out theory.parquet",
        extra="train",
    ),
    Command(
        "probe",
        "asymgrpo.probe",
        "From the states of one GRPO run, let every arm make one update and score held-out responses again.",
        "--settings probe.json --model results/models/tiny/base --problems results/data/train.parquet "
        "--held-out results/data/validation.parquet --checkpoints checkpoints --out probe.parquet",
        extra="train",
    ),
    Command(
        "config",
        "asymgrpo.study",
        "Explain a key of the configuration: sentence, type, default, what a change makes again.",
        "--explain train.truncated",
        checkout="config/default.yaml",
    ),
    Command(
        "accept",
        "tests/gpu/accept.py",
        "Does this machine compute what it should?",
        "--size full --out accept",
        extra="train",
        checkout="tests/gpu/accept.py",
    ),
    Command(
        "settings",
        "workflow.asked",
        "Print the settings that a study asks of one result: asked.json and run.json of the steps below.",
        "results --model tiny --arm base --benchmark chain2",
    ),
)
STEPS = (
    Command(
        "prepare",
        "asymgrpo.tasks.prepare",
        "Write the table of problems of a training set or benchmark.",
        "--dataset math500 --source directory --data-dir DATA --lock config/data.lock.yaml --out math500.parquet",
        extra="train",
    ),
    Command(
        "relock",
        "asymgrpo.tasks.relock",
        "Write the rows and hashes of data sets into the lock again.",
        "--data-dir DATA --lock config/data.lock.yaml --embedded-n 2000 --embedded-seed 2604 math500",
        extra="train",
    ),
    Command(
        "train",
        "asymgrpo.training",
        "Train one arm with one seed, as the rule train does; started again, it continues.",
        "--settings run.json --operation results/config/operation/tiny.json --model results/models/tiny/base "
        "--problems results/data/train.parquet --evaluate validation=results/data/validation.parquet "
        "--checkpoints checkpoints --out run",
        extra="train",
    ),
    Command(
        "select",
        "evals.select",
        "Choose a run's checkpoint by one or several rules.",
        "--evaluations results/runs/tiny/grpo/seed0/eval.parquet --rule best_on:chain4 validation "
        "--model tiny --arm grpo --train-seed 0 --out selection.json",
    ),
    Command(
        "sample",
        "evals.sample",
        "Draw responses of a model to the problems of a benchmark.",
        "--settings asked.json --problems results/data/chain2.parquet --checkpoints results/models/tiny/base "
        "--out chain2.parquet",
        extra="train",
    ),
    Command(
        "regrade",
        "evals.grade",
        "Grade samples, or graded samples again, and print every verdict that changed.",
        "--samples results/graded/tiny/base/seed0.parquet --problems results/data/chain*.parquet "
        "--previous results/graded/tiny/base/seed0.parquet --out again.parquet",
    ),
    Command(
        "harness",
        "evals.lm_eval.harness",
        "Sample and grade through lm-eval instead, to compare the two.",
        "--backend hf --checkpoint results/models/tiny/base --benchmarks chain2 --data results/data "
        "--config results/config/study.json --template plain --model tiny --arm base --train-seed 0 --step 0 --seed 0 "
        "--out lm_eval.parquet",
        extra="lm-eval",
    ),
    Command(
        "harness-tasks",
        "evals.lm_eval",
        "Write the benchmarks as tasks of lm-eval.",
        "--out tasks --samples 64",
    ),
)
RESULTS = (
    Command(
        "counts",
        "evals.tables.counts",
        "Count the correct, truncated and other samples of each run and problem.",
        "--graded results/graded/tiny/grpo/seed0.parquet --selection results/runs/tiny/grpo/seed0/selection.json "
        "--out counts.parquet",
    ),
    Command(
        "score",
        "evals.tables.score",
        "Estimate avg@n, pass@k and maj@k with intervals.",
        "--counts counts.parquet --k 1 2 4 --seed-variance pooled --draws 10000 --seed 2604 --out scores.parquet",
    ),
    Command(
        "compare",
        "evals.tables.compare",
        "Compare the arms of a study in pairs, with intervals and Holm's correction.",
        "results --against grpo --seed-variance pooled --draws 10000 --seed 2604 --k 4 16",
    ),
    Command(
        "compare-results",
        "evals.artifacts.compare_results",
        "Compare two studies, as folders or bundles: numbers, configuration, versions, data.",
        "results theirs.zip --markdown comparison.md --out differences.parquet",
    ),
    Command(
        "repeatability",
        "evals.repeatability",
        "Compare two evaluations of the same checkpoint: changed texts, flipped verdicts, difference of scores.",
        "--first results/graded/tiny/base/seed0.parquet --second again.parquet",
    ),
    Command(
        "power",
        "evals.claims.power",
        "Say per claim which effect a number of seeds can find, and the seeds and CPU hours that its margin needs.",
        "results --seeds 8 16 36",
    ),
    Command(
        "controls",
        "evals.tables.controls",
        "Compare prompt templates on the base model.",
        "--graded plain.parquet boxed.parquet --k 1 2 4 --draws 10000 --seed 0 --out templates.parquet",
    ),
    Command(
        "contamination",
        "evals.tables.contamination",
        "Find problems of benchmarks that resemble a training problem.",
        "--train results/data/train.parquet --benchmarks results/data/chain2.parquet --out pairs.parquet",
    ),
    Command(
        "cost",
        "evals.cost",
        "Add up the hours of every job of a study, from SLURM's accounting or Snakemake's files.",
        "results --out cost.parquet --by-arm cost_by_arm.parquet --markdown cost.md --source auto --since now-30days",
    ),
    Command(
        "report",
        "evals.report",
        "Write one HTML page about a study, also while it runs.",
        "--results results --out report.html",
        extra="report",
    ),
)
ARTIFACTS = (
    Command(
        "trace",
        "evals.artifacts.trace",
        "Follow a number of Table 1 back to samples, weights and code, and check every hash on the way.",
        "results/table1.parquet --arm asymgrpo --benchmark chain4 --metric pass_at_k --k 8 --selection validation",
    ),
    Command(
        "bundle",
        "evals.artifacts.bundle",
        "Make, check or unpack one file with a whole study.",
        "make --results results --out study.zip",
    ),
    Command(
        "pool",
        "evals.pool",
        "Join the bundles of several laboratories into one, or say in what they differ; pool settings of one study.",
        "join --bundles berlin.zip lima.zip --out pooled.zip",
    ),
    Command(
        "crate",
        "evals.artifacts.crate",
        "Describe a finished study as an RO-Crate.",
        "--results results --out results/ro-crate-metadata.json",
        extra="report",
    ),
    Command(
        "publish",
        "evals.publish",
        "Write a folder that is ready to upload: models with cards, samples, evaluations, logbook, crate, checklist.",
        "--results results --out results/published",
        extra="workflow",
        checkout="Snakefile",
    ),
)
PROJECT = (
    Command(
        "page",
        "evals.report.results_page",
        "Write docs/results.md and its figures from a study's tables.",
        "--results rebuilt --out docs/results.md --images docs/images/study",
        extra="report",
    ),
    Command(
        "pretrained-page",
        "evals.report.pretrained_page",
        "Write docs/pretrained.md and its figures from the results of a pretrained model.",
        "--results rebuilt --out docs/pretrained.md --images docs/images/smollm2",
        extra="report",
    ),
    Command(
        "audit-verifier",
        "asymgrpo.verifier.audit",
        "Grade labelled answers with the verifier and two others, and write docs/verifier.md.",
        "--cases verifier_cases.jsonl --golden tests/verifier/golden.jsonl --forms tests/verifier/forms.yaml "
        "--out docs/verifier.md",
    ),
    Command(
        "audit-references",
        "asymgrpo.tasks.references",
        "Say how the verifier reads every reference answer, and what else it accepts for it.",
        "--data-dir DATA --out references.jsonl --sample 50",
    ),
)
GROUPS = {
    "Before and beside a study": STUDY,
    "One step of a study by hand": STEPS,
    "Results": RESULTS,
    "Results as files to keep": ARTIFACTS,
    "This project itself": PROJECT,
}
COMMANDS = {command.name: command for group in GROUPS.values() for command in group}
