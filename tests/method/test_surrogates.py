"""Surrogates: slow definitions, gradients in float64, what they share at ratio 1, and how they may be cut."""

from __future__ import annotations

import math

import pytest
import torch

from asymgrpo.errors import ArmError
from asymgrpo.method import losses
from asymgrpo.method import surrogates as sur
from asymgrpo.method.arm import Arm, Cispo, DppoTv, Gmpo, Gspo, Sapo
from asymgrpo.method.arms import ARMS, GRPO, check_arm, get_arm
from asymgrpo.method.objective import loss_terms, needs_whole_rows
from asymgrpo.method.reduce import counts, reduce
from asymgrpo.method.rewards import overlong_punishment

ROWS, TOKENS = 12, 9
EXACT = {"rtol": 0, "atol": 1e-12}
KINDS = {
    "gspo": {"surrogate": Gspo(), "clip_low": 0.1, "clip_high": 0.1},
    "gmpo": {"surrogate": Gmpo(log_clip=0.4)},
    "cispo": {"surrogate": Cispo(cap=1.5)},
    "sapo": {"surrogate": Sapo(tau_pos=1.0, tau_neg=1.05)},
    "dppo_tv": {"surrogate": DppoTv(delta=0.1, cap=2.0)},
    "off_policy": {"off_policy_delta": 0.1},
}
ALL: dict[str, Arm] = {name: GRPO.but(**changes) for name, changes in KINDS.items()}


class Tokens:
    """Ratios beyond every bound, responses of every length, a row that does not train; float64."""

    def __init__(self, spread: float = 0.8):
        g = torch.Generator().manual_seed(3)
        self.logp = (-2 * torch.rand(ROWS, TOKENS, generator=g, dtype=torch.float64)).requires_grad_()
        self.logp_old = self.logp.detach() + spread * torch.randn(ROWS, TOKENS, generator=g, dtype=torch.float64)
        self.advantages = torch.randn(ROWS, 1, generator=g, dtype=torch.float64).expand(ROWS, TOKENS)
        lengths = torch.arange(ROWS) % TOKENS + 1
        self.mask = torch.arange(TOKENS) < lengths[:, None]
        self.mask[5] = False

    def loss(self, arm: Arm, rows: slice = slice(None)) -> torch.Tensor:
        n_tokens, n_sequences = counts(self.mask)
        grids = (self.logp[rows], self.logp_old[rows], self.advantages[rows], torch.zeros_like(self.logp[rows]))
        per_token, _ = loss_terms(arm, *grids, entropy_coef=0.0, mask=self.mask[rows])
        sizes = {"n_tokens": n_tokens, "n_sequences": n_sequences, "max_tokens": 16}
        return reduce(per_token, self.mask[rows], arm.reduction, **sizes)

    def gradient(self, arm: Arm, rows: slice = slice(None)) -> torch.Tensor:
        return torch.autograd.grad(self.loss(arm, rows), self.logp)[0]


