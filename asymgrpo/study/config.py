"""The study's configuration: one sentence per field, every unit and convention named, checked before anything runs.

`parse` turns a plain mapping into a `Study` or raises `ConfigError`, a sentence per problem. What a well-formed study must
also mean (names that exist, sizes that divide) is checked in workflow/checks.py, before the DAG is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from asymgrpo.errors import InputError
from asymgrpo.section import Fraction, Once, Positive, Section, Seed
from asymgrpo.study.config_errors import NAME, known_keys, sentence
from asymgrpo.tasks.benchmarks import Month


class ConfigError(InputError):
    """The configuration is wrong; the message names the key and the remedy."""


class Embedded(Section):
    """Sizes of the generated sets."""

    train_size: Positive
    """Problems of the training set, those held out for validation included."""
    benchmark_size: Positive
    """Problems of each benchmark."""
    seed: Seed
    """Random seed of the generated problems."""


class Data(Section):
    """Where problems come from."""

    source: Literal["embedded", "directory", "hub"]
    """embedded: the workflow generates problems; directory: it reads files of `dir`; hub: it downloads them from Hugging Face."""
    dir: Path | None = None
    """Folder with the benchmark files when source is `directory`."""
    train: str
    """Name of the training set (asymgrpo.tasks)."""
    train_limit: Positive | None = None
    """Use only the first problems of the training set (small real-data runs)."""
    validation_size: Positive
    """Problems held out of the training set: the rule `validation` selects checkpoints on them and never looks at a benchmark."""
    embedded: Embedded
    """Sizes and seed of the generated sets; other sources do not use them."""


class Model(Section):
    """A base model, materialised once into a local directory."""

    kind: Literal["tiny", "gguf", "hub"]
    """tiny: trained by the workflow; gguf: shipped in a Python package; hub: downloaded on the head node."""
    template: str
    """Prompt template (asymgrpo.tasks.prompts)."""
    hub_id: str | None = None
    """Name on the Hugging Face hub, for example Qwen/Qwen3-4B, when `kind` is `hub`."""
    paper: str | None = None
    """Name of this model in the paper's table (evals.tables.paper_values): Table 1 has its numbers beside ours; null: none."""
    knowledge_cutoff: Month | None = None
    """Month, YYYY-MM, after which no text that it was trained on was written; that of its release is a safe bound. Table 1 marks
    the benchmarks that are younger; null: not known, no mark."""
    spec: dict[str, Any] = Field(default={})
    """Architecture and supervised training of a tiny model."""
    train: dict[str, Any] = Field(default={})
    """Changes to the study's `train` for this model: lengths, batch, memory."""
    evaluation: dict[str, Any] = Field(default={})
    """Changes to the study's `evaluation` for this model: how it samples, not what it is asked."""


NO_EFFECT_ON_RESULTS = (
    "checkpoint_every",
    "keep_checkpoints",
    "candidates",
    "verify_weights_every",
    "nodes",
    "ranks_per_node",
    "recompute_above",
)
"""Fields of `train` that results do not depend on: changing one trains nothing again, and a resumed run takes the new value (but
for its number of ranks, asymgrpo.training.checkpoint)."""


