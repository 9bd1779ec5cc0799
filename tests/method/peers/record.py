"""Run the published losses and advantages of verl, TRL and OpenRLHF, and record what they give.

    python tests/method/peers/record.py            installs the pinned peers into .venv-peers, writes
    recorded.json
    python tests/method/peers/record.py --install  only installs them

The peers sit in a folder of their own, without dependencies, on top of the project's environment; tests/adapters
and benchmarks/step_time.py use them too. test_peers.py compares our functions with the recording, and needs no
peer. Record again after changing a pin.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PEERS = {"verl": "0.9.1", "trl": "1.16.0", "openrlhf": "0.11.2"}
NEEDED = [  # what the peers import on the way to their losses, beyond the project's environment
    "tensordict==0.15.3",
    "omegaconf==2.4.0",
    "antlr4-python3-runtime==4.9.3",
    "ray==2.60.0",
    "hydra-core==1.3.8",
    "pyvers==0.2.3",
    "orjson==3.13.0",
    "codetiming==1.4.0",
    "peft==0.21.2",
    "pylatexenc==2.11",
    "torchdata==0.11.0",
]
HERE = Path(__file__).parent
FOLDER = HERE.parents[2] / ".venv-peers"
RECORDED = HERE / "recorded.json"
GROUPS = (2, 4, 8, 16)
MAX_TOKENS = 16
NO_DUAL_CLIP = 1e9  # verl cannot turn its dual clip off


def main() -> None:
    if "--here" not in sys.argv:
        install()
        if "--install" in sys.argv:
            return
        environment = os.environ | {"PYTHONPATH": str(FOLDER), "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run([sys.executable, __file__, "--here"], check=True, env=environment)
        return
    batch = fixed_batch()
    advantages, losses = verl_advantages() | trl_advantages(), verl_losses(batch) | trl_losses(batch)
    defaults = {"verl": verl_defaults(), "TRL": trl_defaults()}
    sys.meta_path.append(Absent("flash_attn", "vllm"))  # only now: TRL adapts to the packages that it finds
    recorded = {
        "versions": {name: version(name) for name in PEERS},
        "batch": {key: value.tolist() for key, value in batch.items()} | {"max_tokens": MAX_TOKENS},
        "advantages": advantages | openrlhf_advantages(),
        "losses": losses | openrlhf_losses(batch),
        "defaults": defaults | {"OpenRLHF": openrlhf_defaults()},
    }
    temporary = RECORDED.with_suffix(".tmp")
    temporary.write_text(json.dumps(recorded, indent=1) + "\n")
    os.replace(temporary, RECORDED)
    print(f"wrote {RECORDED}")


def install() -> None:
    """The pinned peers, if their folder is not there yet: whole or not at all."""
    if FOLDER.is_dir():
        return
    begun = FOLDER.with_name(f"{FOLDER.name}-begun")
    shutil.rmtree(begun, ignore_errors=True)
    pins = [f"{name}=={pin}" for name, pin in PEERS.items()]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--no-deps", "--target", str(begun)]
    subprocess.run([*pip, *pins, *NEEDED], check=True)
    begun.rename(FOLDER)


class Absent(MetaPathFinder, Loader):
    """Packages that a peer imports at module level and that nothing here calls, for a GPU or a server: empty modules will do."""

    def __init__(self, *names: str):
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in self.names else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = lambda name: type(name, (), {})  # type: ignore[method-assign]


def fixed_batch() -> dict[str, Any]:
    """Sequences of unequal length, ratios beyond every bound; stored with the recording, not made again."""
    import torch

    g = torch.Generator().manual_seed(0)
    logp = -3 * torch.rand(6, 7, generator=g)
    return {
        "logp": logp,
        "logp_old": logp + 1.2 * torch.randn(6, 7, generator=g),
        "logp_ref": logp + 0.3 * torch.randn(6, 7, generator=g),
        "advantages": (2 * torch.randn(6, 1, generator=g)).expand(6, 7).contiguous(),
        "mask": (torch.arange(7) < torch.tensor([[7], [1], [4], [6], [2], [5]])).float(),
    }


def by_accuracy(estimator: Callable[[Any], Any]) -> dict[str, list]:
    """{G: [[advantage of rollout 0, of rollout G - 1] for c = 0 .. G correct rollouts]}"""
    import torch

    table = {}
    for group in GROUPS:
        rewards = torch.tril(torch.ones(group + 1, group), diagonal=-1)
        values = torch.as_tensor(estimator(rewards)).reshape(group + 1, group)
        table[str(group)] = values[:, [0, -1]].tolist()
    return table


def loss_and_gradient(loss: Callable[[Any], Any], batch: dict) -> dict[str, Any]:
    logp = batch["logp"].clone().requires_grad_()
    value = loss(logp)
    value.backward()
    return {"loss": value.item(), "gradient": logp.grad.tolist()}


# verl ---------------------------------------------------------------------------------------------------------


def verl_advantages() -> dict[str, Any]:
    import numpy as np
    import torch
    from verl.trainer.ppo import core_algos

    def table(function: Callable, **options: Any) -> dict:
        def run(rewards: Any) -> Any:
            flat, index = rewards.reshape(-1, 1).clone(), np.repeat(np.arange(len(rewards)), rewards.shape[1])
            return function(flat, torch.ones_like(flat), index, **options)[0]

        return by_accuracy(run)

    return {
        "verl grpo": table(core_algos.compute_grpo_outcome_advantage),
        "verl grpo, no std": table(core_algos.compute_grpo_outcome_advantage, norm_adv_by_std_in_grpo=False),
        "verl rloo": table(core_algos.compute_rloo_outcome_advantage),
    }


def verl_losses(batch: dict) -> dict[str, Any]:
    from verl.trainer.ppo import core_algos

    def config(dual_clip: float, low: float, high: float) -> Any:
        fields = {"clip_ratio": 0.2, "clip_ratio_low": low, "clip_ratio_high": high}
        covariance = {"clip_cov_ratio": 1.0, "clip_cov_lb": 0.1, "clip_cov_ub": 1.0, "kl_cov_ratio": 0.2}
        return SimpleNamespace(
            **fields,
            policy_loss=SimpleNamespace(**covariance, ppo_kl_coef=0.5),
            get=lambda key, default: dual_clip if key == "clip_ratio_c" else default,
            global_batch_info={"loss_scale_factor": MAX_TOKENS},
        )

    def policy(name: str, mode: str, dual_clip: float = NO_DUAL_CLIP, low: float = 0.2, high: float = 0.28) -> dict:
        function = core_algos.get_policy_loss_fn(name)
        args = (batch["advantages"], batch["mask"], mode, config(dual_clip, low, high))
        return loss_and_gradient(lambda logp: function(batch["logp_old"], logp, *args)[0], batch)

    def surrogate(name: str, mode: str, low: float, high: float) -> dict:
        """Those that ask for a config of verl's own class, which has more fields than they read."""
        from verl.workers.config import ActorConfig

        plain = config(20.0, low, high)
        fields = vars(plain) | {"clip_ratio": high, "tau_pos": 1.0, "tau_neg": 1.05}
        asked = object.__new__(type("Config", (ActorConfig,), {"get": plain.get}))
        for key, value in fields.items():
            object.__setattr__(asked, key, value)
        asked = plain if name in ("geo_mean", "dppo_tv") else asked
        function = core_algos.get_policy_loss_fn(name)
        args = (batch["advantages"], batch["mask"], mode, asked)
        return loss_and_gradient(lambda logp: function(batch["logp_old"], logp, *args)[0], batch)

    def k3(logp: Any) -> Any:
        return core_algos.agg_loss(core_algos.kl_penalty(logp, batch["logp_ref"], "k3"), batch["mask"], "token-mean")

    return {
        "verl token-mean": policy("vanilla", "token-mean"),
        "verl token-mean, dual clip 1.5": policy("vanilla", "token-mean", dual_clip=1.5),
        "verl seq-mean-token-mean": policy("vanilla", "seq-mean-token-mean"),
        "verl seq-mean-token-sum-norm": policy("vanilla", "seq-mean-token-sum-norm"),
        "verl clip_cov": policy("clip_cov", "token-mean", low=1.0, high=1e9),
        "verl kl_cov": policy("kl_cov", "token-mean"),
        "verl gspo": surrogate("gspo", "seq-mean-token-mean", 0.1, 0.2),
        "verl cispo": surrogate("cispo", "token-mean", 1.0, 0.5),
        "verl sapo": surrogate("sapo", "seq-mean-token-mean", 0.2, 0.2),
        "verl geo_mean": surrogate("geo_mean", "token-mean", 0.4, 0.4),
        "verl dppo_tv": surrogate("dppo_tv", "token-mean", 0.1, 0.1),
        "verl k3": loss_and_gradient(k3, batch),
    }


