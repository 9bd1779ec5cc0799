"""Seeds are functions of where they are used."""

from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.seeds import derive, prompt_order, uniforms
from asymgrpo.training.trainer import rollout_seed


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 30))
def test_every_epoch_uses_every_problem_once(n_problems, per_step, run_seed):
    stream = [i for step in range(3 * n_problems) for i in prompt_order(run_seed, step, per_step, n_problems)]
    for epoch in range(len(stream) // n_problems):
        assert sorted(stream[epoch * n_problems : (epoch + 1) * n_problems]) == list(range(n_problems))


def test_all_seeds_of_a_run_are_distinct():
    seeds = {rollout_seed(r, s, f"p{p}", g) for r in range(2) for s in range(20) for p in range(16) for g in range(8)}
    assert len(seeds) == 2 * 20 * 16 * 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_uniforms_do_not_depend_on_their_neighbours():
    seeds = [derive("x", i) for i in range(5)]
    assert (uniforms(seeds, 7)[3] == uniforms(seeds[3:4], 7)[0]).all()


def test_seeds_never_change():
    """A recorded value: a change would silently make every stored result irreproducible."""
    assert derive("rollout", 0, 1, "train-3", 2) == 136829055960081704
