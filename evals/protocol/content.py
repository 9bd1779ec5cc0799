"""What a protocol holds, as plain JSON: the claims and the analysis of this code, and what a configuration declares.

Equal code and configuration give equal bytes: nothing of the clock, the host or a path of the machine enters.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymgrpo.provenance import commit_of_code
from asymgrpo.study.settings import Plan, plan_of
from evals.claims import checks
from evals.claims.claim import Claim
from evals.claims.decide import ALPHA
from evals.claims.effects import MIN_SEEDS, TRIM, Analysis
from evals.claims.measures import MEASURES
from evals.claims.readings import readings
from evals.claims.table import CLAIMS, CONTROLS, POOL, TESTS
from evals.names import rule_to_show
from evals.protocol import dose
from evals.protocol.statements import statements

if TYPE_CHECKING:
    from asymgrpo.study.config import Study

FORMAT = "asymgrpo protocol 2"
DECIDING = ("evals.claims", "evals.estimates", "asymgrpo.method")
"""Packages whose sources decide: what an arm is, how numbers are estimated, when a claim is supported."""
CHECKPOINTS = ("steps", "evaluate_every", "evaluate_samples", "evaluate_temperature", "evaluate_max_tokens")
"""Fields of `train` that say which checkpoints there are, and how selection measures them."""


def protocol(study: Study, groups: Mapping[str, dose.Groups] | None = None) -> dict[str, Any]:
    """The whole protocol of a study; groups: those that doses come from (evals.protocol.dose), None: no dose is declared."""
    from asymgrpo.method.arms import get_arm
    from asymgrpo.method.conventions import describe

    study = study.model_copy(update={"protocol": None})  # no protocol names itself
    of_plan = by_plan(plan_of(study), study.evaluation.k, study.evaluation.endpoint)
    for name, about in of_plan["arms"].items():
        found = describe(get_arm(name, study.changes_of(name)))
        about |= {key: found[key] for key in ("meaning", "advantages")}
    commit, configuration = commit_of_code(), study.model_dump(mode="json")
    about = {"format": FORMAT, "commit": commit, "configuration": configuration}
    return _plain(about | {**by_code(), **of_plan, "dose": dose.section(study, groups or {})})


def by_code() -> dict[str, Any]:
    """What this code declares: {claims, analysis, code}."""
    claims = {claim.id: of_claim(claim) for claim in CLAIMS}
    return _plain({"claims": claims, "analysis": analysis(), "code": code()})


def by_plan(plan: Plan, k: list[int], accuracy: str) -> dict[str, Any]:
    """What a configuration declares: {endpoint, arms, seeds, models, problems}.

    Args:
        k: those of pass@k.
        accuracy: evaluation.endpoint.
    """
    models = plan["models"]
    endpoint = {
        "accuracy": accuracy,
        "selection": plan["selection"],
        "checkpoint": rule_to_show(plan["selection"]),
        "k": k,
        "samples": plan["n_samples"],
        **({"base_samples": plan["n_base"]} if "n_base" in plan else {}),
        "sampling": {name: {"evaluation": about["evaluation"]} for name, about in models.items()},
        "checkpoints": {name: {key: about["train"][key] for key in CHECKPOINTS} for name, about in models.items()},
    }
    trained = {
        name: {key: about[key] for key in ("base", "template")}
        | {"train": {key: value for key, value in about["train"].items() if key not in CHECKPOINTS}}
        for name, about in models.items()
    }
    arms = {name: {"arm": fields} for name, fields in plan["arms"].items()}
    found = {"endpoint": endpoint, "arms": arms, "seeds": plan["seeds"]}
    return _plain(found | {"models": trained, "problems": plan["problems"]})


def of_claim(claim: Claim) -> dict[str, Any]:
    """What is declared of one claim; `margin` in the units of its measure, which `shown_in` turns into those of readers."""
    measure = MEASURES.get(claim.measure)
    return {
        "statement": claim.sentence,
        "version": claim.version,
        "place": claim.place,
        "reading": claim.reading,
        "measure": claim.measure or None,
        "measures": measure.about if measure else None,
        "shown_in": measure.unit if measure else None,
        "contrast": [dict(part) for part in claim.parts],
        "side": "every part of the contrast is above 0" if claim.parts else None,
        "margin": claim.margin.value if claim.margin else None,
        "margin_from": claim.margin.source if claim.margin else None,
        "checks": [vars(check) for check in claim.checks],
        "untested": claim.untested or None,
    }


def analysis() -> dict[str, Any]:
    """How every claim is decided, and what stands beside it."""
    return {
        "unit": "training seed",
        "alpha": ALPHA,
        "m": len(TESTS),
        "level": "each end of each interval errs with probability alpha / m; nothing steps down",
        "variance": str(Analysis.POOLED),
        "pool": sorted(POOL),
        "own_variance": sorted(CONTROLS),
        "fewest_seeds": MIN_SEEDS,
        "checks": {"mixed_share": checks.MIXED, "update_norm_ratio": checks.LARGEST_RATIO},
        "sensitivity": {
            "analyses": [str(one) for one in Analysis if one is not Analysis.POOLED],
            "trim": TRIM,
            "readings": {claim.id: [one.name for one in readings(claim)] for claim in TESTS if readings(claim)},
        },
    }


def code() -> dict[str, Any]:
    """The sources that decide, {files: path -> sha256, sha256 of all}: their statements, whatever git says."""
    lines = {name: statements(path.read_text(encoding="utf-8")) for name, path in sorted(sources().items())}
    files = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in lines.items()}
    return {"files": files, "sha256": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()}


def sources() -> Mapping[str, Path]:
    """Path below the project -> file of every source of DECIDING."""
    found = {}
    for package in DECIDING:
        spec = importlib.util.find_spec(package)
        folder = Path(spec.origin).parent if spec and spec.origin else Path()
        for path in folder.rglob("*.py"):
            found[f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"] = path
    return found


def _plain(value: Any) -> Any:
    """As JSON reads it again."""
    return json.loads(json.dumps(value))