def verl_defaults() -> dict[str, Any]:
    import verl
    import yaml

    folder = Path(verl.__file__).parent / "trainer" / "config"
    actor = yaml.safe_load((folder / "actor" / "actor.yaml").read_text())
    keys = (
        "clip_ratio_low clip_ratio_high clip_ratio_c loss_agg_mode entropy_coeff use_kl_loss kl_loss_coef kl_loss_type"
    )
    algorithm = yaml.safe_load((folder / "ppo_trainer.yaml").read_text())["algorithm"]
    return {key: actor[key] for key in keys.split()} | {
        "norm_adv_by_std_in_grpo": algorithm["norm_adv_by_std_in_grpo"],
        **{key: actor["policy_loss"][key] for key in ("clip_cov_ratio", "kl_cov_ratio", "ppo_kl_coef")},
    }


# TRL ----------------------------------------------------------------------------------------------------------


def trl_trainer(folder: str, group: int, rows: int, **options: Any) -> Any:
    """A real GRPOTrainer around the smallest model there is; rewards are 1 for the first c rollouts of group c."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "a": 2}, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    size: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=3, num_key_value_heads=1, head_dim=8, **size))
    args = GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        report_to=[],
        num_generations=group,
        per_device_train_batch_size=rows,
        max_completion_length=options.pop("max_completion_length", 2),
        **options,
    )
    return GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [float(i % group < i // group) for i in range(len(completions))],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["a"] * rows}),
        processing_class=tokenizer,
    )


def trl_advantages() -> dict[str, Any]:
    def table(scale: str) -> dict:
        def run(rewards: Any) -> Any:
            with tempfile.TemporaryDirectory() as folder:
                trainer = trl_trainer(folder, rewards.shape[1], rewards.numel(), scale_rewards=scale)
                return trainer._generate_and_score_completions([{"prompt": "a"}] * rewards.numel())["advantages"]

        return by_accuracy(run)

    return {f"TRL {scale}": table(scale) for scale in ("group", "none", "batch")}


def trl_losses(batch: dict) -> dict[str, Any]:
    import torch

    def run(loss_type: str, beta: float = 0.0, **more: Any) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            options = {"loss_type": loss_type, "epsilon": 0.2, "epsilon_high": 0.28, **more}
            trainer = trl_trainer(folder, 2, 6, max_completion_length=MAX_TOKENS, **options)
        trainer.beta = beta  # set late: at construction it would load a reference model
        trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation
        tokens = batch["mask"].long()
        inputs = {
            "prompt_ids": tokens[:, :1],
            "prompt_mask": torch.ones(6, 1),
            "completion_ids": tokens,
            "completion_mask": batch["mask"],
            "advantages": batch["advantages"][:, 0],
            "old_per_token_logps": batch["logp_old"],
            "ref_per_token_logps": batch["logp_ref"],
            "num_items_in_batch": batch["mask"].sum(),
        }

        def loss(logp: Any) -> Any:
            trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logp, torch.zeros_like(logp), None)
            return trainer._compute_loss(trainer.model, inputs) * trainer.current_gradient_accumulation_steps

        # dapo's normaliser spans the accumulation window already
        scale = 1 if loss_type not in ("dapo", "cispo") else 1 / trainer.current_gradient_accumulation_steps
        return loss_and_gradient(lambda logp: loss(logp) * scale, batch)

    return {
        "TRL dapo": run("dapo"),
        "TRL grpo": run("grpo"),
        "TRL dr_grpo": run("dr_grpo"),
        "TRL gspo": run("grpo", epsilon=0.1, epsilon_high=0.2, importance_sampling_level="sequence"),
        "TRL cispo": run("cispo", epsilon_high=1.5),
        "TRL sapo": run("sapo"),
        "TRL off-policy mask": run("grpo", off_policy_mask_threshold=0.1),
        "TRL dapo, beta 0.1": run("dapo", beta=0.1, use_bias_correction_kl=False),
        "TRL dapo, beta 0.1, its default": run("dapo", beta=0.1),
    }


def trl_defaults() -> dict[str, Any]:
    from trl import GRPOConfig

    keys = (
        "epsilon epsilon_high delta loss_type scale_rewards entropy_coef beta top_entropy_quantile "
        "use_bias_correction_kl vllm_importance_sampling_correction num_iterations"
    )
    return {key: getattr(GRPOConfig, key) for key in keys.split() if hasattr(GRPOConfig, key)}


# OpenRLHF -----------------------------------------------------------------------------------------------------


def openrlhf_advantages() -> dict[str, Any]:
    import torch
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    def table(estimator: str) -> dict:
        def run(rewards: Any) -> Any:
            n = rewards.numel()
            experience = SimpleNamespace(
                index=list(range(n)),
                rewards=rewards.reshape(-1).clone(),
                kl=torch.zeros(n, 1),
                action_mask=torch.ones(n, 1, dtype=torch.bool),
                info={},
            )
            args = SimpleNamespace(
                rollout=SimpleNamespace(n_samples_per_prompt=rewards.shape[1]),
                algo=SimpleNamespace(advantage=SimpleNamespace(estimator=estimator, gamma=1.0)),
                reward=SimpleNamespace(clip_range=None),
            )
            maker = object.__new__(RemoteExperienceMaker)
            maker.strategy, maker.kl_ctl = SimpleNamespace(args=args), SimpleNamespace(value=0.0)
            maker.advantage_estimator = estimator
            return maker.compute_advantages_and_returns([experience])[0].advantages

        return by_accuracy(run)

    return {f"OpenRLHF {name}": table(name) for name in ("group_norm", "dr_grpo", "rloo")}


def openrlhf_losses(batch: dict) -> dict[str, Any]:
    from openrlhf.models.loss import PolicyLoss

    def run(**options: Any) -> dict:
        function = PolicyLoss(clip_eps_low=0.2, clip_eps_high=0.28, **options)
        args = (batch["logp_old"], batch["advantages"], batch["mask"])
        return loss_and_gradient(lambda logp: function(logp, *args)[0], batch)

    return {
        "OpenRLHF token": run(),
        "OpenRLHF sequence": run(token_level_loss=False),
        "OpenRLHF token, dual clip 1.5": run(dual_clip=1.5),
    }


def openrlhf_defaults() -> dict[str, Any]:
    """Defaults of the training command, read from its argument parser."""
    import openrlhf

    tree = ast.parse((Path(openrlhf.__file__).parent / "cli" / "train_ppo_ray.py").read_text())
    found = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "add_argument":
            options = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
            found[ast.unparse(call.args[0]).strip("'-")] = options.get("default")
    keys = (
        "actor.eps_clip actor.eps_clip_low_high actor.dual_clip actor.loss_agg_mode actor.entropy_coef "
        "algo.kl.init_coef algo.advantage.estimator"
    )
    return {key: found[key] for key in keys.split()}


if __name__ == "__main__":
    main()
