"""The part of a trace below the graded samples: samples, checkpoint, training run, configuration, data, commits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from asymgrpo.content import data_hash
from asymgrpo.provenance import PRODUCER
from asymgrpo.study.layout import CONFIGURATION
from asymgrpo.study.outcome import KEY as OUTCOME
from evals.io import DataError, read_json, read_metadata, read_object, read_table, sha256_file
from evals.select import select_step

BASE = "base"


@dataclass
class Findings:
    """What a trace says, line by line, and what does not fit. `manifest`: files of a bundle, None in a folder of results;
    `inputs`: name -> metadata of the graded files that the scores state."""

    manifest: Mapping[str, Mapping[str, Any]] | None
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    inputs: Mapping[str, Any] | None = None
    made_at: dict[str, set[str]] = field(default_factory=dict)
    checks: int = 0

    def say(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)

    def check(self, depth: int, holds: bool, text: str, path: Path) -> None:
        """One line with a tick or a cross; a cross is a fault of the file at `path`."""
        self.checks += 1
        self.say(depth, f"{'✓' if holds else '✗'} {text}")
        if not holds:
            self.faults.append(f"{path}: does not fit: {text}")

    def commits(self, about: Mapping[str, Any], name: str) -> None:
        """Remember at which commit a file was made."""
        commit = f"{about.get('git_commit')}{' with uncommitted changes' if about.get('git_dirty') else ''}"
        self.made_at.setdefault(commit, set()).add(name)

    def there(self, depth: int, path: Path, what: str) -> bool:
        """Whether a file is there; in a bundle it need not be, elsewhere its absence is a fault."""
        if path.exists():
            return True
        if self.manifest:
            self.say(depth, f"- {what}: not in a bundle")
        else:
            self.check(depth, False, f"{what} is missing", path)
        return False

    def check_manifest(self, folder: Path) -> None:
        """Every file of an unpacked bundle against its manifest."""
        for name, entry in (self.manifest or {}).items():
            path = folder / name
            if not path.is_file() or sha256_file(path) != entry["sha256"]:
                self.check(1, False, f"{name} is what the manifest says", path)

    def summary(self) -> str:
        made = [f"made at commit {commit}: {len(names)} files" for commit, names in sorted(self.made_at.items())]
        verdict = (
            [f"{self.checks} checks, all hold"] if not self.faults else [f"fault: {fault}" for fault in self.faults]
        )
        return "\n".join([*made, *verdict])


def check_samples(findings: Findings, folder: Path, graded: Path, step: int, benchmarks: list[str] | None) -> None:
    """Sample files against the graded ones, and the weights and problems that they were sampled from."""
    model, arm, seed = graded.parts[-3], graded.parts[-2], graded.stem
    told = read_metadata(graded).get("samples")
    if told is None:
        raise DataError(f"{graded}: it does not say what it was made from; grade the samples again with this version")
    table = read_table(graded)
    for name in benchmarks or sorted(set(table["benchmark"].to_pylist())):
        path = folder / f"samples/{model}/{arm}/{seed}/{name}.parquet"
        if not findings.there(2, path, f"samples of {name}"):
            continue
        samples = read_table(path)
        mine = table.filter(pc.equal(table["benchmark"], name)).select(samples.column_names)
        findings.check(
            2,
            data_hash(samples) == data_hash(mine),
            f"{path.relative_to(folder)}: {len(mine)} samples, as graded",
            path,
        )
        about = {key: value for key, value in read_metadata(path).items() if key != "settings"}
        findings.check(3, about in told, "sampled with the settings that the graded file states", path)
        findings.commits(about, str(path.relative_to(folder)))
        problems = folder / f"data/{name}.parquet"
        if findings.there(3, problems, f"problems of {name}"):
            same = sha256_file(problems) == about["problems_sha256"]
            findings.check(3, same, f"of the problems in {problems.relative_to(folder)}", problems)
    weights = (
        folder / f"models/{model}/base"
        if arm == BASE
        else folder / f"runs/{model}/{arm}/{seed}/candidates/step{step:06d}"
    )
    if findings.there(2, weights, f"weights of step {step}"):
        check_weights(
            findings, weights, [meta["weights_sha256"][str(step)] for meta in told], f"step {step}: sampled from"
        )


def check_weights(findings: Findings, folder: Path, stated: list[dict[str, str]], text: str) -> None:
    """The weights in a model folder against the hashes that others state of them."""
    found = {path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))}
    hashes = ", ".join(value[:12] for value in found.values())
    findings.check(
        2, bool(found) and all(one == found for one in stated), f"{text} {folder.name}, weights {hashes}", folder
    )


def check_run(findings: Findings, folder: Path, model: str, arm: str, seed: int, step: int, rule: str) -> None:
    """The training run: its selection, its identity, and the model, data and configuration that it names."""
    place = folder / f"runs/{model}/{arm}/seed{seed}"
    done = read_object(place / "done.json", ["sha256", "train", "model_sha256", "data_sha256"])
    evaluations = place / "eval.parquet"
    chosen = select_step(read_table(evaluations), rule)
    findings.check(2, chosen == step, f"{rule} picks step {chosen} of {evaluations.relative_to(folder)}", evaluations)
    identity = {key: value for key, value in done.items() if key not in (*PRODUCER, OUTCOME, "sha256", "settings")}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    findings.check(
        2,
        digest == done["sha256"],
        f"run {digest[:12]}: arm {arm}, seed {seed}, as its fields hash",
        place / "done.json",
    )
    for name in ("metrics", "eval", "timings"):
        told = read_metadata(place / f"{name}.parquet").get("sha256")
        findings.check(3, told == done["sha256"], f"{name}.parquet is of this run", place / f"{name}.parquet")
    conventions = place / "conventions.json"
    same = read_json(conventions)["train"] == done["train"]
    findings.check(3, same, "conventions.json has its training settings", conventions)
    findings.commits(done, str((place / "done.json").relative_to(folder)))
    _check_origin(findings, folder, model, done)


def _check_origin(findings: Findings, folder: Path, model: str, done: Mapping[str, Any]) -> None:
    base = folder / f"models/{model}/base"
    if findings.there(3, base, "base model"):
        check_weights(findings, base, [done["model_sha256"]], "trained from")
    there = {sha256_file(path): path.name for path in sorted((folder / "data").glob("*.parquet"))}
    names = [there.get(value, f"{value[:12]} (no such file)") for value in done["data_sha256"]]
    findings.check(
        3, all(value in there for value in done["data_sha256"]), f"on data {', '.join(names)}", folder / "data"
    )
    study = folder / CONFIGURATION
    config = read_object(study, ["config", "config_sha256"])["config"]
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    findings.check(3, digest == read_json(study)["config_sha256"], f"configuration {digest[:12]}, as it hashes", study)
    train = config["train"] | config["models"][model].get("train", {})
    odd = [key for key, value in done["train"].items() if key in train and train[key] != value]
    findings.check(3, not odd, "trained with its settings" + (f", but for {', '.join(odd)}" if odd else ""), study)
