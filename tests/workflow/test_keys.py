"""Every key of a configuration, and exactly the jobs that a change of it must plan: no more and no fewer."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dry
import pytest
import snakemake.cli  # noqa: F401 - imported here, once for every forked call
from pydantic import BaseModel

from asymgrpo.study.config import Study
from asymgrpo.study.effects import ADDED, EVERYTHING, STAGES, made_again
from asymgrpo.study.effects import NOTHING as NO_JOB

pytestmark = pytest.mark.slow

# What the mini study has: two arms with one seed, two benchmarks, the base model beside them. Beside what is said here, every
# change plans `study`, which writes the configuration down for readers.
NOTHING: dict[str, int] = {}
ESTIMATES = {"score": 1, "table1": 1, "differences": 1, "coverage": 1}
TABLES = {**ESTIMATES, "run_scores": 1, "claims": 1, "robust": 1, "figure": 4}  # the curves of training stay
TRAINED = {"train": 2, "select": 2, "sample": 2, "grade": 2, "counts": 1, **TABLES, "figure": 5}
ONE_MORE = {**TRAINED, "train": 1, "select": 1, "sample": 1, "grade": 1}
ALL_TRAINED = {**TRAINED, "sample": 3, "grade": 3}  # the base model is sampled again, too
SAMPLED = {
    "sample": 3,
    "grade": 3,
    "counts": 1,
    **TABLES,
}  # one job of each run, also when it samples one benchmark only
OVERLAP = {"contamination": 1}
THEORY = {"theory": 1, "figure": 3}
SECOND = {"second": {"kind": "gguf", "template": "chat_boxed"}}

# key -> (changes that give it another value, jobs that they plan)
CHANGES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "name": ({"name": "other"}, NOTHING),
    "checkpoints": ({"checkpoints": "elsewhere-checkpoints"}, NOTHING),
    "arms": ({"arms": {"asymgrpo_clip_higher": {"clip_high": 0.3}}}, {**ONE_MORE, "theory": 1, "figure": 8}),
    "study.models": (
        {"study": {"models": ["tiny", "second"]}, "models": SECOND},
        {"base_model": 1, **ALL_TRAINED},
    ),
    "study.arms": ({"study": {"arms": ["grpo", "asymgrpo_clip_higher", "asymgrpo"]}}, ONE_MORE),
    "study.seeds": ({"study": {"seeds": [0, 1]}}, TRAINED),
    "study.analyses": (
        {"study": {"analyses": ["positive_only"], "analysis_seeds": [0]}},
        {
            **{"train": 1, "select": 1, "sample": 1, "grade": 1, "counts": 1, "figure": 1},
            **{
                "run_scores": 1,
                "claims": 1,
                "robust": 1,
                "score": 1,
                "differences": 1,
            },  # of every arm, not those of Table 1
        },
    ),
    "study.analysis_seeds": ({"study": {"analysis_seeds": [7]}}, NOTHING),
    "data.dir": ({"data": {"dir": "docs"}}, NOTHING),  # where files lie decides nothing: their content is checked
    "data.train_limit": ({"data": {"train_limit": 20}}, {"problems": 1, **OVERLAP, **TRAINED}),
    "data.validation_size": ({"data": {"validation_size": 9}}, {"problems": 2, **OVERLAP, **TRAINED}),
    "data.split_by": ({"data": {"split_by": "problem"}}, {"problems": 2, **OVERLAP, **TRAINED}),
    "data.embedded.train_size": ({"data": {"embedded": {"train_size": 65}}}, {"problems": 2, **OVERLAP, **TRAINED}),
    # training looks at chain4, because a rule selects on it
    "data.embedded.benchmark_size": (
        {"data": {"embedded": {"benchmark_size": 9}}},
        {"problems": 2, **OVERLAP, **ALL_TRAINED},
    ),
    "data.embedded.seed": ({"data": {"embedded": {"seed": 2}}}, {"problems": 4, **OVERLAP, **ALL_TRAINED}),
    "models.kind": ({"study": {"models": ["second"]}, "models": SECOND}, {"base_model": 1, **ALL_TRAINED}),
    "models.template": ({"models": {"tiny": {"template": "plain_boxed"}}}, ALL_TRAINED),
    "models.hub_id": ({"models": {"tiny": {"hub_id": "x/y"}}}, NOTHING),  # this model does not come from there
    "models.spec": ({"models": {"tiny": {"spec": {"seed": 1}}}}, {"base_model": 1, **ALL_TRAINED}),
    "models.knowledge_cutoff": ({"models": {"tiny": {"knowledge_cutoff": "2025-05"}}}, {"table1": 1}),
    "models.paper": ({"models": {"tiny": {"paper": "Qwen3-4B"}}}, {"table1": 1}),
    "models.train": ({"models": {"tiny": {"train": {"steps": 3}}}}, TRAINED),
    "models.evaluation": ({"models": {"tiny": {"evaluation": {"temperature": 0.5}}}}, SAMPLED),
    "evaluation.benchmarks": (
        {"evaluation": {"benchmarks": ["chain2", "chain4", "chain3"]}},
        {"problems": 1, **OVERLAP, **SAMPLED},
    ),
    "evaluation.limit": ({"evaluation": {"limit": 4}}, {"problems": 2, **OVERLAP, **ALL_TRAINED}),
    "evaluation.samples": (
        {"evaluation": {"samples": {"chain2": 8}}},
        {**SAMPLED, "sample": 2, "grade": 2},
    ),  # the base model has its own
    "evaluation.base_samples": ({"evaluation": {"base_samples": 32}}, {"sample": 1, "grade": 1, "counts": 1, **TABLES}),
    "evaluation.k": ({"evaluation": {"k": [1]}}, TABLES),
    "evaluation.temperature": ({"evaluation": {"temperature": 0.9}}, SAMPLED),
    "evaluation.top_p": ({"evaluation": {"top_p": 0.9}}, SAMPLED),
    "evaluation.max_tokens": ({"evaluation": {"max_tokens": 50}}, SAMPLED),
    # candidates are then measured on other sets; one figure needs both kinds of rule
    "evaluation.selection": ({"evaluation": {"selection": ["validation"]}}, {**TRAINED, "figure": 4}),
    "evaluation.control_templates": (
        {"evaluation": {"control_templates": ["plain_boxed"]}},
        {"sample": 1, "grade": 1, "control": 1},
    ),
    "evaluation.endpoint": ({"evaluation": {"endpoint": "late"}}, {"claims": 1}),
    "evaluation.engine": ({"evaluation": {"engine": "vllm"}}, SAMPLED),
    "evaluation.batch": ({"evaluation": {"batch": 39}}, SAMPLED),
    "evaluation.bootstrap_draws": ({"evaluation": {"bootstrap_draws": 400}}, {**ESTIMATES, "robust": 1, "figure": 3}),
    "evaluation.bootstrap_seed": ({"evaluation": {"bootstrap_seed": 1}}, {**ESTIMATES, "robust": 1, "figure": 3}),
    "evaluation.seed_variance": ({"evaluation": {"seed_variance": "own"}}, {**ESTIMATES, "figure": 3}),
    "machine.kind": ({"machine": {"kind": "h100-80gb"}}, NOTHING),
    "machine.cpus_per_rank": ({"machine": {"cpus_per_rank": 2}}, NOTHING),
    "machine.memory_gb": ({"machine": {"memory_gb": 9}}, NOTHING),
    "machine.hours": ({"machine": {"hours": 5}}, NOTHING),
}
CHANGES |= {
    f"theory.{key}": ({"theory": {key: value}}, THEORY)
    for key, value in {
        **{"prompts": 4, "answers": 5, "most_correct": 1, "spread": 1.0, "seeds": 3, "seed": 1, "learning_rate": 0.9},
        **{"natural_learning_rate": 0.2, "success": [0.5], "k": [1], "max_steps": 31, "cases": 3},
    }.items()
}
CHANGES |= {
    f"probe.{key}": ({"probe": {key: value}}, NOTHING)
    for key, value in {
        **{"seeds": [1], "states": [1, 2], "batches": 2, "arms": ["reinforce"], "responses": 3, "prompts": 1},
        **{"linear_prompts": 1},
    }.items()
}
WITHOUT_EFFECT = {
    **{"checkpoint_every": 5, "keep_checkpoints": 3, "candidates": "selectable", "verify_weights_every": 1},
    **{"nodes": 2, "ranks_per_node": 2, "recompute_above": 512},
}
TRAINING = {
    **{"steps": 3, "prompts_per_step": 8, "group_size": 8, "updates_per_rollout": 4, "learning_rate": 1e-3},
    **{"warmup_updates": 1, "adam_beta1": 0.8, "adam_beta2": 0.99, "adam_eps": 1e-7, "weight_decay": 0.1},
    **{"max_grad_norm": 0.5, "temperature": 0.9, "max_prompt_tokens": 31, "max_tokens": 40, "truncated": "mask"},
    **{"importance_cap": 2.0, "mismatch_gate": 1.02, "rollout_engine": "vllm", "engine_memory_fraction": 0.3},
    **{"micro_batch": 2, "logits_chunk": 64, "gradient_checkpointing": True, "zero_stage": 1, "evaluate_every": 2},
    **{"evaluate_samples": 3, "evaluate_temperature": 0.5, "evaluate_max_tokens": 40, "displacement_every": 2},
    **{"rollouts_every": 2, "micro_batch_tokens": 100, "head_dtype": "model", "token_budget": 1000},
}
CHANGES |= {f"train.{key}": ({"train": {key: value}}, NOTHING) for key, value in WITHOUT_EFFECT.items()}
CHANGES |= {f"train.{key}": ({"train": {key: value}}, TRAINED) for key, value in TRAINING.items()}
CHANGES["train.group_size"] = ({"train": {"group_size": 8}}, {**TRAINED, "theory": 1, "figure": 8})
CHANGES["train.dtype"] = (
    {"train": {"dtype": "bfloat16", "zero_stage": 1}},
    ALL_TRAINED,
)  # samples are drawn in it, too
CHANGES["train.offload"] = ({"train": {"offload": True, "zero_stage": 1}}, TRAINED)
CHANGES["train.top_p"] = ({"train": {"top_p": 1}}, NOTHING)  # no other value is allowed

ELSEWHERE = {
    "results": "another folder has no results yet",
    "protocol": "it needs a file that declares the study: tests/workflow/test_declared_study.py",
    "on_top_of": "a matter between files that no job knows of: tests/workflow/test_on_top.py",
    "artifacts": "a bundle takes the place of the jobs: tests/artifacts",
    "containers": "they need Apptainer: tests/containers",
    "data.source": "the other sources have other data sets: tests/workflow/test_smollm2.py",
    "data.train": "another embedded set has other benchmarks: tests/workflow/test_smollm2_words.py",
}


SAID_OTHERWISE = {
    "models.hub_id": "a tiny model does not come from the hub",
    "study.analysis_seeds": "no analysis is run",
    **{key: "`all` makes no probes: tests/probe" for key in CHANGES if key.startswith("probe.")},
    "train.top_p": "no other value is allowed",
}


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration; those of a model, of which there may be several, once."""
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner and name != "containers":
            yield from keys(inner[0], f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_key_is_walked():
    assert sorted([*CHANGES, *ELSEWHERE]) == sorted(keys(Study))


def test_what_readers_are_told_is_what_is_planned():
    """docs/keys.md names the first kind of job that a change makes again; a study's lists only add jobs."""
    wrong = {}
    for key, (_, jobs) in CHANGES.items():
        first = next((stage for stage in STAGES if stage in jobs), "tables" if jobs else NO_JOB)
        told = made_again(key.replace("models.", "models.NAME.").split("."))
        if key not in SAID_OTHERWISE and told != first and not (told == ADDED and "train" in jobs):
            wrong[key] = (told, first)
    assert not wrong, wrong
    assert made_again(["results"]) == EVERYTHING


def test_a_change_of_a_key_plans_what_depends_on_it(results, tmp_path):
    """The whole table; two dry runs at a time, each in a process of its own."""

    def planned(key: str) -> dict[str, int]:
        changes, _ = CHANGES[key]
        words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in changes.items()]
        said = dry.said(tmp_path / key, "-n", "all", *dry.arguments(Path(results), *words))
        found = dry.planned(said)
        assert found.pop("study", 0) == (key != "train.top_p"), f"{key}: the configuration is written down again"
        return found

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(CHANGES, pool.map(planned, CHANGES), strict=True))
    wrong = {key: (found[key], jobs) for key, (_, jobs) in CHANGES.items() if found[key] != jobs}
    assert not wrong, "\n".join(f"{key}: plans {got}, should plan {jobs}" for key, (got, jobs) in wrong.items())
