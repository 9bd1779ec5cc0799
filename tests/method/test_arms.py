"""What differs between two arms is what the table says, it changes the loss, and nothing else does."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

from asymgrpo.errors import ArmError
from asymgrpo.method.arm import FOR_READERS, Arm
from asymgrpo.method.arms import ARMS, GRPO, MAIN, check_arm, differences, get_arm, idle_with_one_update
from asymgrpo.method.conventions import describe, main
from asymgrpo.method.losses import k3_kl, next_entropy_coef
from asymgrpo.method.objective import loss_terms, needs_whole_rows
from asymgrpo.method.reduce import counts, reduce
from asymgrpo.tasks.benchmarks import BENCHMARKS
from tests.helpers.started import started

PROMPTS, GROUP, TOKENS, VOCABULARY = 9, 8, 15, 5
SEEDS = range(PROMPTS)


class FixedBatch:
    """Every group accuracy once, ratios far beyond the bounds, responses of every length; float64."""

    def __init__(self, on_policy: bool = False):
        g = torch.Generator().manual_seed(0)
        shape = (PROMPTS * GROUP, TOKENS, VOCABULARY)
        self.rewards = torch.tril(torch.ones(GROUP + 1, GROUP, dtype=torch.float64), diagonal=-1)
        self.logits = (2 * torch.randn(shape, generator=g, dtype=torch.float64)).requires_grad_()
        actions = torch.randint(VOCABULARY, shape[:2], generator=g)
        logpi = torch.log_softmax(self.logits, dim=-1)
        self.logp = logpi.gather(-1, actions[..., None])[..., 0]
        self.entropy = -(logpi.exp() * logpi).sum(-1)
        noise = torch.zeros_like(self.logp) if on_policy else 0.5 * torch.randn(shape[:2], generator=g).double()
        self.logp_old = self.logp.detach() + noise
        self.logp_ref = self.logp.detach() - 0.3
        self.mask = torch.arange(TOKENS) <= torch.arange(PROMPTS * GROUP)[:, None] % TOKENS

    def per_token(self, arm: Arm) -> torch.Tensor:
        advantages = arm.advantage_fn(self.rewards, SEEDS).reshape(-1, 1).expand_as(self.mask)
        coef = arm.entropy_coef
        if arm.adaptive_entropy:
            mean = self.entropy[self.mask].mean().item()
            coef = next_entropy_coef(coef, mean, **arm.adaptive_entropy.model_dump() | {"target": mean + 1})
        return loss_terms(
            arm,
            self.logp,
            self.logp_old,
            advantages,
            self.entropy,
            entropy_coef=coef,
            logp_ref=self.logp_ref,
            selected=arm.select_tokens(self.logp_old, advantages, self.mask, seed=7),
            mask=self.mask,
        )[0]

    def loss(self, arm: Arm) -> torch.Tensor:
        n_tokens, n_sequences = counts(self.mask)
        return reduce(
            self.per_token(arm),
            self.mask,
            arm.reduction,
            n_tokens=n_tokens,
            n_sequences=n_sequences,
            max_tokens=16,
        )

    def gradient(self, arm: Arm) -> torch.Tensor:
        return torch.autograd.grad(self.loss(arm), self.logits, retain_graph=True)[0]


SAME_LOSS = {("grpo_clip_higher", "dapo")}
"""DAPO is Clip-higher on another batch: other prompts, rewards and tokens that train (asymgrpo.training)."""
OF_THE_BATCH = {"dynamic_sampling", "overlong_filter", "overlong_buffer"}
"""Fields that act before the loss, on the batch."""


def test_the_main_table_is_the_papers():
    assert [arm.name for arm in MAIN] == [
        "reinforce",
        "grpo",
        "grpo_entropy",
        "grpo_clip_higher",
        "dr_grpo",
        "asymgrpo",
        "asymgrpo_clip_higher",
    ]
    assert ARMS["asymgrpo"].advantage_parameters == {"beta_pos": 0.9, "beta_neg": 0.4, "degenerate": "limit"}
    assert (ARMS["grpo_clip_higher"].clip_low, ARMS["grpo_clip_higher"].clip_high) == (0.2, 0.28)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("grpo", set()),
        ("reinforce", {"advantage"}),
        ("grpo_entropy", {"entropy_coef"}),
        ("grpo_clip_higher", {"clip_high"}),
        ("dr_grpo", {"advantage", "reduction"}),
        ("asymgrpo", {"advantage"}),
        ("asymgrpo_clip_higher", {"advantage", "clip_high"}),
        ("random_reward", {"reward"}),
        ("kl_cov", {"covariance"}),
    ],
)
def test_an_arm_differs_from_grpo_in_what_it_is_named_after(name, fields):
    assert set(differences(ARMS[name])) == fields


def test_every_pair_of_arms_differs_on_one_batch_in_loss_and_gradient():
    batch = FixedBatch()
    losses = {name: batch.loss(arm).item() for name, arm in ARMS.items()}
    gradients = {name: batch.gradient(arm) for name, arm in ARMS.items()}
    for one, other in itertools.combinations(ARMS, 2):
        if (one, other) in SAME_LOSS:
            continue
        assert abs(losses[one] - losses[other]) > 1e-9, (one, other)
        assert (gradients[one] - gradients[other]).abs().max() > 1e-9, (one, other)


@pytest.mark.parametrize(
    ("name", "overrides", "same_as"),
    [
        ("asymgrpo", {"beta_pos": 0.5, "beta_neg": 0.5}, "grpo"),
        ("asymgrpo", {"beta_pos": 0, "beta_neg": 0}, "reinforce"),
        ("w_reinforce", {"positive_weight": 1}, "reinforce"),
        ("asymgrpo", {"clip_high": 0.28}, "asymgrpo_clip_higher"),
        ("grpo_entropy", {"entropy_coef": 0.01}, "grpo_entropy_0p01"),
        ("positive_only", {"beta_neg": 0.25}, "beta_neg_0p25"),
        ("random_reward", {"reward": "verifier"}, "grpo"),
    ],
)
def test_documented_identities(name, overrides, same_as):
    batch = FixedBatch()
    torch.testing.assert_close(
        batch.gradient(get_arm(name, overrides)), batch.gradient(ARMS[same_as]), rtol=0, atol=1e-12
    )


def test_grpo_has_no_entropy_or_kl_term_at_all():
    batch = FixedBatch()
    entropy = batch.entropy.detach().requires_grad_()
    reference = batch.logp_ref.clone().requires_grad_()
    loss, _ = loss_terms(
        GRPO,
        batch.logp,
        batch.logp_old,
        torch.ones(72, 1),
        entropy,
        entropy_coef=GRPO.entropy_coef,
        logp_ref=reference,
    )
    assert (GRPO.entropy_coef, GRPO.kl_coef, GRPO.dual_clip, GRPO.covariance) == (0, 0, None, None)
    found = torch.autograd.grad(loss.sum(), [batch.logits, entropy, reference], allow_unused=True)
    assert found[0].abs().sum() > 0
    assert found[1:] == (None, None)


@pytest.mark.parametrize("name", ARMS)
def test_what_is_called_idle_with_one_update_is_exactly_what_does_not_act(name):
    """At ratio 1, resetting the idle fields to GRPO's changes no gradient; resetting any other field does."""
    batch, arm = FixedBatch(on_policy=True), ARMS[name]
    grpo = GRPO.model_dump()
    for field in set(differences(arm)) - OF_THE_BATCH:
        reset = batch.gradient(arm.but(**{field: grpo[field]}))
        unchanged = torch.allclose(batch.gradient(arm), reset, rtol=0, atol=1e-14)
        assert unchanged == (field in idle_with_one_update(arm)), field