class Train(Section):
    """Everything about training that all arms share; what differs between arms is in asymgrpo.method.arms."""

    steps: Positive
    """Rollout batches, not optimizer updates."""
    prompts_per_step: Positive
    """Prompts of one rollout batch; the batch has prompts_per_step x group_size responses."""
    group_size: Annotated[int, Field(ge=2)]
    """G: rollouts per prompt."""
    updates_per_rollout: Positive
    """Optimizer updates per rollout batch; with 1 the ratio is always 1 and clipping never acts."""
    learning_rate: Annotated[float, Field(gt=0, le=1e30)]
    """Of AdamW, constant after warm-up. Above 1e30 Adam's first step, which divides it by 1 - beta1, has no number in float32."""
    warmup_updates: Annotated[int, Field(ge=0)]
    """Optimizer updates before the learning rate is reached: update i takes i / (warmup_updates + 1) of it. 0: no warm-up."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)]
    """Decay per update of AdamW's mean of gradients."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)]
    """Decay per update of AdamW's mean of squared gradients."""
    adam_eps: Annotated[float, Field(gt=0)]
    """Added to the square root of AdamW's mean of squared gradients, after bias correction."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Decoupled, as in AdamW: each update shrinks weights by learning_rate x weight_decay."""
    max_grad_norm: Annotated[float, Field(gt=0)]
    """Global L2 norm at which the gradient of one update is clipped."""
    temperature: Annotated[float, Field(gt=0)]
    """Of sampling; log-probabilities, ratios and entropies are all taken at this temperature."""
    top_p: float
    """Must be 1: a truncated distribution biases the ratio by the mass it drops."""
    max_prompt_tokens: Positive
    """Cap on prompt tokens, chat template included; problems of the training set with longer prompts are left out."""
    max_tokens: Positive
    """Cap on response tokens, the end token included; also the constant L of Dr.GRPO."""
    truncated: Literal["zero", "mask"]
    """A response cut at max_tokens: its reward is 0. `zero` trains on its tokens, `mask` on none of them; it counts in its group
    either way."""
    importance_cap: Annotated[float, Field(gt=1)] | None
    """Cap of the truncated importance weight pi_trainer / pi_sampler; null turns the correction off. Same for all arms."""
    mismatch_gate: Annotated[float, Field(gt=1)] | None
    """Stop when the mean over tokens of exp|log pi_trainer - log pi_sampler| exceeds this; null only measures."""
    rollout_engine: Literal["torch", "vllm"]
    """What generates the responses that are trained on: torch (our own decoding, no further install) or vllm."""
    engine_memory_fraction: Fraction = 0.35
    """Share of a GPU's memory, from 0 to 1, that vLLM may take for weights and cache (ignored by the torch sampler)."""
    micro_batch: Positive
    """Sequences per forward and backward pass on one rank."""
    logits_chunk: Positive | None
    """Tokens per slice of the [tokens, vocabulary] logits, recomputed in the backward pass; null computes them at once."""
    micro_batch_tokens: Positive | None = None
    """Most tokens of one pass, padding included: sequences of similar length fill micro-batches up to it, and `micro_batch` is
    ignored; null takes `micro_batch` sequences a pass."""
    gradient_checkpointing: bool
    """Recompute each layer's activations in the backward pass: less memory, one more forward pass."""
    recompute_above: Annotated[int, Field(ge=0)] = 0
    """With gradient_checkpointing: a pass over at most this many tokens, padding included, keeps its activations instead."""
    dtype: Literal["float32", "bfloat16"]
    """Of forward and backward; master weights and optimizer state are float32 in either case."""
    head_dtype: Literal["float32", "model"] = "float32"
    """Of the logits, in trainer and sampler alike: float32 sums of the products of the output layer, whatever `dtype` is, or
    `dtype` itself (`model`): a logit of 16 to 32 then moves in steps of 0.125 in bfloat16."""
    zero_stage: Annotated[int, Field(ge=0, le=3)]
    """What DeepSpeed shards over ranks: 0 nothing, 1 optimizer state, 2 gradients too, 3 weights too."""
    offload: bool
    """Keep optimizer state in host memory (ZeRO 1 to 3)."""
    nodes: Positive
    """Machines of one training job."""
    ranks_per_node: Positive
    """Processes per node, one GPU each; 1 on CPU."""
    evaluate_every: Positive
    """Steps between candidates for checkpoint selection; also the last step is one."""
    evaluate_samples: Positive
    """Samples per problem in that evaluation."""
    evaluate_temperature: Annotated[float, Field(ge=0)]
    """Sampling temperature of that evaluation; 0 is greedy decoding."""
    evaluate_max_tokens: Positive
    """Cap on response tokens of that evaluation, the end token included."""
    checkpoint_every: Positive
    """Steps between resumable checkpoints: the most that a killed run loses."""
    keep_checkpoints: Annotated[int, Field(ge=1)]
    """Newest resumable checkpoints kept on disk; older ones are deleted."""
    displacement_every: Positive
    """Steps between measurements of log-probability changes across the updates (one more forward pass each)."""
    rollouts_every: Positive
    """Steps between stored rollout batches, for reading."""
    candidates: Literal["all", "selectable"]
    """Models kept on disk: `all` candidates, or those that a selection rule can still choose (best so far on a set, newest)."""
    verify_weights_every: Positive | None
    """Steps between comparisons of checksums of the trainer's and the sampler's weights; null compares none."""

    @property
    def world_size(self) -> int:
        return self.nodes * self.ranks_per_node


