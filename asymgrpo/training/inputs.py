"""What a run is trained from: its base model and problems, the check that they are what was asked for, their identity."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS

if TYPE_CHECKING:
    from asymgrpo.method.arm import Arm
    from asymgrpo.study.sections.train import Train
    from asymgrpo.study.settings import Settings
    from asymgrpo.training.trainer import Problem


@dataclass(frozen=True)
class Inputs:
    """The files that a run is trained from."""

    model: Path
    problems: Mapping[str, Path]
    """`train`, then the sets that checkpoint selection may look at, in their order."""

    def require(self, asked: Settings) -> None:
        """Refuse a base model or problems that were made with other settings than the run's. Raises SettingsError."""
        from asymgrpo.models.load import MANIFEST, read_manifest
        from asymgrpo.study.agreement import require, stated

        if (self.model / MANIFEST).exists():
            told = read_manifest(self.model, verify=False).get("settings")
            require(told, asked["base"], self.model, "make it again: snakemake --forcerun base_model")
        for name, path in self.problems.items():
            require(stated(path), asked["problems"][name], path, "make it again: snakemake --forcerun problems")

    def require_whole(self, weights_sha256: Mapping[str, str]) -> None:
        """Refuse a base model whose files are not those of its manifest, by their sha256. Raises ModelError."""
        from asymgrpo.models.load import check_whole

        check_whole(self.model, weights_sha256)


def run_identity(arm: Arm, train: Train, asked: Settings, model: Path, data: Sequence[Path]) -> dict[str, Any]:
    """Everything that this run's results depend on, by content, and its hash; with it the settings that were asked for."""
    from asymgrpo.files import sha256_file

    identity = {
        "arm": arm.name,
        "arm_fields": arm.settings(),
        "train": train.model_dump(mode="json", exclude=set(NO_EFFECT_ON_RESULTS)),
        "model": asked["model"],
        "model_sha256": {path.name: sha256_file(path) for path in sorted(model.glob("*.safetensors"))},
        "data_sha256": [sha256_file(path) for path in data],
        "template": asked["template"],
        "train_seed": asked["seed"],
    }
    if "protocol" in asked:  # a run that began before its protocol is not continued under it
        identity["protocol"] = asked["protocol"]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return identity | {"sha256": digest, "settings": asked}


def read_problems(path: Path, template: str, tokenizer, max_tokens: int | None) -> list[Problem]:
    """Problems with their rendered prompts as tokens; those longer than max_tokens are left out, and it is said how many.

    Raises ConfigError when none is left.
    """
    from asymgrpo.study.config import ConfigError
    from asymgrpo.tasks import table
    from asymgrpo.tasks.prompts import render
    from asymgrpo.training.trainer import Problem

    found = [
        Problem(
            row["problem_id"],
            tuple(tokenizer(render(template, row["problem"], tokenizer), add_special_tokens=False)["input_ids"]),
            row["answer"],
        )
        for row in table.read_problems(path)
    ]
    kept = [p for p in found if max_tokens is None or len(p.prompt_ids) <= max_tokens]
    if not kept:
        shortest = min(len(p.prompt_ids) for p in found)
        raise ConfigError(
            f"{path}: none of {len(found)} prompts has at most train.max_prompt_tokens = {max_tokens} tokens (the shortest has "
            f"{shortest}); raise it."
        )
    if len(kept) < len(found):
        print(
            f"{path}: {len(found) - len(kept)} of {len(found)} prompts exceed max_prompt_tokens and are left out",
            file=sys.stderr,
        )
    return kept


def longest_sequence(
    train: Train, training_set: Sequence[Problem], sets: Iterable[Sequence[Problem]], positions: int
) -> int:
    """Tokens of the longest prompt and response together. Raises ConfigError when the model has fewer positions."""
    from asymgrpo.study.config import ConfigError

    training = max((len(p.prompt_ids) for p in training_set), default=0) + train.max_tokens
    measuring = max((len(p.prompt_ids) for s in sets for p in s), default=0) + train.evaluate_max_tokens
    longest = max(training, measuring)
    if longest > positions:
        raise ConfigError(
            f"train: the longest prompt and response together are {longest} tokens, the model has {positions} positions; lower "
            "train.max_tokens, train.evaluate_max_tokens or train.max_prompt_tokens."
        )
    return longest