@pytest.mark.parametrize("name", ["grpo_clip_higher", "asymgrpo_clip_higher", "kl_cov"])
def test_an_arm_that_cannot_act_is_refused(name):
    with pytest.raises(ArmError, match=rf"{name}.*train\.updates_per_rollout = 1.*set train\.updates_per_rollout"):
        check_arm(ARMS[name], updates_per_rollout=1)
    check_arm(ARMS[name], updates_per_rollout=2)


def test_every_other_arm_runs_with_one_update():
    surrogates = {"gspo", "gmpo", "sapo", "cispo", "dppo_tv", "grpo_off_policy"}
    refused = {"grpo_clip_higher", "asymgrpo_clip_higher", "kl_cov", *surrogates, "dapo"}
    for name in set(ARMS) - refused:
        check_arm(ARMS[name], updates_per_rollout=1)
    for name in refused:
        with pytest.raises(ArmError, match=f"'{name}': .* cannot act with train.updates_per_rollout = 1"):
            check_arm(ARMS[name], updates_per_rollout=1)


def test_a_filter_that_every_arm_has_is_refused_as_an_arm():
    only = get_arm("mine", {"base": "grpo", "overlong_filter": True})
    check_arm(only, updates_per_rollout=2, truncated="zero")
    with pytest.raises(ArmError, match=r"'mine': overlong_filter cannot act with train\.truncated = mask"):
        check_arm(only, updates_per_rollout=2, truncated="mask")
    check_arm(ARMS["dapo"], updates_per_rollout=2, truncated="mask")  # it has more than the filter