LOWEST_VLLM_TEMPERATURE = 0.01
"""vLLM raises what lies between 0, greedy decoding, and this to it without a word."""
BUCKET = 500_000_000
"""Most numbers in DeepSpeed's reduction buffer, which it allocates whole in stages 1 to 3 (its default reduce_bucket_size)."""
MAX_SEQUENCES = 256
"""Sequences that a vLLM sampler decodes together; the rest waits."""
PER_MODEL = ("temperature", "top_p", "max_tokens", "engine", "batch")
"""Fields of `evaluation` that a model may change."""


class Evaluation(Section):
    """How trained models and base models are measured: benchmarks, sampling, checkpoint rules, intervals."""

    benchmarks: Annotated[list[str], Field(min_length=1), Once]
    """Names of benchmarks: the files of asymgrpo/tasks/benchmarks, without .yaml."""
    limit: Positive | None = None
    """Use only the first problems of each benchmark; null takes all."""
    samples: dict[str, Positive]
    """n, samples per problem: `default` and per benchmark."""
    k: Annotated[list[Positive], Field(min_length=1), Once]
    """pass@k is reported for these k; each needs n >= 2k by our rule, n >= k by arithmetic."""
    temperature: Annotated[float, Field(ge=0)]
    """Sampling temperature; 0 is greedy decoding."""
    top_p: Annotated[float, Field(gt=0, le=1)]
    """Nucleus sampling: draw from the most probable tokens that together have this probability; 1 draws from all."""
    max_tokens: Positive
    """Cap on response tokens, the end token included; a response cut there counts as wrong."""
    selection: Annotated[list[str], Field(min_length=1), Once]
    """Checkpoint rules, declared before training: last | validation | best_on:<benchmark>."""
    control_templates: Annotated[list[str], Once]
    """Further prompt templates under which the base model is measured: how much of a score is the prompt's."""
    engine: Literal["torch", "vllm"]
    """What generates the samples."""
    batch: Positive
    """Problems generated together."""
    bootstrap_draws: Positive
    """Resamples behind each confidence interval."""
    bootstrap_seed: Seed
    """Random seed of the resamples."""
    seed_variance: Literal["own", "pooled"]
    """Whose seeds give an interval its variance between training seeds: `own`, those of the arm; `pooled`, those of all
    trained arms of a model, which share one estimate (steadier with few seeds)."""

    def n_samples(self, benchmark: str) -> int:
        return self.samples.get(benchmark, self.samples["default"])


class Theory(Section):
    """The tabular study and the entropy table of asymgrpo.theory; groups have `train.group_size` rollouts."""

    prompts: Positive
    """Prompts of a seed, each a softmax of its own."""
    answers: Annotated[int, Field(ge=2)]
    """Answers that a prompt can be given."""
    most_correct: Positive
    """From 1 to this many answers of a prompt are correct, each number as likely; fewer than `answers`."""
    spread: Annotated[float, Field(ge=0)]
    """Standard deviation of the logits before training, which are normal."""
    seeds: Annotated[int, Field(ge=2)]
    """Number of seeds, each with its own prompts and draws; all arms have the same."""
    seed: Seed
    """The first seed; the others follow it."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Of the plain gradient, for every arm."""
    natural_learning_rate: Annotated[float, Field(gt=0)]
    """Of the natural gradient, for every arm."""
    success: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1), Once]
    """Mean success rates at which arms are compared."""
    k: Annotated[list[Positive], Field(min_length=1), Once]
    """pass@k is computed for these k, exactly."""
    max_steps: Positive
    """Updates after which an arm that has not reached the highest rate is given up."""
    cases: Positive
    """Random policies, with one group each, on which the entropy equation is tried."""

    @model_validator(mode="after")
    def _some_wrong(self) -> Self:
        if self.most_correct >= self.answers:
            raise ValueError("most_correct must be below answers, or some prompt has no wrong answer")
        return self


