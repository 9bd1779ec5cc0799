"""Our functions against codes that are read, not run: their formulas written out once more, in numpy, row by row.

SkyRL (NovaSky-AI/SkyRL at a9564572, ppo_utils.py), Pass@k training (RUCAIBox/Passk_Training at c3ba575e, passk_adv.py), OpenRLHF
(3c3be623, experience_maker.py; what its package computes is in test_peers.py) and DPPO's own (sail-sg/Stable-RL at c6af1d11).
A-GRAE's is in test_relatives.py. Where they and we differ, a test says by what; docs/method.md lists it.
"""

from __future__ import annotations

from math import comb, sqrt

import numpy as np
import pytest
import torch

from asymgrpo.method import advantages as adv
from asymgrpo.method import losses, objective, relatives
from asymgrpo.method.arms import ARMS, GRPO
from asymgrpo.method.reduce import counts, reduce

GROUPS = (2, 3, 8, 16, 64)
CLOSE = {"rtol": 0, "atol": 1e-12}


def every_accuracy(group: int) -> torch.Tensor:
    """[G + 1, G] rewards: row c has c correct rollouts."""
    return torch.tril(torch.ones(group + 1, group, dtype=torch.float64), diagonal=-1)


def by_row(group: int, formula) -> np.ndarray:
    return np.array([formula(row) for row in every_accuracy(group).numpy()])


