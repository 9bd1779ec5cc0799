"""What a study says of its machine and of its models, checked before anything is queued, and what its jobs then ask for."""

from pathlib import Path

import pytest
from snakemake.utils import update_config

from asymgrpo.planner.plan import job_needs, load_study
from asymgrpo.study.config import ConfigError, Study
from asymgrpo.study.sections.train import indivisible
from asymgrpo.study.stored import merged
from workflow.checks import load
from workflow.slurm.launch import request

ROOT = Path(__file__).parents[2]
PAPER, ONE_GPU = ROOT / "config/paper.yaml", ROOT / "config/paper-1gpu.yaml"
QWEN3, QWEN2 = "qwen3_4b", "qwen2p5_math_1p5b"


def changed(*files: Path, **changes) -> Study:
    """A study as Snakemake would load it from these files and changes, with all checks."""
    mapping = merged(files)
    update_config(mapping, changes)
    return load(mapping)


@pytest.mark.parametrize("files", [(), (PAPER,), (PAPER, ONE_GPU)])
def test_the_studies_are_sound(files):
    changed(*files)


def test_a_model_has_lengths_of_its_own():
    study = changed(PAPER)
    assert (study.train_of(QWEN3).max_tokens, study.train_of(QWEN2).max_tokens) == (4096, 3072)
    assert (study.evaluation_of(QWEN3).max_tokens, study.evaluation_of(QWEN2).max_tokens) == (4096, 3072)
    lengths = {"max_tokens", "evaluate_max_tokens"}
    assert study.train_of(QWEN2).model_dump(exclude=lengths) == study.train.model_dump(exclude=lengths)


@pytest.mark.parametrize(
    ("files", "changes", "words"),
    [
        (
            (),
            {"models": {"tiny": {"train": {"max_token": 3}}}},
            ["models.tiny.train.max_token", "did you mean 'models.tiny.train.max_tokens'"],
        ),
        ((), {"models": {"tiny": {"train": {"steps": 0}}}}, ["models.tiny.train.steps = 0", "greater than 0"]),
        (
            (),
            {"models": {"tiny": {"evaluation": {"samples": {"default": 1}}}}},
            ["models.tiny.evaluation.samples", "other questions"],
        ),
        (
            (),
            {"models": {"tiny": {"train": {"micro_batch": 48}}}},
            ["models.tiny.train.micro_batch = 48", "32 sequences"],
        ),
        (
            (),
            {"models": {"tiny": {"train": {"max_tokens": 49}}}},
            ["evaluation.max_tokens = 48", "models.tiny.train.max_tokens = 49"],
        ),
        (
            (),
            {"models": {"tiny": {"train": {"ranks_per_node": 3}}}},
            ["models.tiny.train.prompts_per_step = 16", "on 3 ranks"],
        ),
        ((), {"train": {"dtype": "bfloat16"}}, ["train.zero_stage = 0", "bfloat16 gradients", "1, 2 or 3"]),
        ((), {"machine": {"hours": None}}, ["machine.hours", "must be given", "cpu"]),
        ((), {"machine": {"kind": "h1000"}}, ["machine.kind", "'h1000'", "h100-80gb"]),
        ((), {"machine": {"king": "cpu"}}, ["machine.king", "did you mean 'machine.kind'"]),
        (
            (PAPER,),
            {"machine": {"kind": "a100-40gb"}},
            ["qwen3_4b", "GB per GPU during rollout", "engine_memory_fraction"],
        ),
        ((PAPER,), {"train": {"engine_memory_fraction": 0.9}}, ["qwen3_4b", "during rollout"]),
        (
            (PAPER,),
            {"models": {QWEN2: {"train": {"max_tokens": 4096}}}},
            ["qwen2p5_math_1p5b was made for 4096 tokens", "5120"],
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_run_is_refused_with_its_remedy(files, changes, words):
    with pytest.raises(ConfigError) as caught:
        changed(*files, **changes)
    message = str(caught.value)
    assert all(line.startswith("config: ") for line in message.splitlines())
    for word in words:
        assert word in message


def test_k_may_be_too_large_for_some_benchmarks_but_not_for_all():
    """The paper's numbers of samples: 5 on the larger sets, 10 on the smaller."""
    samples = {"default": 5, "aime24": 10, "aime25": 10, "amc23": 10}
    samples = {"evaluation": {"samples": samples, "k": [1, 2, 5]}}
    changed(PAPER, **samples)
    samples["evaluation"]["k"] = [1, 2, 6]
    with pytest.raises(ConfigError, match=r"evaluation\.k has 6, more than half of the samples .*n = 10"):
        changed(PAPER, **samples)


def test_sizes_that_do_not_divide_are_named():
    train = load_study([]).train
    assert indivisible(train, "train") == []
    assert (
        "micro_batch = 64 does not divide the 32 sequences"
        in indivisible(train.model_copy(update={"micro_batch": 64}), "t")[0]
    )
    assert "make it a multiple of 12" in indivisible(train.model_copy(update={"ranks_per_node": 3}), "t")[0]


def asked(study: Study, model: str) -> dict:
    return {name: value for name, value in request(study, model).items() if value is not None}


def test_a_cpu_study_asks_for_no_gpu():
    assert asked(changed(), "tiny") == {"nodes": 1, "cpus_per_task": 1, "mem_mb": 8000, "runtime": 240}


def test_jobs_ask_for_a_gpu_per_rank_and_for_what_the_planner_expects():
    study = changed(PAPER)
    needs = job_needs(study, QWEN3)
    expected = {"nodes": 1, "gpu": 4, "mpi": "srun", "tasks_per_node": 4, "cpus_per_task": 8}
    assert asked(study, QWEN3) == expected | {
        "mem_mb": round(1000 * needs.memory_gb),
        "runtime": round(60 * needs.hours),
    }
    one = asked(changed(PAPER, ONE_GPU), QWEN3)
    assert (one["gpu"], "mpi" in one) == (1, False)
    assert one["mem_mb"] > asked(study, QWEN3)["mem_mb"], "offload fills the host"


def test_ranks_alone_on_their_nodes_are_not_multiplied_by_gpus():
    study = changed(PAPER, train={"nodes": 4, "ranks_per_node": 1}, machine={"memory_gb": 200, "hours": 3})
    expected = {"nodes": 4, "gpu": 4, "mpi": "srun", "tasks": 4, "tasks_per_gpu": 0, "cpus_per_task": 8}
    assert asked(study, QWEN3) == expected | {"mem_mb": 200_000, "runtime": 180}
