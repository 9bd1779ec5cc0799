"""The tables of docs/method.md, made from the arms and from the recording of the peers.

python tests/method/doc_tables.py          writes them between their markers; test_method_doc.py checks that they are current
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "method.md"
RECORDED = Path(__file__).parent / "peers" / "recorded.json"


def arms_table() -> str:
    from asymgrpo.method.arms import ARMS, LIBRARY, MAIN, differences

    place = {arm.name: "main" for arm in MAIN} | {arm.name: "library" for arm in LIBRARY}
    rows = []
    for name, arm in ARMS.items():
        changed = "; ".join(f"{k} = {_plain(value)}" for k, (_, value) in differences(arm).items()) or "nothing"
        rows.append([f"`{name}`", arm.title or name, place.get(name, "analysis"), changed, arm.about])
    return _markdown(["arm", "title", "table", "differs from `grpo` in", "about"], rows)


def advantages_table(group: int, counts: Sequence[int]) -> str:
    """A row for every advantage of the table of arms, under the name of the first arm that has it."""
    import torch

    from asymgrpo.method.arms import ARMS

    rewards = torch.tril(torch.ones(group + 1, group, dtype=torch.float64), diagonal=-1)
    seen, rows = [], []
    for name, arm in ARMS.items():
        if arm.advantage not in seen:
            seen.append(arm.advantage)
            values = arm.estimate(rewards)
            size = f"{values[1:-1].abs().mean():.3f}"
            rows.append([f"`{name}`", *(_two_sides(values[c], c, group) for c in counts), size])
    return _markdown(["arm", *(str(c) for c in counts), r"mean abs(A)"], rows)


def _two_sides(values: Any, correct: int, group: int) -> str:
    sides = ([values[0]] if correct else []) + ([values[-1]] if correct < group else [])
    return " / ".join(f"{value:.3g}" for value in sides)


def peers_table() -> str:
    from asymgrpo.method.arm import ClipCov, KlCov
    from asymgrpo.method.arms import ARMS, GRPO

    found = json.loads(RECORDED.read_text())
    verl, trl, rlhf = (found["defaults"][name] for name in ("verl", "TRL", "OpenRLHF"))
    clip_cov, kl_cov = ARMS["clip_cov"].covariance, ARMS["kl_cov"].covariance
    assert isinstance(clip_cov, ClipCov)
    assert isinstance(kl_cov, KlCov)
    rows = [
        ["A of the one correct rollout of 8", *_values(found, 0)],
        ["A of the seven wrong ones", *_values(found, 1)],
        ["standard deviation", *(_standard_deviation(v) for v in _values(found, 0))],
        ["scaled by it by default", True, verl["norm_adv_by_std_in_grpo"], trl["scale_rewards"], _rlhf_estimator(rlhf)],
        ["clip low", GRPO.clip_low, verl["clip_ratio_low"], trl["epsilon"], rlhf["actor.eps_clip"]],
        ["clip high", GRPO.clip_high, verl["clip_ratio_high"], _or(trl["epsilon_high"], "low"), _high(rlhf)],
        ["dual clip", GRPO.dual_clip, verl["clip_ratio_c"], trl["delta"], rlhf["actor.dual_clip"]],
        ["reduction", GRPO.reduction, verl["loss_agg_mode"], trl["loss_type"], rlhf["actor.loss_agg_mode"]],
        [
            "entropy coefficient",
            GRPO.entropy_coef,
            verl["entropy_coeff"],
            trl["entropy_coef"],
            rlhf["actor.entropy_coef"],
        ],
        ["KL coefficient", GRPO.kl_coef, _verl_kl(verl), trl["beta"], f"{rlhf['algo.kl.init_coef']}, in the reward"],
        ["KL term times the ratio", False, False, trl["use_bias_correction_kl"], "-"],
        ["Clip-Cov fraction", clip_cov.fraction, verl["clip_cov_ratio"], "-", "-"],
        ["KL-Cov fraction", kl_cov.fraction, verl["kl_cov_ratio"], "-", "-"],
        ["KL-Cov coefficient", kl_cov.coef, verl["ppo_kl_coef"], "-", "-"],
    ]
    versions = found["versions"]
    header = [
        "default",
        "ours",
        f"verl {versions['verl']}",
        f"TRL {versions['trl']}",
        f"OpenRLHF {versions['openrlhf']}",
    ]
    return _markdown(header, [[_cell(value) for value in row] for row in rows])


def _values(found: dict[str, Any], side: int) -> list[float]:
    """The advantage in a group of 8 with one correct rollout: ours, then the peers'."""
    import torch

    from asymgrpo.method.arms import GRPO

    ours = GRPO.estimate(torch.tensor([[1.0] + [0.0] * 7], dtype=torch.float64))[0, -side].item()
    peers = ("verl grpo", "TRL group", "OpenRLHF group_norm")
    return [round(v, 4) for v in (ours, *(found["advantages"][peer]["8"][1][side] for peer in peers))]


def _standard_deviation(advantage: float) -> str:
    """1 correct of 8: sqrt(7) = 2.6458 with the population, times sqrt(7 / 8) with the sample std."""
    return "population" if abs(advantage - 7**0.5) < 1e-3 else "sample" if abs(advantage - 7 / 8**0.5) < 1e-3 else "?"


def _rlhf_estimator(defaults: dict[str, Any]) -> str:
    return f"estimator {defaults['algo.advantage.estimator']}; in group_norm"


def _high(defaults: dict[str, Any]) -> Any:
    return _or(defaults["actor.eps_clip_low_high"], "low")


def _verl_kl(defaults: dict[str, Any]) -> str:
    return f"{defaults['kl_loss_coef']}" if defaults["use_kl_loss"] else f"off ({defaults['kl_loss_coef']} when on)"


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _cell(value: Any) -> str:
    return {"None": "none", "True": "yes", "False": "no", "low": "= low"}.get(str(value), str(value))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        name = value.get("estimator") or value.get("kind") or ""
        return f"{name}(" + ", ".join(f"{k} {v}" for k, v in value.items() if v != name) + ")"
    return str(value)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "advantages of 8": lambda: advantages_table(8, range(9)),
    "advantages of 16": lambda: advantages_table(16, (0, 1, 2, 4, 6, 8, 10, 12, 14, 15, 16)),
    "arms": arms_table,
    "peers": peers_table,
}


def markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by tests/method/doc_tables.py -->\n", f"\n<!-- end of {name} -->"


def with_tables(text: str) -> str:
    """The document with every table made anew."""
    for name, table in TABLES.items():
        start, end = markers(name)
        before, rest = text.split(start)
        text = before + start + table() + end + rest.split(end)[1]
    return text


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    temporary = DOCUMENT.with_suffix(".tmp")
    temporary.write_text(with_tables(DOCUMENT.read_text()))
    os.replace(temporary, DOCUMENT)