@pytest.mark.parametrize(
    ("name", "overrides"), [("grpo_entropy", {"entropy_coef": 0}), ("grpo_clip_higher", {"clip_high": 0.2})]
)
def test_overrides_that_turn_an_arm_into_grpo_are_refused(name, overrides):
    with pytest.raises(ArmError, match=f"'{name}' with these changes is grpo itself"):
        check_arm(get_arm(name, overrides), updates_per_rollout=2)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("asymgrp", {}, "'asymgrp' is unknown. Did you mean 'asymgrpo'\\? Known arms: reinforce, grpo"),
        ("zzz", {}, "'zzz' is unknown. Known arms: reinforce, grpo"),
        ("grpo", {"clip_hihg": 0.3}, "arms.grpo.clip_hihg cannot be changed; choose from reward, advantage"),
        ("grpo", {"name": "mine"}, "arms.grpo.name cannot be changed"),
        ("grpo", {"beta_pos": 0.9}, "arms.grpo.beta_pos cannot be changed"),
        ("grpo", {"entropy_coef": -1}, "arms.grpo.entropy_coef = -1 is not allowed"),
        ("grpo", {"ddof": 2}, "arms.grpo.advantage.*ddof = 2 is not allowed"),
        ("asymgrpo", {"beta_pos": "high"}, "arms.asymgrpo.advantage.*beta_pos = 'high' is not allowed"),
        ("asymgrpo", {"beta_pos": 1, "advantage": {}}, "give either advantage or beta_pos, not both"),
        ("kl_cov", {"covariance": {"kind": "kl_cov", "fraction": 0.2, "coef": 0}}, "coef = 0 is not allowed"),
        (
            "clip_cov",
            {"covariance": {"kind": "clip_cov", "fraction": 1, "low": 2, "high": 1}},
            "low must be below high",
        ),
    ],
)
def test_a_wrong_arm_gets_one_clear_sentence(name, overrides, message):
    with pytest.raises(ArmError, match=message) as caught:
        get_arm(name, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "missing"), [("kl_cov", "selected"), ("clip_cov", "selected")])
def test_a_missing_input_is_named(name, missing):
    batch = FixedBatch()
    with pytest.raises(ArmError, match=f"'{name}' needs the argument {missing}"):
        loss_terms(ARMS[name], batch.logp, batch.logp_old, torch.ones(72, 1), batch.entropy, entropy_coef=0.0)
    with pytest.raises(ArmError, match="needs the argument logp_ref"):
        loss_terms(
            GRPO.but(kl_coef=0.1),
            batch.logp,
            batch.logp_old,
            torch.ones(72, 1),
            batch.entropy,
            entropy_coef=0.0,
        )


@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if not needs_whole_rows(arm)])
def test_flat_tokens_and_grids_give_the_same_loss(name):
    """Trainers may pack: the loss of a token does not depend on the shape that it sits in."""
    batch, arm = FixedBatch(), ARMS[name]
    advantages = arm.advantage_fn(batch.rewards, SEEDS).reshape(-1, 1).expand_as(batch.mask)
    selected = arm.select_tokens(batch.logp_old, advantages, batch.mask, seed=7)
    grids = (batch.logp, batch.logp_old, advantages, batch.entropy)
    flat = loss_terms(
        arm,
        *(x[batch.mask] for x in grids),
        entropy_coef=arm.entropy_coef,
        selected=None if selected is None else selected[batch.mask],
    )
    grid = loss_terms(arm, *grids, entropy_coef=arm.entropy_coef, selected=selected)
    assert torch.equal(flat[0], grid[0][batch.mask])
    assert all(torch.equal(flat[1][key], grid[1][key][batch.mask]) for key in ("clipped_low", "clipped_high"))


