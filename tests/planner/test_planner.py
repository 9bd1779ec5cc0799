"""Exact counts, properties of the plan, refusals, and the command line."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.planner.cost import Cost, plan_cost
from asymgrpo.planner.memory import Memory, memory, refuse
from asymgrpo.planner.plan import check_fits, load_study, reports
from asymgrpo.planner.shapes import SHAPES, shape_from_config, shape_of
from asymgrpo.planner.state import WIDTH
from asymgrpo.planner.time import GPU_KINDS, Lengths, gpu_kind_of, step_seconds
from asymgrpo.study.config import ConfigError, Study
from asymgrpo.study.limits import MAX_SEQUENCES
from asymgrpo.study.sections.train import Train

ROOT = Path(__file__).parents[2]
PAPER, ONE_GPU = ROOT / "config/paper.yaml", ROOT / "config/paper-1gpu.yaml"
OLMO3, LLAMA = ROOT / "config/olmo3.yaml", ROOT / "config/llama.yaml"
QWEN3, QWEN2 = SHAPES["Qwen/Qwen3-4B"], SHAPES["Qwen/Qwen2.5-Math-1.5B"]
GB80 = 80 * 10**9

stages = st.integers(0, 3)
ranks = st.sampled_from([1, 2, 4, 8, 16])
trains = st.builds(
    lambda **changes: paper(**changes),
    zero_stage=stages,
    gradient_checkpointing=st.booleans(),
    logits_chunk=st.sampled_from([None, 512, 2048]),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    micro_batch=st.sampled_from([1, 2, 4]),
    max_tokens=st.integers(128, 4096),
)


PAPER_TRAIN = load_study([PAPER]).train


def paper(**changes) -> Train:
    return PAPER_TRAIN.model_copy(update=changes)


@pytest.mark.parametrize("name", list(SHAPES))
def test_parameter_counts_are_those_of_transformers(name):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = SHAPES[name]
    family = "olmo3" if shape.wide_qk_norm else "qwen3" if shape.qk_norm else "qwen2" if shape.qkv_bias else "llama"
    config = {
        "model_type": family,
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.max_positions,
        "tie_word_embeddings": shape.tied,
    } | ({"head_dim": shape.head_dim} if shape.qk_norm else {})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert shape_from_config(config) == shape


def test_the_tiny_shape_is_the_model_that_the_workflow_builds():
    from asymgrpo.models.tiny import build_model, parse_spec
    from asymgrpo.tasks.tokenizer import build_tokenizer

    model = load_study([]).models["tiny"]
    built = build_model(parse_spec(model.spec), build_tokenizer())
    assert shape_of("tiny", model).parameters == sum(p.numel() for p in built.parameters())


def test_known_totals():
    assert (QWEN3.parameters, QWEN2.parameters) == (4_022_468_096, 1_543_714_304)


@given(trains, ranks)
def test_more_ranks_never_need_more_memory(train, world_size):
    few, many = (memory(QWEN3, train, GB80, n).phases for n in (world_size, 2 * world_size))
    assert all(many[phase] <= few[phase] for phase in few)


@given(trains, st.integers(1, 2048))
def test_longer_responses_never_need_less_memory(train, more):
    longer = train.model_copy(update={"max_tokens": train.max_tokens + more})
    short, long = (memory(QWEN3, t, GB80, 4).phases for t in (train, longer))
    assert all(long[phase] >= short[phase] for phase in short)
    assert long["layers"] > short["layers"]


@given(trains)
def test_checkpointing_never_needs_more_memory(train):
    on, off = (
        memory(QWEN3, train.model_copy(update={"gradient_checkpointing": c}), GB80, 4).activations.peak
        for c in (True, False)
    )
    assert on < off


@given(trains.filter(lambda t: t.zero_stage > 0))
def test_offload_moves_state_to_the_host(train):
    here, away = (memory(QWEN3, train.model_copy(update={"offload": o}), GB80, 4).state for o in (False, True))
    passing = WIDTH[train.dtype] * QWEN3.head_parameters  # the buffer through which each gradient goes
    assert here.host == 0
    assert away.optimizer == (passing if train.zero_stage < 3 else 0)
    assert away.host >= here.optimizer


@given(st.integers(1, 4000), st.integers(1, 95))
def test_longer_responses_take_longer(response, more):
    gpu_kind, train = gpu_kind_of("h100-80gb"), paper()
    short, long = (
        step_seconds(QWEN3, train, 4, gpu_kind, Lengths(120, n), 250_000).total for n in (response, response + more)
    )
    assert long > short


ARMS_WITH_DAPO = {"arms": ["grpo", "dapo"], "seeds": [0, 1, 2], "analyses": ["asymgrpo"], "analysis_seeds": [0]}


def with_dapo(**train) -> Study:
    """The paper's study with DAPO among its arms."""
    study = load_study([PAPER])
    plan = study.study.model_copy(update=ARMS_WITH_DAPO)
    return study.model_copy(update={"study": plan, "train": study.train.model_copy(update=train)})