class Probe(Section):
    """One-update probes (asymgrpo.probe): in states of GRPO runs every arm makes its update, and responses are scored again."""

    seeds: Annotated[list[Seed], Field(min_length=1), Once]
    """Training seeds of the GRPO runs (trajectories) that states are taken from, for each model; tests are over them."""
    states: Annotated[list[Positive], Field(min_length=1), Once]
    """Steps after which a trajectory is probed."""
    batches: Positive
    """Batches of rollouts that are drawn in each state."""
    arms: Annotated[list[str], Once]
    """Arms that make their update beside GRPO, which always does."""
    responses: Annotated[int, Field(ge=2)]
    """Held-out responses to each prompt, scored before and after every update."""
    prompts: Annotated[int, Field(ge=0)]
    """Problems of the validation set that responses are drawn for, beside those of the batch; if it has fewer, all of them."""
    linear_prompts: Annotated[int, Field(ge=0)]
    """Groups of the batch whose gradients the linear probe takes, each as large as the model; 0: no linear probe."""


class Machine(Section):
    """What one training job asks of the machine or cluster that it runs on."""

    kind: str
    """cpu, or a GPU kind of asymgrpo/planner/gpu_kinds.yaml: every rank has one such GPU, and a plan that cannot fit is
    refused."""
    cpus_per_rank: Positive
    """CPU threads of each training process."""
    memory_gb: Positive | None
    """Host memory per node, in GB; null takes the planner's figure (GPU kinds only)."""
    hours: Annotated[float, Field(gt=0)] | None
    """Time limit; a job that reaches it continues in a new job. null takes twice the planner's figure (GPU kinds only)."""

    @property
    def has_gpus(self) -> bool:
        return self.kind != "cpu"


class Plan(Section):
    """What is run: every model x arm x seed, and every model x analysis x analysis seed."""

    models: Annotated[list[str], Field(min_length=1), Once]
    """Names of models that the section `models` defines."""
    arms: Annotated[list[str], Field(min_length=1), Once]
    """Rows of Table 1 (names of asymgrpo/method/arms.py); the untrained model, `base`, is always beside them."""
    seeds: Annotated[list[Seed], Field(min_length=1), Once]
    """Training seeds of each arm: one run per seed."""
    analyses: Annotated[list[str], Once] = Field(default=[])
    """Further arms, for the figures and claims only."""
    analysis_seeds: Annotated[list[Seed], Once] = Field(default=[])
    """Training seeds of each analysis."""