def test_importance_weights_scale_the_policy_loss_and_not_the_bonus():
    batch, arm = FixedBatch(), ARMS["grpo_entropy"]
    weights = torch.full_like(batch.logp_old, 0.5)
    advantages = arm.advantage_fn(batch.rewards, SEEDS).reshape(-1, 1)
    args = (batch.logp, batch.logp_old, advantages, batch.entropy)
    weighted = loss_terms(arm, *args, entropy_coef=0.1, importance_weights=weights)[0]
    bare = loss_terms(arm, *args, entropy_coef=0.0)[0]
    torch.testing.assert_close(weighted, 0.5 * bare - 0.1 * batch.entropy)


def test_a_kl_coefficient_adds_the_k3_penalty():
    batch, advantages = FixedBatch(), torch.ones(72, 1)
    args = (batch.logp, batch.logp_old, advantages, batch.entropy)
    penalised = loss_terms(GRPO.but(kl_coef=0.2), *args, entropy_coef=0.0, logp_ref=batch.logp_ref)[0]
    difference = penalised - loss_terms(GRPO, *args, entropy_coef=0.0)[0]
    torch.testing.assert_close(difference, 0.2 * k3_kl(batch.logp, batch.logp_ref))


@pytest.mark.parametrize("name", ARMS)
def test_conventions_are_complete_and_survive_json(name):
    found = describe(ARMS[name])
    assert json.loads(json.dumps(found)) == found
    assert set(found["fields"]) == set(Arm.model_fields) - {"name", *FOR_READERS}
    assert set(found["differs_from_grpo"]) == set(differences(ARMS[name]))
    assert Arm.model_validate({"name": name, **found["fields"]}).settings() == ARMS[name].settings()
    assert (found["title"], found["about"]) == (ARMS[name].title, ARMS[name].about)


def test_listed_advantages_are_those_of_the_estimator():
    rows = describe(ARMS["asymgrpo"])["advantages"]
    assert rows["2 of 8 correct"]["correct"] == pytest.approx(3**0.9)
    assert rows["2 of 8 correct"]["wrong"] == pytest.approx(-((1 / 3) ** 0.4))
    assert rows["0 of 8 correct"] == {"wrong": 0}
    assert rows["8 of 8 correct"] == {"correct": 0}
    assert describe(ARMS["positive_only"])["meaning"]["degenerate_groups"] == "all wrong: A = -1; all correct: A = 0"


@pytest.mark.parametrize("name", ARMS)
def test_command_prints_every_convention(name):
    run = started(main, name)
    assert run.code == 0
    found = describe(ARMS[name])
    for key in (*found["fields"], *found["meaning"]):
        assert key in run.stdout
    assert json.loads(started(main, name, "--json").stdout) == found


def test_command_lists_arms_and_refuses_unknown_ones():
    listing = started(main).stdout
    assert all(name in listing for name in ARMS)
    run = started(main, "asymgrp")
    assert run.code == 2
    assert "Did you mean 'asymgrpo'?" in run.stderr
    changed = started(main, "asymgrpo", "--changes", '{"beta_pos": 0.7}', "--json").stdout
    assert json.loads(changed)["fields"]["advantage"]["beta_pos"] == 0.7


@pytest.mark.parametrize("name", ARMS)
def test_what_is_for_readers_changes_no_result(name):
    arm = ARMS[name]
    renamed = arm.but(title="another", about="another", look="#123456 2 1")
    assert renamed != arm
    assert renamed.settings() == arm.settings()
    assert arm.title
    assert arm.about
    assert differences(renamed) == differences(arm)
    with pytest.raises(ArmError, match=f"arms.{name}.title cannot be changed"):
        get_arm(name, {"title": "another"})


def test_titles_tell_arms_and_benchmarks_apart():
    titles = [arm.title for arm in ARMS.values()]
    assert len(set(titles)) == len(titles)
    assert not set(ARMS) & set(BENCHMARKS), "evals.names.title takes the names of both"
