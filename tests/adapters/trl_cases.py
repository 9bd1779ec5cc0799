"""What TRL itself computes from recorded rollouts; a program for the peers' environment (tests/adapters/conftest.py):

python tests/adapters/trl_cases.py FOLDER        reads recorded.pt and model/, writes trl.pt
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from asymgrpo.adapters.trl import ArmTrainer
from asymgrpo.errors import ArmError
from asymgrpo.method.arms import ARMS

PLAIN = {
    "grpo": {"loss_type": "dapo", "scale_rewards": "group"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
}
"""TRL's own arms, without the adapter: the first is ours with the sample's std and an epsilon of 1e-4."""


class Gradient(TrainerCallback):
    def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
        self.gradient = {name: p.grad.clone() for name, p in model.named_parameters()}


class Replayed:
    """The recorded rollouts in place of sampling; `old`, if given, in place of the log-probabilities that TRL would find."""

    def __init__(self, *arm: Any, steps: list[list[dict]], old: Any = None, **more: Any):
        self.steps, self.old = list(steps), old
        super().__init__(*arm, rollout_func=self.next_step, reward_funcs=lambda r, **_: r, **more)

    def next_step(self, prompts: list[str], _: Any) -> dict[str, list]:
        rows = self.steps.pop(0)
        assert len(rows) == len(prompts)
        names = {"prompt_ids": "prompt", "completion_ids": "response", "logprobs": "logprobs", "r": "reward"}
        return {name: [row[key] for row in rows] for name, key in names.items()}

    def compute_loss(self, *args: Any, **more: Any) -> torch.Tensor:
        self.loss = super().compute_loss(*args, **more)
        return self.loss

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        found = super()._generate_and_score_completions(inputs)
        return found if self.old is None else found | {"old_per_token_logps": self.old}


class ReplayedArm(Replayed, ArmTrainer): ...


class ReplayedPlain(Replayed, GRPOTrainer): ...


def trained(folder: Path, steps: list[list[dict]], *arm: str, old: Any = None, parts: int = 1, **options: Any) -> dict:
    """Everything that a real run of TRL over these steps leaves. parts: micro-batches of an update."""
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(24)}, unk_token="w3"))
    rows = len(steps[0])
    args = GRPOConfig(
        output_dir=str(folder / "out"),
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        max_steps=len(steps),
        per_device_train_batch_size=rows // parts,
        gradient_accumulation_steps=parts,
        gradient_checkpointing=False,
        lr_scheduler_type="constant",
        **options,
    )
    seen = Gradient()
    trainer = (ReplayedArm if arm else ReplayedPlain)(
        *arm,
        steps=steps,
        old=old,
        model=AutoModelForCausalLM.from_pretrained(folder / "model", dtype="float32"),
        args=args,
        processing_class=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1"),
        train_dataset=Dataset.from_dict({"prompt": ["w3"] * rows}),
        callbacks=[seen],
    )
    trainer.train()
    return {
        "advantages": list(trainer._logs["advantages"]),
        "loss": float(trainer.loss),
        "gradient": seen.gradient,
        "weights": {name: p.detach() for name, p in trainer.model.named_parameters()},
    }


def refused(folder: Path, arm: str, **options: Any) -> str:
    try:
        ArmTrainer(arm, args=GRPOConfig(output_dir=str(folder / "out"), use_cpu=True, bf16=False, **options))
    except ArmError as error:
        return str(error)
    return "nothing"


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    recorded = torch.load(folder / "recorded.pt")
    batch, sizes = recorded["batch"], recorded["sizes"]
    once = {"old": recorded["old"], "max_grad_norm": 0.0, **sizes}
    found = {
        "arms": {arm: trained(folder, [batch], arm, **once) for arm in recorded["arms"]},
        "plain": {arm: trained(folder, [batch], **once, **options) for arm, options in PLAIN.items()},
        "run": trained(folder, recorded["steps"], recorded["arm"], parts=2, **sizes, **recorded["optimizer"]),
        "refused": {
            "a loss that TRL lacks": refused(folder, "kl_cov"),
            "another epsilon": refused(folder, "asymgrpo", epsilon=0.3),
        },
        "arms that TRL has options for": [
            arm for arm in ARMS if "cannot be told" not in refused(folder, arm, beta=0.5)
        ],
    }
    torch.save(found, folder / "trl.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