class Containers(Section):
    """The images that jobs run in (containers/README.md)."""

    mode: Literal["none", "apptainer"]
    """none: jobs run in the environment that runs snakemake; apptainer: every job runs in an image."""
    base: Literal["docker", "debootstrap"] = "docker"
    """What images to be built start from: a container registry's Debian, or a Debian mirror's."""
    base_lock: Path = Path("containers/base.lock.json")
    """Where the first build of a base records what it got; later builds are held to it."""
    lock: Path = Path("requirements/gpu.lock")
    """What is installed into images train and evaluate: gpu.lock (CUDA, vLLM, hashes), or cpu.lock."""
    images: dict[Literal["train", "evaluate", "report"], Path] = Field(default={})
    """Image files made elsewhere; images that are not named are built by the workflow when a job needs them."""
    wheels: Path | None = None
    """Directory with everything that the locks name, for sites without a package index; null downloads it on the head node."""
    build: Literal["local", "job"] = "local"
    """Where images are built once their wheels are there: on the head node, or in a job of the cluster."""

    @model_validator(mode="before")
    @classmethod
    def _plain_word(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value


class Study(Section):
    """A whole study: the top level of a configuration file."""

    name: str
    """Of the study, in its reports and in the file name of its bundle."""
    results: Path
    """Folder of everything that the workflow makes, but for resumable checkpoints."""
    checkpoints: Path
    """Folder of resumable checkpoints: outside the declared outputs, so that a failed job does not lose them."""
    study: Plan
    """What is run: every model x arm x seed."""
    data: Data
    """Where problems come from."""
    models: dict[str, Model]
    """Base models by name; `study.models` says which of them are run."""
    arms: dict[str, dict[str, Any]] = Field(default={})
    """Changed fields of arms by the name of the arm, for example {grpo_entropy: {entropy_coef: 0.01}}; new arms, which have the
    key `base`: {mine: {base: asymgrpo, clip_high: 0.3}}. `all` changes all arms that it can act on: {all: {dual_clip: 3.0}}."""
    train: Train
    """Everything about training that all arms share."""
    evaluation: Evaluation
    """How trained models and base models are measured."""
    theory: Theory
    """The tabular study, which needs no model."""
    probe: Probe
    """The one-update probes, which `snakemake probe` makes."""
    machine: Machine
    """What one training job asks of the machine or cluster that it runs on."""
    containers: Annotated[Containers, Field(exclude=True)]
    """The images that jobs run in; a plain word is the mode, with the other keys at their defaults. Not written into results:
    proofs/ says where a job ran, what it computed is the same."""
    artifacts: Annotated[str | None, Field(exclude=True)] = None
    """Bundle (zip file, folder or URL) whose results take the place of data, training and grading; null makes them.
    Not written into results: they are the same either way."""

    def changes_of(self, arm: str) -> dict[str, Any]:
        """What `arms` changes of one arm: its own changes, and those of all arms that act on it."""
        from asymgrpo.method.arms import ALL, acting, get_arm

        own, every = self.arms.get(arm, {}), self.arms.get(ALL, {})
        return (acting(get_arm(arm, own), every) | own) if every else own

    def train_of(self, model: str) -> Train:
        """`train` with the changes of one of the models."""
        return Train.model_validate(self.train.model_dump() | self.models[model].train)

    def evaluation_of(self, model: str) -> Evaluation:
        """`evaluation` with the changes of one of the models."""
        return Evaluation.model_validate(self.evaluation.model_dump() | self.models[model].evaluation)


def parse(mapping: dict[str, Any]) -> Study:
    """The study of a plain mapping (Snakemake's merged `config`). Raises ConfigError naming every wrong key.

    What sections cannot check alone (a model's changes, a tiny model's spec, changed fields of arms) is checked here, and
    replaced by its values: text that means a number is that number in the files that jobs read.
    """
    try:
        study = Study.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError("\n".join(sentence(e, KEYS) for e in error.errors())) from None
    problems: list[str] = []
    models = {name: _model(study, name, problems) for name in study.models}
    arms = {name: _arm_changes(name, changes, problems) for name, changes in study.arms.items()}
    if problems:
        raise ConfigError("\n".join(problems))
    return study.model_copy(update={"models": models, "arms": arms})


def _model(study: Study, name: str, problems: list[str]) -> Model:
    """A model with the values of what it changes and of its spec; sentences about wrong ones are added to `problems`."""
    model = study.models[name]
    changed: dict[str, Any] = {"spec": _spec(name, model, problems)}
    for section, merged in (("train", study.train_of), ("evaluation", study.evaluation_of)):
        given = getattr(model, section)
        try:
            values = merged(name).model_dump(mode="json")
            changed[section] = {key: values[key] for key in given}
        except ValidationError as error:
            problems += [sentence(e, KEYS, ("models", name, section)) for e in error.errors()]
    for key in model.evaluation:
        if key in Evaluation.model_fields and key not in PER_MODEL:
            problems.append(
                f"config: models.{name}.evaluation.{key} would give this model other questions than the rest; only "
                f"{', '.join(PER_MODEL)} may differ."
            )
    return model.model_copy(update=changed)


def _spec(name: str, model: Model, problems: list[str]) -> dict[str, Any]:
    from asymgrpo.study.tiny_spec import TinySpec

    if model.kind != "tiny":
        if model.spec:
            problems.append(f"config: models.{name}.spec describes tiny models, this one is {model.kind!r}; remove it.")
        return {}
    try:
        return TinySpec.model_validate(model.spec).model_dump(mode="json")
    except ValidationError as error:
        problems += [sentence(e, KEYS, ("models", name, "spec")) for e in error.errors()]
        return {}


def _arm_changes(name: str, changes: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    from asymgrpo.errors import ArmError
    from asymgrpo.method.arms import ALL, get_arm
    from asymgrpo.study.user_arms import with_sources

    if name == ALL:
        return _changes_of_all(changes, problems)
    try:
        changes = with_sources({"arms": {name: changes}}, Path())["arms"][name]
        values = get_arm(name, changes).model_dump(mode="json")
    except ArmError as error:
        problems.append(f"config: {error}" if f"arms.{name}" in str(error) else f"config: arms.{name}: {error}")
        return {}
    defined = {key: changes[key] for key in ("base", "python") if key in changes}
    changed = [key for key in changes if key not in defined]
    return defined | {key: values[key] if key in values else values["advantage"][key] for key in changed}


def _changes_of_all(changes: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The same under `arms.all`, where a key must be one of grpo's: a field of every arm, or of its standard deviation."""
    from asymgrpo.method.arms import ALL, GRPO

    if "advantage" in changes:
        problems.append("config: arms.all.advantage would make all arms one; change parameters by their own names.")
        return {}
    found: list[str] = []
    values = _arm_changes(GRPO.name, changes, found)
    problems += [text.replace(f"arms.{GRPO.name}", f"arms.{ALL}") for text in found]
    return values


def _all_keys() -> tuple[tuple[str, ...], ...]:
    """Known keys, those that a model may change and those of a tiny model's spec included."""
    from asymgrpo.study.tiny_spec import TinySpec

    below = {"train": known_keys(Train), "evaluation": ((key,) for key in PER_MODEL), "spec": known_keys(TinySpec)}
    return (
        *known_keys(Study),
        *(("models", NAME, section, *path) for section, paths in below.items() for path in paths),
    )


KEYS = _all_keys()


def indivisible(train: Train, where: str) -> list[str]:
    """Sentences about sizes that do not divide over updates, ranks and micro-batches; `where` names the section in them."""
    shares = train.updates_per_rollout * train.world_size
    per_update = train.prompts_per_step * train.group_size // shares
    if train.prompts_per_step % shares:
        return [
            f"config: {where}.prompts_per_step = {train.prompts_per_step} does not divide into {train.updates_per_rollout} "
            f"updates on {train.world_size} ranks; make it a multiple of {shares} or change nodes, ranks_per_node or "
            "updates_per_rollout."
        ]
    if train.micro_batch_tokens is None and per_update % train.micro_batch:
        return [
            f"config: {where}.micro_batch = {train.micro_batch} does not divide the {per_update} sequences of one update on one "
            "rank; choose a divisor."
        ]
    return []


def parse_section(name: str, mapping: dict[str, Any]) -> Any:
    """One section of a study by its key (train, evaluation, ...), as `parse` would make it."""
    kind = Study.model_fields[name].annotation
    try:
        return kind.model_validate(mapping)  # type: ignore[union-attr]
    except ValidationError as error:
        raise ConfigError("\n".join(sentence(e, KEYS, (name,)) for e in error.errors())) from None