# advantages -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_skyrls_grpo_divides_by_the_sample_std_plus_a_millionth(group):
    skyrl = by_row(group, lambda r: (r - r.mean()) / (r.std(ddof=1) + 1e-6))
    np.testing.assert_allclose(adv.group_standardized(every_accuracy(group), ddof=1, eps=1e-6), skyrl, **CLOSE)
    ours = ARMS["grpo"].estimate(every_accuracy(group)).numpy()
    np.testing.assert_allclose(sqrt((group - 1) / group) * ours, skyrl, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("group", GROUPS)
def test_skyrls_dr_grpo_and_rloo_are_ours(group):
    """RLOO there is the centred reward times G / (G - 1), here the reward less the mean of the others."""
    centred = by_row(group, lambda r: r - r.mean())
    np.testing.assert_allclose(adv.mean_centered(every_accuracy(group)), centred, **CLOSE)
    np.testing.assert_allclose(adv.leave_one_out(every_accuracy(group)), centred * group / (group - 1), **CLOSE)


@pytest.mark.parametrize("group", GROUPS)
def test_skyrls_maxrl_has_an_epsilon_that_ours_has_not(group):
    skyrl = by_row(group, lambda r: (r - r.mean()) / (r.mean() + 1e-6))
    ours = ARMS["maxrl"].estimate(every_accuracy(group)).numpy()
    np.testing.assert_allclose(ours, skyrl, rtol=1e-4, atol=1e-12)
    assert np.array_equal(ours[0], skyrl[0]), "no correct rollout: 0 in both"


def whitened(values: np.ndarray, tokens: np.ndarray, ddof: int) -> np.ndarray:
    """Values less their mean over the tokens of the batch, over the std of the same."""
    spread = np.repeat(values.ravel(), tokens.ravel())
    return (values - spread.mean()) / np.sqrt(spread.var(ddof=ddof) + 1e-8)


@pytest.mark.parametrize("group", GROUPS)
def test_reinforce_plus_plus_of_one_prompt_is_grpo(group):
    """SkyRL's and OpenRLHF's `reinforce` whiten over the batch's tokens; responses of one length and one prompt leave GRPO's."""
    for rewards in every_accuracy(group)[1:-1]:
        row = rewards.numpy()[None]
        theirs = whitened(row, np.full(row.shape, 5), ddof=0)
        np.testing.assert_allclose(adv.group_standardized(rewards[None], ddof=0, eps=0.0), theirs, rtol=1e-5)
        np.testing.assert_allclose(theirs, ARMS["lite_ppo"].estimate(rewards[None]), rtol=1e-5)


@pytest.mark.parametrize("group", GROUPS)
def test_openrlhfs_reinforce_baseline_is_lite_ppo_with_another_divisor(group):
    """It divides by the std of the centred rewards, Lite-PPO by that of the rewards: one factor for the whole batch."""
    rewards = every_accuracy(group)
    centred = rewards.numpy() - rewards.numpy().mean(axis=1, keepdims=True)
    theirs = whitened(centred, np.full(centred.shape, 5), ddof=0)
    lite = relatives.batch_standardized(rewards, rewards, ddof=0, eps=0.0).numpy()
    np.testing.assert_allclose(theirs, lite * rewards.numpy().std() / centred.std(), rtol=1e-6, atol=1e-12)
    assert rewards.numpy().std() / centred.std() > 1.2
    # Where wrong responses are longer its mean over tokens is not 0, so that groups without a signal have one.
    uneven = whitened(centred, np.where(rewards.numpy() > 0, 2, 5), ddof=0)
    assert np.abs(uneven[[0, -1]]).max() > 1e-3
    assert not lite[[0, -1]].any()


@pytest.mark.parametrize(("group", "k"), [(group, k) for group in GROUPS for k in (1, 2, 4, 16) if k <= group])
def test_pass_at_k_is_rucaiboxs_but_for_its_epsilon(group, k):
    def published(row: np.ndarray) -> np.ndarray:
        n, c = len(row), int(row.sum())
        rho = 1 - comb(n - c, k) / comb(n, k)
        sigma = sqrt(rho * (1 - rho)) + 1e-6
        chosen = comb(n - c - 1, k - 1) / comb(n - 1, k - 1) if c < n else 0.0
        return np.where(row == 1, (1 - rho) / sigma, (1 - rho - chosen) / sigma)

    ours, theirs = relatives.pass_at_k(every_accuracy(group), k).numpy(), by_row(group, published)
    sigma = by_row(group, lambda row: _sigma(row, k))[:, None]
    np.testing.assert_allclose(ours * sigma / (sigma + 1e-6), theirs, rtol=1e-9, atol=1e-9)  # it cancels in floats


def _sigma(row: np.ndarray, k: int) -> float:
    miss = comb(len(row) - int(row.sum()), k) / comb(len(row), k)
    return sqrt(miss * (1 - miss))


# losses ---------------------------------------------------------------------------------------------------------------------

ROWS, TOKENS, CAP = 6, 7, 16


def batch() -> dict[str, torch.Tensor]:
    """Sequences of unequal length, ratios beyond every bound."""
    g = torch.Generator().manual_seed(1)
    logp = -3 * torch.rand(ROWS, TOKENS, generator=g, dtype=torch.float64)
    moved = 1.2 * torch.randn(ROWS, TOKENS, generator=g, dtype=torch.float64)
    return {
        "logp": logp.requires_grad_(),
        "logp_old": (logp.detach() + moved).clamp(max=-1e-3),
        "advantages": 2 * torch.randn(ROWS, 1, generator=g, dtype=torch.float64),
        "mask": torch.arange(TOKENS) < torch.tensor([[7], [1], [4], [6], [2], [5]]),
    }


def gradient_of(b: dict[str, torch.Tensor], per_token: torch.Tensor, mode: str) -> np.ndarray:
    n_tokens, n_sequences = counts(b["mask"])
    loss = reduce(per_token, b["mask"], mode, n_tokens=n_tokens, n_sequences=n_sequences, max_tokens=CAP)
    return torch.autograd.grad(loss, b["logp"])[0].numpy()


def skyrls_scale(mask: np.ndarray, reduction: str) -> np.ndarray:
    """What SkyRL multiplies a token's loss by, before it adds all tokens up."""
    match reduction:
        case "token_mean":
            return mask / mask.sum()
        case "sequence_mean":
            return mask / (len(mask) * mask.sum(axis=1, keepdims=True))
        case "seq_mean_token_sum_norm":
            return mask / (len(mask) * CAP)
    raise ValueError(reduction)


REDUCTIONS = {"token": "token_mean", "sequence": "sequence_mean", "constant": "seq_mean_token_sum_norm"}


@pytest.mark.parametrize("mode", REDUCTIONS)
@pytest.mark.parametrize("cap", [None, 3.0])
def test_skyrls_clipped_loss_and_its_reductions(mode, cap):
    """d loss / d log pi = -A r, and 0 where a bound acts; its `dual_clip` is ours, its `regular` has none."""
    b = batch()
    loss = losses.policy_loss(b["logp"], b["logp_old"], b["advantages"], 0.2, 0.28)
    loss = loss if cap is None else losses.dual_clip(loss, b["advantages"].expand_as(loss), cap)
    a, mask = b["advantages"].numpy(), b["mask"].numpy()
    r = np.exp((b["logp"].detach() - b["logp_old"]).numpy())
    acts = ((a > 0) & (r > 1.28)) | ((a < 0) & (r < 0.8)) | ((a < 0) & (r > (cap or np.inf)))
    expected = np.where(acts, 0.0, -a * r) * skyrls_scale(mask, REDUCTIONS[mode])
    np.testing.assert_allclose(gradient_of(b, loss, mode), expected, **CLOSE)
    assert (acts & mask).any()


def surrogate(b: dict[str, torch.Tensor], **changes) -> torch.Tensor:
    arm = GRPO.but(**changes)
    return objective.surrogate(arm, b["logp"], b["logp_old"], b["advantages"].expand_as(b["logp"]), b["mask"])[0]


@pytest.mark.parametrize("cap", [1.5, 20.0])
def test_dppo_is_its_authors_and_skyrls(cap):
    """The masked -A r d log pi of the paper's appendix. The paper caps r at 5, codes at 10 or 20, SkyRL at e^20."""
    b = batch()
    ours = gradient_of(b, surrogate(b, surrogate={"kind": "dppo_tv", "delta": 0.2, "cap": cap}), "token")
    a, mask = b["advantages"].numpy(), b["mask"].numpy()
    logp, old = b["logp"].detach().numpy(), b["logp_old"].numpy()
    moved, r = np.exp(logp) - np.exp(old), np.exp(logp - old)
    blocked = ((a > 0) & (moved > 0.2)) | ((a < 0) & (moved < -0.2))
    expected = np.where(blocked, 0.0, -a * np.minimum(r, cap)) * mask / mask.sum()
    np.testing.assert_allclose(ours, expected, **CLOSE)
    assert (blocked & mask).any()


def test_skyrls_gspo_has_the_gradient_of_ours():
    """It moves each token of the sequence's ratio by itself (GSPO-token); with one advantage per row the gradient is the same."""
    b = batch()
    ours = gradient_of(b, surrogate(b, surrogate={"kind": "gspo"}, clip_low=0.2, clip_high=0.28), "sequence")
    a, mask = b["advantages"].numpy(), b["mask"].numpy()
    log_ratio = (b["logp"].detach() - b["logp_old"]).numpy()
    s = np.exp((log_ratio * mask).sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True))
    acts = ((a > 0) & (s > 1.28)) | ((a < 0) & (s < 0.8))
    expected = np.where(acts, 0.0, -a * s) * skyrls_scale(mask, "sequence_mean")
    np.testing.assert_allclose(ours, expected, **CLOSE)
    assert 0 < acts.sum() < ROWS


def test_skyrls_cispo_and_sapo():
    b = batch()
    a, mask = b["advantages"].numpy(), b["mask"].numpy()
    r = np.exp((b["logp"].detach() - b["logp_old"]).numpy())
    capped = gradient_of(b, surrogate(b, surrogate={"kind": "cispo", "cap": 5.0}), "token")
    np.testing.assert_allclose(capped, -a * np.minimum(r, 5.0) * mask / mask.sum(), **CLOSE)
    gated = gradient_of(b, surrogate(b, surrogate={"kind": "sapo", "tau_pos": 1.0, "tau_neg": 1.05}), "sequence")
    tau = np.where(a > 0, 1.0, 1.05)
    gate = 1 / (1 + np.exp(-tau * (r - 1)))
    slope = 4 * gate * (1 - gate) * r  # of 4 / tau sigmoid(tau (r - 1)) in log pi
    np.testing.assert_allclose(gated, -a * slope * skyrls_scale(mask, "sequence_mean"), **CLOSE)
