"""What a model knows by heart: one that was trained on a benchmark's problems is caught, and not on fresh ones."""

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from torch.nn.utils.rnn import pad_sequence

from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.tasks.chain_sum import problems
from asymgrpo.tasks.tokenizer import build_tokenizer
from evals.estimates.rouge import longest_common, rouge_l
from evals.io import write_table
from evals.memorise import SCHEMA, SHARES, control_of, cut, probe
from evals.tables import memorisation
from evals.tables.memorisation import fisher, memorisation_rows
from tests.helpers.tiny_trainer import tiny_model

N = 24


def benchmark(name: str, terms: int) -> list[dict[str, str]]:
    found = problems("benchmark", N, (terms, terms), seed=3)
    return [{"problem_id": f"{name}/{i}", "problem": one.expression} for i, one in enumerate(found)]


SETS = {"chain5": benchmark("chain5", 5), "chain6": benchmark("chain6", 6)}
LEARNT = "chain5"


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """The probe of a tiny model that learnt the texts of one benchmark, and nothing else, by heart."""
    tokenizer = build_tokenizer()
    model = tiny_model(vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, head_dim=24).train()
    texts = tokenizer([one["problem"] + "\n" for one in SETS[LEARNT]], add_special_tokens=False)["input_ids"]
    tokens, labels = (pad_sequence([torch.tensor(text) for text in texts], True, pad) for pad in (0, -100))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(250):  # padding stands on the right of a causal model: no attention mask is needed
        loss = model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sampler = TorchSampler(model.config, model.eval().named_parameters(), [tokenizer.eos_token_id])
    return [row for name, some in SETS.items() for row in probe("m", name, some, sampler, tokenizer, batch=8)]


def test_a_model_trained_on_the_test_set_is_caught_and_on_fresh_problems_not(rows, tmp_path):
    write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "probe.parquet", {})
    memorisation.main([tmp_path / "probe.parquet"], tmp_path / "out.parquet", tmp_path / "out.md")
    found = memorisation.read_memorisation(tmp_path / "out.parquet").to_pylist()
    assert {(row["benchmark"], row["memorised"]) for row in found} == {(LEARNT, True), ("chain6", False)}
    known = {row["share"]: row for row in found if row["benchmark"] == LEARNT}
    assert known[0.8]["exact"] > 0.9 > 0.5 > known[0.8]["control_exact"]
    assert known[0.6]["rouge_l"] > known[0.6]["control_rouge_l"] + 0.2
    assert "| 80 % | 24 |" in (tmp_path / "out.md").read_text()


def test_every_problem_is_asked_at_every_share_beside_as_many_fresh_ones(rows):
    for name, some in SETS.items():
        for share in SHARES:
            mine = [row for row in rows if (row["benchmark"], row["share"]) == (name, share)]
            assert [row["problem_id"] for row in mine if not row["control"]] == [one["problem_id"] for one in some]
            assert sum(row["control"] for row in mine) == N


@pytest.mark.parametrize("name", [*SETS, "math500"])
def test_fresh_problems_are_of_the_same_kind_and_not_among_the_given(name):
    given_ = [one["problem"] for one in SETS.get(name, SETS["chain6"])]
    fresh = control_of(name, given_, 10)
    assert len(set(fresh)) == 10
    assert not set(fresh) & set(given_)
    assert {text.count("+") + text.count("-") for text in fresh} == {4 if name == "chain5" else 5}
    assert control_of(name, given_, 10) == fresh, "the same ones again"


@given(st.integers(2, 400), st.sampled_from(SHARES))
def test_something_is_given_and_something_left(n, share):
    assert 1 <= cut(n, share) <= n - 1
    assert abs(cut(n, share) - share * n) <= 1


@given(*[st.integers(0, 12)] * 4)
def test_fisher_is_scipys(hits, misses, control_hits, control_misses):
    if not hits + misses or not control_hits + control_misses:
        return
    table = [[hits, misses], [control_hits, control_misses]]
    wanted = fisher_exact(table, alternative="greater").pvalue
    assert fisher(hits, hits + misses, control_hits, control_hits + control_misses) == pytest.approx(wanted)


def test_without_a_control_nothing_is_called_memorised():
    row = {"benchmark": "b", "share": 0.4, "exact": True, "rouge_l": 1.0, "control": False}
    (found,) = memorisation_rows([row])
    assert (found["p_holm"], found["memorised"], found["control_exact"]) == (1.0, False, None)


WORDS = st.lists(st.sampled_from("ab"), max_size=7)


@given(WORDS, WORDS)
def test_rouge_is_symmetric_and_one_for_equal_texts_alone(a, b):
    one, other = " ".join(a), " ".join(b)
    assert rouge_l(one, other) == rouge_l(other, one)
    assert (rouge_l(one, other) == 1) == (a == b)
    assert 0 <= rouge_l(one, other) <= 1
    common = longest_common(a, b)
    assert common <= min(len(a), len(b))
    assert longest_common([*a, "c"], [*b, "c"]) == common + 1


def test_longer_texts_by_hand():
    assert rouge_l("Find x + 2.", "find y + 2") == pytest.approx(2 * 3 / 9)