def cost_of(study: Study, lengths: Lengths) -> Cost:
    gpu_kind, train = gpu_kind_of("h100-80gb"), study.train
    return plan_cost(study, "qwen3_4b", QWEN3, gpu_kind, memory(QWEN3, train, GB80, train.world_size), lengths)


def test_groups_that_are_drawn_again_are_charged_to_the_arms_that_do_so():
    """Every second group has no signal: four attempts sample 1 + 1/2 + 1/4 + 1/8 + 1/16 times the tokens."""
    plain, dynamic = cost_of(with_dapo(), Lengths(120, 768, degenerate=0.5)).kinds
    assert [(kind.n, kind.attempts) for kind in (plain, dynamic)] == [(4, 0), (3, 4)]
    assert plain.tokens == with_dapo().train.prompts_per_step * with_dapo().train.group_size * 768
    assert dynamic.tokens == pytest.approx(1.9375 * plain.tokens)
    assert dynamic.step.reward == pytest.approx(1.9375 * plain.step.reward)
    assert dynamic.step.rollout > 1.9375 * plain.step.rollout, "each round waits for its longest response"
    assert (dynamic.step.update, dynamic.step.score) == (plain.step.update, plain.step.score)
    never = cost_of(with_dapo(), Lengths(120, 768, degenerate=0.0)).kinds
    assert never[1].tokens == plain.tokens
    assert never[0].step == plain.step


def test_a_budget_of_tokens_ends_runs_in_the_plan_too():
    lengths = Lengths(120, 768, degenerate=0.5)
    plain, _ = cost_of(with_dapo(), lengths).kinds
    budget = int(100 * plain.tokens)
    cost = cost_of(with_dapo(token_budget=budget), lengths)
    assert [kind.steps for kind in cost.kinds] == [100, 52]
    free = cost_of(with_dapo(), lengths)
    assert [kind.steps for kind in free.kinds] == [with_dapo().train.steps] * 2
    assert cost.training_hours == pytest.approx(4 * sum(k.n * k.steps * k.step.total / 3600 for k in cost.kinds))
    assert cost.training_hours < free.training_hours
    assert cost.longest < free.longest


def test_the_report_tells_arms_that_sample_more_apart():
    text = reports(with_dapo(), "h100-80gb", 4, 120, 768, degenerate=0.25)[0]
    assert "| dynamic sampling, 4 attempts |" in text
    assert "training, 3 runs x 200 steps (dynamic sampling, 4 attempts)" in text
    assert "share of groups without a signal: 0.25" in text
    assert "without a signal" not in reports(load_study([PAPER]), "h100-80gb", 4, 120, 768)[0]


@pytest.mark.parametrize(
    "files", [[PAPER], [PAPER, ONE_GPU], [OLMO3], [PAPER, LLAMA]], ids=["paper", "paper-1gpu", "olmo3", "llama"]
)
def test_the_presets_fit_80_gb_and_make_sense(files):
    from workflow.checks import check_meaning

    study = load_study(files)
    assert check_meaning(study) == []
    assert check_fits(study, "h100-80gb") == []
    assert all("GPU-hours" in text for text in reports(study, "h100-80gb", study.train.world_size, 120, None))


