"""Our functions against what verl, TRL and OpenRLHF themselves gave (peers/record.py; recorded in float32)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from asymgrpo.method import advantages as adv
from asymgrpo.method import losses, objective, relatives
from asymgrpo.method.arm import KlCov
from asymgrpo.method.arms import GRPO
from asymgrpo.method.objective import loss_terms
from asymgrpo.method.reduce import counts, reduce

RECORDED = json.loads((Path(__file__).parent / "peers" / "recorded.json").read_text())
SINGLE = {"rtol": 2e-5, "atol": 2e-6}  # the recording is in float32
UNCLIPPED = {"clip_low": 1.0, "clip_high": 1e9}
CLIP = {"clip_low": 0.2, "clip_high": 0.28}
EPSILON = {"verl grpo": 1e-6, "TRL group": 1e-4, "OpenRLHF group_norm": 1e-9}
SIZES = sorted(map(int, RECORDED["advantages"]["verl grpo"]))


def rewards_and_recorded(peer: str, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    rewards = torch.tril(torch.ones(group + 1, group, dtype=torch.float64), diagonal=-1)
    return rewards, torch.tensor(RECORDED["advantages"][peer][str(group)], dtype=torch.float64)


@pytest.mark.parametrize("group", SIZES)
@pytest.mark.parametrize("peer", EPSILON)
def test_standardised_advantages(peer, group):
    """All three divide by the sample std plus an epsilon: ours to the digit, or GRPO's (population, no epsilon) times
    sqrt((G - 1) / G), which no epsilon hides: the same direction with a smaller step."""
    rewards, recorded = rewards_and_recorded(peer, group)
    same = adv.group_standardized(rewards, ddof=1, eps=EPSILON[peer])[:, [0, -1]]
    torch.testing.assert_close(same, recorded, **SINGLE)
    factor = math.sqrt((group - 1) / group)
    grpo = adv.asymmetric(rewards, 0.5, 0.5)[:, [0, -1]]
    torch.testing.assert_close(grpo * factor, recorded, rtol=1e-3, atol=1e-6)
    assert (grpo[1:group] - recorded[1:group]).abs().min() > 0.9 * (1 - factor) * recorded[1:group].abs().min()


@pytest.mark.parametrize("group", SIZES)
@pytest.mark.parametrize(
    ("peer", "ours"),
    [
        ("verl grpo, no std", adv.mean_centered),
        ("TRL none", adv.mean_centered),
        ("OpenRLHF dr_grpo", adv.mean_centered),
        ("verl rloo", adv.leave_one_out),
        ("OpenRLHF rloo", adv.leave_one_out),
    ],
)
def test_unscaled_advantages(peer, ours, group):
    rewards, recorded = rewards_and_recorded(peer, group)
    torch.testing.assert_close(ours(rewards)[:, [0, -1]], recorded, **SINGLE)


@pytest.mark.parametrize("group", SIZES)
def test_advantages_scaled_over_the_batch(group):
    """TRL's batch has a group of every accuracy, as the recording has; its std is the sample's, its epsilon 1e-4."""
    rewards, recorded = rewards_and_recorded("TRL batch", group)
    ours = relatives.batch_standardized(rewards, rewards, ddof=1, eps=1e-4)[:, [0, -1]]
    torch.testing.assert_close(ours, recorded, **SINGLE)


def recorded_batch() -> dict[str, torch.Tensor]:
    batch = {k: torch.tensor(v, dtype=torch.float64) for k, v in RECORDED["batch"].items()}
    return batch | {"logp": batch["logp"].requires_grad_(), "mask": batch["mask"].bool()}


def clipped(b, **clip):
    return losses.policy_loss(b["logp"], b["logp_old"], b["advantages"], **(clip or CLIP))


def dual(b):
    return losses.dual_clip(clipped(b), b["advantages"], cap=1.5)


def clip_cov(b):
    chosen = losses.clip_cov(b["logp"], b["advantages"], b["mask"], fraction=1.0, low=0.1, high=1.0, seed=0)
    return losses.drop(clipped(b, **UNCLIPPED), chosen)


def kl_cov(b):
    arm = GRPO.but(covariance=KlCov(fraction=0.2, coef=0.5), **UNCLIPPED)
    chosen = losses.kl_cov(b["logp"], b["advantages"], b["mask"], fraction=0.2)
    args = (b["logp"], b["logp_old"], b["advantages"], torch.zeros_like(b["logp"]))
    return loss_terms(arm, *args, entropy_coef=0.0, selected=chosen)[0]


def k3(b):
    return losses.k3_kl(b["logp"], b["logp_ref"])


def surrogate(**changes):
    """The surrogate of an arm that is GRPO but for these changes."""
    arm = GRPO.but(**changes)

    def per_token(b):
        return objective.surrogate(arm, b["logp"], b["logp_old"], b["advantages"], b["mask"])[0]

    return per_token


SAPO = {"kind": "sapo", "tau_pos": 1.0, "tau_neg": 1.05}
GSPO = {"surrogate": {"kind": "gspo"}, "clip_low": 0.1, "clip_high": 0.2}
SAME = {
    "verl gspo": (surrogate(**GSPO), "sequence"),
    "verl cispo": (surrogate(surrogate={"kind": "cispo", "cap": 1.5}), "token"),
    "verl sapo": (surrogate(surrogate=SAPO), "sequence"),
    "verl geo_mean": (surrogate(surrogate={"kind": "gmpo", "log_clip": 0.4}), "sequence"),
    "verl dppo_tv": (surrogate(surrogate={"kind": "dppo_tv", "delta": 0.1, "cap": 20.0}), "token"),
    "TRL gspo": (surrogate(**GSPO), "sequence"),
    "TRL cispo": (surrogate(surrogate={"kind": "cispo", "cap": 1.5}), "token"),
    "TRL sapo": (surrogate(surrogate=SAPO), "sequence"),
    "TRL off-policy mask": (surrogate(off_policy_delta=0.1, clip_high=0.28), "sequence"),
    "verl token-mean": (clipped, "token"),
    "verl token-mean, dual clip 1.5": (dual, "token"),
    "verl seq-mean-token-mean": (clipped, "sequence"),
    "verl seq-mean-token-sum-norm": (clipped, "constant"),
    "verl clip_cov": (clip_cov, "token"),
    "verl kl_cov": (kl_cov, "token"),
    "verl k3": (k3, "token"),
    "TRL dapo": (clipped, "token"),
    "TRL grpo": (clipped, "sequence"),
    "TRL dr_grpo": (clipped, "constant"),
    "TRL dapo, beta 0.1": (lambda b: clipped(b) + 0.1 * k3(b), "token"),
    # TRL multiplies its KL term by the ratio unless told not to; ours is the plain k3
    "TRL dapo, beta 0.1, its default": (
        lambda b: clipped(b) + 0.1 * k3(b) * losses.ratio(b["logp"], b["logp_old"]),
        "token",
    ),
    "OpenRLHF token": (clipped, "token"),
    "OpenRLHF sequence": (clipped, "sequence"),
    "OpenRLHF token, dual clip 1.5": (dual, "token"),
}


def test_every_recorded_loss_is_compared():
    assert set(SAME) == set(RECORDED["losses"])
    values = {name: found["loss"] for name, found in RECORDED["losses"].items()}
    assert values["verl token-mean"] != pytest.approx(values["verl token-mean, dual clip 1.5"], abs=1e-3)


@pytest.mark.parametrize("peer", SAME)
def test_loss_and_gradient(peer):
    per_token, mode = SAME[peer]
    batch = recorded_batch()
    n_tokens, n_sequences = counts(batch["mask"])
    sizes = {"n_tokens": n_tokens, "n_sequences": n_sequences, "max_tokens": RECORDED["batch"]["max_tokens"]}
    loss = reduce(per_token(batch), batch["mask"], mode, **sizes)
    (gradient,) = torch.autograd.grad(loss, batch["logp"])
    recorded = RECORDED["losses"][peer]
    torch.testing.assert_close(loss.item(), recorded["loss"], **SINGLE)
    torch.testing.assert_close(gradient, torch.tensor(recorded["gradient"], dtype=torch.float64), **SINGLE)
