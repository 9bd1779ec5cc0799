"""Transfers, recomputation, concurrency and saving in the model of time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.planner.cost import habits_of
from asymgrpo.planner.plan import load_study
from asymgrpo.planner.shapes import SHAPES
from asymgrpo.planner.time import (
    Habits,
    Lengths,
    Rates,
    decoding_seconds,
    gpu_kind_of,
    micro_batches_per_update,
    moved_per_update,
    optimizer_seconds,
    recomputed_share,
    save_seconds,
    step_seconds,
)
from asymgrpo.study.limits import MAX_SEQUENCES
from asymgrpo.study.sections.train import Train
from asymgrpo.study.stored import ROOT

QWEN3, H100, LENGTHS = SHAPES["Qwen/Qwen3-4B"], gpu_kind_of("h100-80gb"), Lengths(120, 1024)
STUDY = load_study([ROOT / "config/paper.yaml", ROOT / "config/paper-1gpu.yaml"])
ONE_GPU = STUDY.train


class WithFields(Train):
    """A training section with fields that the planner knows whether or not the configuration has them."""

    recompute_above: int = 0
    micro_batch_tokens: int | None = None


def one_gpu(**changes) -> WithFields:
    return WithFields.model_construct(**(ONE_GPU.model_dump() | changes))


def test_offload_moves_gradients_once_per_update():
    """The preset on one GPU: two updates of 4 + 2 bytes a number, 48 GB, not one transfer per micro-batch."""
    down, up = moved_per_update(QWEN3, ONE_GPU, 1, 128)
    assert (down, up) == (4 * QWEN3.parameters, 2 * QWEN3.parameters)
    without = optimizer_seconds(QWEN3, ONE_GPU, 1, H100, LENGTHS, Rates(host_link=math.inf))
    assert optimizer_seconds(QWEN3, ONE_GPU, 1, H100, LENGTHS) - without == pytest.approx(1.26, abs=0.05)


@given(st.integers(1, 64), st.sampled_from([1, 2, 3]), st.sampled_from(["float32", "bfloat16"]))
def test_only_sums_on_the_host_make_transfers_grow_with_micro_batches(micro, stage, dtype):
    train = ONE_GPU.model_copy(update={"zero_stage": stage, "dtype": dtype})
    grows = sum(moved_per_update(QWEN3, train, 2, micro + 1)) > sum(moved_per_update(QWEN3, train, 2, micro))
    assert grows == (stage == 3 or (stage == 2 and dtype == "float32"))
    assert moved_per_update(QWEN3, train.model_copy(update={"offload": False}), 2, micro) == (0, 0)


@given(st.integers(MAX_SEQUENCES, 4096))
def test_no_more_sequences_are_decoded_at_once_than_the_engine_allows(responses):
    """However large the cache is."""
    seconds = [
        decoding_seconds(QWEN3, 2, H100, responses / 8, responses, LENGTHS, 1, cache)
        for cache in (10**12, MAX_SEQUENCES * 1144)
    ]
    assert seconds[0] == pytest.approx(seconds[1])
    assert seconds[0] > decoding_seconds(QWEN3, 2, H100, 1, MAX_SEQUENCES - 1, LENGTHS, 1, 10**12)


@given(st.integers(0, 50_000), st.integers(1, 5000))
def test_less_is_computed_again_above_a_higher_limit(limit, more):
    shares = [recomputed_share(one_gpu(recompute_above=n), LENGTHS) for n in (0, limit, limit + more)]
    assert shares[0] == 1
    assert 0 <= shares[2] <= shares[1] <= 1


def test_the_share_that_is_computed_again_is_that_of_simulated_responses():
    import numpy as np

    train, random = one_gpu(recompute_above=8000), np.random.default_rng(0)
    tokens = LENGTHS.prompt + random.exponential(LENGTHS.response, 400_000)
    share = tokens[tokens * train.micro_batch > 8000].sum() / tokens.sum()
    assert recomputed_share(train, LENGTHS) == pytest.approx(share, rel=0.01)


def test_a_budget_of_tokens_decides_passes():
    assert micro_batches_per_update(one_gpu(), 1, LENGTHS) == 128
    assert micro_batches_per_update(one_gpu(micro_batch_tokens=16_384), 1, LENGTHS) == 36
    assert recomputed_share(one_gpu(micro_batch_tokens=16_384, recompute_above=4000), LENGTHS) == 1
    assert recomputed_share(one_gpu(micro_batch_tokens=16_384, recompute_above=20_000), LENGTHS) == 0


@given(st.integers(1, 64))
def test_graders_share_the_work(graders):
    one, many = (
        step_seconds(QWEN3, ONE_GPU, 1, H100, LENGTHS, 10**5, habits=Habits(graders=n)).reward for n in (1, graders)
    )
    assert many == pytest.approx(one / graders)


def test_a_job_grades_on_all_its_cores():
    assert habits_of(STUDY).graders == STUDY.machine.cpus_per_rank == 16


@given(st.sampled_from([1, 2, 4, 8]))
def test_hashing_file_beside_file_is_as_slow_as_the_largest(world_size):
    alone, together = (save_seconds(QWEN3, ONE_GPU, world_size, Habits(parallel_hashing=p)) for p in (False, True))
    largest = max(2, 12 / world_size) * QWEN3.parameters
    assert alone - together == pytest.approx((14 * QWEN3.parameters - largest) / 1e9 / ONE_GPU.checkpoint_every)