def slow(kind: str, tokens: Tokens, i: int) -> torch.Tensor:
    """The mean over the tokens of row i, one token at a time, as a function of its log-probabilities."""
    a = float(tokens.advantages[i, 0])
    where = [t for t in range(TOKENS) if tokens.mask[i, t]]
    new, old = [tokens.logp[i, t] for t in where], [float(tokens.logp_old[i, t]) for t in where]
    logs = [x - o for x, o in zip(new, old, strict=True)]
    ratios = [x.exp() for x in logs]
    match kind:
        case "gspo":
            s = (sum(logs) / len(logs)).exp()
            return -torch.minimum(s * a, s.clamp(0.9, 1.1) * a)
        case "gmpo":
            kept = [x.clamp(max=0.4) if a > 0 else x.clamp(min=-0.4) for x in logs]
            return -a * (sum(kept) / len(kept)).exp()
        case "cispo":
            parts = [-a * min(float(r.detach()), 1.5) * x for r, x in zip(ratios, new, strict=True)]
        case "sapo":
            tau = 1.0 if a > 0 else 1.05
            parts = [-a * 4 / tau / (1 + (-tau * (r - 1)).exp()) for r in ratios]
        case "dppo_tv":
            moves = [float(x.detach().exp()) - math.exp(o) for x, o in zip(new, old, strict=True)]
            parts = [
                -a * min(float(r.detach()), 2.0) * x * (move <= 0.1 if a > 0 else move >= -0.1)
                for r, x, move in zip(ratios, new, moves, strict=True)
            ]
        case _:
            drifted = a < 0 and -float(sum(logs).detach()) / len(logs) > 0.1
            parts = [-torch.minimum(r * a, r.clamp(0.8, 1.2) * a) * (not drifted) for r in ratios]
    return sum(parts) / len(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient_against_the_definition(kind):
    tokens = Tokens()
    rows = [i for i in range(ROWS) if tokens.mask[i].any()]
    expected = sum(slow(kind, tokens, i) for i in rows) / len(rows)
    arm = ALL[kind].but(reduction="sequence")
    torch.testing.assert_close(tokens.loss(arm), expected, **EXACT)
    torch.testing.assert_close(tokens.gradient(arm), torch.autograd.grad(expected, tokens.logp)[0], **EXACT)


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k not in ("cispo", "dppo_tv")]
)  # these stop the gradient of a factor
def test_gradients_against_finite_differences(kind):
    tokens = Tokens()

    def value(logp):
        tokens.logp = logp
        return tokens.loss(ALL[kind])

    assert torch.autograd.gradcheck(value, tokens.logp, eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("reduction", ["token", "sequence", "constant"])
@pytest.mark.parametrize("kind", KINDS)
def test_at_ratio_one_all_have_the_gradient_of_the_clipped_one(kind, reduction):
    tokens = Tokens(spread=0.0)
    grpo = GRPO.but(reduction=reduction)
    torch.testing.assert_close(tokens.gradient(ALL[kind].but(reduction=reduction)), tokens.gradient(grpo), **EXACT)


@pytest.mark.parametrize("reduction", ["token", "sequence", "constant"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_cut_between_rows_gives_the_same_gradient(kind, reduction):
    tokens, arm = Tokens(), ALL[kind].but(reduction=reduction)
    parts = sum(tokens.gradient(arm, slice(i, i + n)) for i, n in ((0, 1), (1, 4), (5, 1), (6, 6)))
    torch.testing.assert_close(parts, tokens.gradient(arm), **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_that_do_not_train_move_nothing(kind):
    tokens = Tokens()
    before = tokens.gradient(ALL[kind])
    assert not before[~tokens.mask].any()
    with torch.no_grad():
        tokens.logp_old[~tokens.mask] = -50.0
    torch.testing.assert_close(tokens.gradient(ALL[kind]), before, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_are_reported_where_they_act(kind):
    """A token has a gradient unless a bound acts on it; a capped weight of log pi keeps one, and SAPO has no bound."""
    tokens = Tokens()
    grids = (tokens.logp, tokens.logp_old, tokens.advantages, torch.zeros_like(tokens.logp))
    loss, told = loss_terms(ALL[kind], *grids, entropy_coef=0.0, mask=tokens.mask)
    acts = (told["clipped_low"] | told["clipped_high"]) & tokens.mask
    (gradient,) = torch.autograd.grad(loss[tokens.mask].sum(), tokens.logp)
    assert (told["clipped_low"] & (tokens.advantages > 0)).sum() == 0
    if kind == "sapo":
        assert not acts.any()
    elif kind == "cispo":
        assert torch.equal(acts, (losses.ratio(tokens.logp, tokens.logp_old) > 1.5) & tokens.mask)
    else:
        assert acts.any()
        assert torch.equal(gradient == 0, acts | ~tokens.mask)


def test_icepop_weights_are_zero_outside_the_bounds_and_tis_is_capped():
    old, sampler = torch.zeros(4), torch.tensor([0.0, -0.6, -3.0, 3.0])
    assert sur.masked_weights(old, sampler, 0.5, 2.0).tolist() == pytest.approx([1.0, math.exp(0.6), 0.0, 0.0])
    assert losses.tis_weights(old, sampler, 2.0).tolist() == pytest.approx([1.0, math.exp(0.6), 2.0, math.exp(-3)])


def test_the_overlong_punishment_is_dapos():
    assert overlong_punishment(torch.tensor([12]), 12, 0.2 * 12).item() == pytest.approx(-1, abs=1e-12)
    lengths = torch.tensor([[1, 15, 16, 17, 19, 20]])
    assert overlong_punishment(lengths, 20, 4).tolist() == [[0, 0, 0, -0.25, -0.75, -1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_high": 0.28}, "clip_high cannot act on the surrogate sapo; leave them out"),
        ({"dual_clip": 3.0}, "dual_clip does not act on the surrogate sapo"),
    ],
)
def test_bounds_that_a_surrogate_does_not_have_are_refused(changes, message):
    with pytest.raises(ArmError, match=message):
        check_arm(get_arm("sapo", changes), updates_per_rollout=2)


def test_a_punishment_of_length_needs_an_estimator_of_any_reward():
    check_arm(get_arm("lite_ppo", {"overlong_buffer": 0.5}), updates_per_rollout=2)
    with pytest.raises(
        ArmError, match="overlong_buffer makes rewards other than 0 and 1, which asymmetric does not take"
    ):
        check_arm(get_arm("asymgrpo", {"overlong_buffer": 0.5}), updates_per_rollout=2)


def test_any_advantage_goes_with_any_surrogate():
    """Two fields, no product of names: AsymGRPO's advantages under each surrogate differ from GRPO's under the same."""
    tokens = Tokens()
    for changes in KINDS.values():
        arm = get_arm("asymgrpo", changes)
        assert arm.advantage == ARMS["asymgrpo"].advantage
        check_arm(arm, updates_per_rollout=2)
        tokens.loss(arm)


def test_settings_of_older_arms_are_as_they_were():
    """Results that were made before a field existed state no such key; the arm of today must not state one either."""
    old = {"reward", "advantage", "reduction", "clip_low", "clip_high", "dual_clip", "entropy_coef"}
    old |= {"name", "adaptive_entropy", "kl_coef", "covariance"}
    for name, arm in ARMS.items():
        more = set(arm.settings()) - old
        assert more == {key for key in more if getattr(arm, key) != getattr(GRPO, key)}, name
        assert Arm.model_validate(arm.settings()).but(title=arm.title, about=arm.about, look=arm.look) == arm
    assert set(ARMS["asymgrpo"].settings()) == old


def test_rows_are_needed_where_a_token_depends_on_the_others():
    assert {name for name, arm in ALL.items() if needs_whole_rows(arm)} == {"gspo", "gmpo", "off_policy"}
    tokens = Tokens()
    grids = (tokens.logp, tokens.logp_old, tokens.advantages, torch.zeros_like(tokens.logp))
    with pytest.raises(ArmError, match="needs the argument mask"):
        loss_terms(ALL["gspo"], *grids, entropy_coef=0.0)