@pytest.mark.parametrize(
    ("changes", "gpu", "words"),
    [
        ({}, "a100-40gb", ["qwen3_4b needs", "during rollout", "40 GB", "engine_memory_fraction"]),
        ({"zero_stage": 0}, "h100-80gb", ["during update", "raise train.zero_stage"]),
        ({"micro_batch": 64}, "h100-80gb", ["during layers", "micro_batch"]),
        ({"logits_chunk": None, "micro_batch": 8}, "h100-80gb", ["during logits", "logits_chunk"]),
        ({"engine_memory_fraction": 0.145}, "h100-80gb", ["leaves rollouts room", "engine_memory_fraction"]),
        ({"max_tokens": 40_000}, "h100-80gb", ["40960 tokens", "41024"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_plan_that_cannot_fit_is_refused(changes, gpu, words):
    train = paper(**changes)
    found = memory(QWEN3, train, int(gpu_kind_of(gpu).memory_gb * 1e9), 4)
    with pytest.raises(ConfigError) as caught:
        refuse("qwen3_4b", QWEN3, train, found)
    for word in words:
        assert word in str(caught.value)


KINDS = ["a100-40gb", "a100-80gb", "h100-80gb", "h200-141gb", "mi300x-192gb"]
ONE = {"ranks_per_node": 1, "zero_stage": 2}
OFFLOAD = ONE | {"offload": True, "engine_memory_fraction": 0.7}
STAGED = [
    # What is asked of one GPU (four where ranks are not named), the component that takes most where it does not fit, kinds on
    # which it does.
    (OFFLOAD, "layers", "sum of gradients 16.1", KINDS[1:]),
    (ONE | {"engine_memory_fraction": 0.15}, "update", "optimizer (moments, float32 weights) 48.3", KINDS[3:]),
    ({"micro_batch": 16}, "layers", "one layer's backward pass 18.0", KINDS[1:]),
    ({"micro_batch": 64}, "layers", "one layer's backward pass 71.8", KINDS[4:]),
    ({"gradient_checkpointing": False}, "layers", "activations kept 125.4", KINDS[4:]),
    ({"logits_chunk": None, "micro_batch": 8}, "logits", "logits 59.7", KINDS[3:]),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "phase", "component", "enough"), STAGED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_every_kind_refuses_what_does_not_fit_and_names_what_takes_most(kind, changes, phase, component, enough):
    train = paper(**changes)
    found = memory(QWEN3, train, int(gpu_kind_of(kind).memory_gb * 1e9), train.world_size)
    if kind in enough:
        refuse("qwen3_4b", QWEN3, train, found)
        return
    with pytest.raises(ConfigError) as caught:
        refuse("qwen3_4b", QWEN3, train, found)
    (sentence,) = (line for line in str(caught.value).splitlines() if f"during {phase}" in line)
    assert f"the most is taken by {component}" in sentence
    assert f"which has {gpu_kind_of(kind).memory_gb:g} GB" in sentence


@given(trains, ranks, st.sampled_from(KINDS))
def test_the_components_of_a_phase_add_up_and_decide_what_is_refused(train, world_size, kind):
    found = memory(QWEN3, train, int(gpu_kind_of(kind).memory_gb * 1e9), world_size)
    for phase, needed in found.phases.items():
        sizes = [size for _, size in found.alive(phase)]
        assert needed == sum(sizes)
        assert sizes == sorted(sizes, reverse=True)
    too_large = {phase for phase, needed in found.phases.items() if needed > found.capacity}
    assert too_large == {phase for phase in found.phases if f"GB per GPU during {phase}," in refusal(train, found)}


def refusal(train: Train, found: Memory) -> str:
    """What is said against a plan; nothing when it fits."""
    try:
        refuse("m", QWEN3, train, found)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_checkpoint_being_written_counts_as_disk():
    """Two are kept, and the third exists beside them before the oldest goes: 169 GB for Qwen3-4B, not 113."""
    text = reports(load_study([PAPER]), "h100-80gb", 4, 120, None)[0]
    assert "169 GB of checkpoints" in text


@given(trains, st.integers(1, 60_000))
def test_keeping_activations_of_short_passes_never_needs_less_memory(train, limit):
    kept = KeepsActivations.model_construct(**(train.model_dump() | {"recompute_above": limit}))
    before, after = (memory(QWEN3, t, GB80, 4).activations.peak for t in (train, kept))
    assert after >= before
    everything = KeepsActivations.model_construct(**(train.model_dump() | {"recompute_above": 10**9}))
    whole = memory(QWEN3, train.model_copy(update={"gradient_checkpointing": False}), GB80, 4).activations.peak
    assert memory(QWEN3, everything, GB80, 4).activations.peak >= 0.99 * whole


def test_sequences_decoded_together_take_memory_from_the_cache(monkeypatch):
    """A row of the vocabulary for each: logits, and four of float32."""
    before = memory(QWEN3, paper(), GB80, 4).vllm_cache
    monkeypatch.setattr("asymgrpo.planner.memory.MAX_SEQUENCES", 2 * MAX_SEQUENCES)
    rows = MAX_SEQUENCES * QWEN3.vocab_size * (2 + 4 * 4)
    assert before - memory(QWEN3, paper(), GB80, 4).vllm_cache == rows


class KeepsActivations(Train):
    """A training section with the field, whether or not the configuration has it."""

    recompute_above: int = 0


def test_the_smaller_model_cannot_have_the_longer_responses():
    study, name = load_study([PAPER]), "qwen2p5_math_1p5b"
    assert check_fits(study, "h100-80gb") == [], "with lengths of its own it fits"
    longer = study.models | {name: study.models[name].model_copy(update={"train": {}})}
    (sentence,) = check_fits(study.model_copy(update={"models": longer}), "h100-80gb")
    assert "4096 tokens" in sentence
    assert "5120" in sentence


@pytest.mark.parametrize("name", ["default", "smollm2"])
def test_the_small_studies_have_a_plan_too(name):
    """Tiny and packaged models, the torch sampler, embedded data."""
    study = load_study([ROOT / f"config/{name}.yaml"])
    (text,) = reports(study, "l40s-48gb", 1, 20, None)
    assert "vLLM's cache holds" not in text


def test_every_machine_is_whole():
    for kind in yaml.safe_load(GPU_KINDS.read_text()):
        assert gpu_kind_of(kind).source
    with pytest.raises(ConfigError, match="h100-80gb"):
        gpu_kind_of("h1000")


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ConfigError, match="'mamba'"):
        shape_from_config({"model_type": "mamba"})


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "ignore", "-m", "asymgrpo.planner", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_prints_tables_or_one_sentence_per_reason():
    whole = run("--config", str(PAPER), "--gpu", "h100-80gb", "--gpus", "4")
    assert whole.returncode == 0
    assert "| **peak** of 80 |" in whole.stdout
    small = run("--config", str(PAPER), "--gpu", "a100-40gb", "--gpus", "4")
    assert small.returncode == 2
    assert all(line.startswith("error: planner: ") for line in small.stderr.splitlines())
    other = run("--config", str(PAPER), "--gpu", "h100-80gb", "--gpus", "8")
    assert other.returncode == 2
    assert "train.ranks_per_node = 4" in other.stderr


def test_files_may_follow_one_option_as_for_snakemake():
    listed, repeated = run("--config", str(PAPER), str(ONE_GPU)), run("--config", str(PAPER), "--config", str(ONE_GPU))
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout == repeated.stdout
    assert "paper-1gpu" in listed.stdout


def test_configurations_merge_as_snakemake_merges_them():
    study = load_study([PAPER, ONE_GPU])
    assert (study.name, study.train.ranks_per_node, study.train.max_tokens) == ("paper-1gpu", 1, 4096)
    assert study.arms["grpo_entropy"] == {"entropy_coef": 0.001}
    with pytest.raises(ConfigError, match=r"^config: nowhere\.yaml is missing; give"):
        load_study([Path("nowhere.yaml")])
