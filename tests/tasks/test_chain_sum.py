"""Generated sums: disjoint sets, solutions that say what they mean, a tokenizer that loses nothing."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymgrpo.tasks import chain_sum, lcm, words
from asymgrpo.tasks.prompts import TEMPLATES, PromptError, render
from asymgrpo.tasks.sources import EmbeddedSize, load_dataset_rows
from asymgrpo.tasks.spec import DataError
from asymgrpo.tasks.tokenizer import VOCABULARY, build_tokenizer

SIGNED = st.integers(1, chain_sum.MAX_TERM).flatmap(lambda n: st.sampled_from([n, -n]))
SUMS = st.builds(
    lambda first, rest: str(first) + "".join(f"{term:+d}" for term in rest),
    st.integers(1, chain_sum.MAX_TERM),
    st.lists(SIGNED, min_size=1, max_size=5),
).filter(chain_sum.within_totals)


def keys(names: list[str], n: int, seed: int) -> dict[str, set[tuple[int, ...]]]:
    return {
        name: {tuple(sorted(chain_sum.terms_of(row["problem"]))) for row in chain_sum.rows(name, n, seed)}
        for name in names
    }


@pytest.mark.parametrize("seed", [0, 1, 2604])
def test_sets_are_disjoint_even_up_to_reordering_and_across_seeds(seed):
    held_out = keys(list(chain_sum.BENCHMARK_TERMS), 60, seed)
    train = keys([chain_sum.TRAIN_NAME], 2000, seed)[chain_sum.TRAIN_NAME]
    texts = chain_sum.sft_texts(3000, {"left": 1.0}, 0.0, seed + 1)
    sft = {tuple(sorted(chain_sum.terms_of(problem))) for problem, _ in texts}
    for sums in held_out.values():
        assert sums.isdisjoint(train)
        assert sums.isdisjoint(sft)
    assert train.isdisjoint(sft)


@pytest.mark.parametrize("name", [chain_sum.TRAIN_NAME, *chain_sum.BENCHMARK_TERMS])
def test_rows_are_distinct_right_and_of_the_stated_length(name):
    rows = chain_sum.rows(name, 60, seed=3)
    assert len({row["problem"] for row in rows}) == 60
    for row in rows:
        terms = chain_sum.terms_of(row["problem"])
        assert int(row["answer"]) == sum(terms)
        assert row["level"] == str(len(terms))
        low, high = (
            (chain_sum.BENCHMARK_TERMS.get(name),) * 2 if name != chain_sum.TRAIN_NAME else chain_sum.TRAIN_TERMS
        )
        assert low <= len(terms) <= high


def test_generated_content_is_that_of_the_lock(lock):
    from asymgrpo.tasks.lock import read_lock

    generated = {name: e for name, e in read_lock(lock).datasets.items() if e.seed is not None}
    assert set(generated) == {chain_sum.TRAIN_NAME, *chain_sum.BENCHMARK_TERMS, *lcm.NUMBERS, *words.NAMES}
    for name, entry in generated.items():
        assert entry.seed is not None
        load_dataset_rows(name, "embedded", None, lock, EmbeddedSize(entry.rows, entry.seed))


def test_impossible_sizes_and_sources_are_refused(lock):
    with pytest.raises(DataError, match="ask for fewer"):
        load_dataset_rows("chain2", "embedded", None, lock, EmbeddedSize(500, 0))
    with pytest.raises(DataError, match=r"data\.source"):
        load_dataset_rows("chain2", "directory", None, lock)
    with pytest.raises(DataError, match=r"data\.source"):
        load_dataset_rows("math500", "embedded", None, lock, EmbeddedSize(10, 0))


@given(SUMS, st.sampled_from(sorted(chain_sum.STYLES)), st.integers(0, 2**32))
def test_faultless_solutions_are_true_line_by_line(expression, style, seed):
    text = chain_sum.solution(expression, style, 0.0, np.random.default_rng(seed))
    assert text.endswith(f"\\boxed{{{sum(chain_sum.terms_of(expression))}}}")
    for chain in text.split("\n")[0].split(",") if style != "direct" else []:
        total, *steps = chain.split("=")
        for step in steps:
            value = re.match(r"-?\d+", step)
            assert value is not None
            assert sum(chain_sum.terms_of(total)) == int(value[0])
            assert abs(int(value[0])) <= chain_sum.MAX_TOTAL
            total = step


def test_error_rate_is_per_step():
    rate, n = 0.2, 4000
    wrong = 0
    for i in range(n):
        text = chain_sum.solution("3+4-2", "left", rate, np.random.default_rng(i))
        wrong += not text.startswith("3+4=7-2=5")
    expected = 1 - (1 - rate) ** 2
    assert abs(wrong / n - expected) < 4 * (expected * (1 - expected) / n) ** 0.5


def test_texts_are_a_function_of_their_seed():
    styles = {"left": 1.0, "pairs": 2.0}
    assert chain_sum.sft_texts(50, styles, 0.1, 7) == chain_sum.sft_texts(80, styles, 0.1, 7)[:50]
    assert chain_sum.sft_texts(50, styles, 0.1, 7) != chain_sum.sft_texts(50, styles, 0.1, 8)
    with pytest.raises(chain_sum.ChainSumError, match="unknown solution style 'sideways'"):
        chain_sum.sft_texts(1, {"sideways": 1.0}, 0.1, 7)


TOKENIZER = build_tokenizer()


@given(SUMS, st.sampled_from(sorted(chain_sum.STYLES)), st.integers(0, 2**32))
@settings(max_examples=200)
def test_tokenizer_round_trip_and_length(expression, style, seed):
    """Texts of the training range fit into 48 tokens, the end token included; the longest sums run a little over the range."""
    text = chain_sum.solution(expression, style, 0.3, np.random.default_rng(seed))
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(tokens) == text
    assert TOKENIZER.unk_token_id not in tokens
    if len(chain_sum.terms_of(expression)) <= 5:
        assert len(tokens) + 1 <= 48


def test_tokenizer_survives_saving(tmp_path):
    from transformers import AutoTokenizer

    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "3+12-4\n3+12=15-4=11\n\\boxed{11}"
    assert loaded.encode(text) == TOKENIZER.encode(text)
    assert (loaded.pad_token_id, loaded.eos_token_id) == (0, 1)
    assert len(loaded) == len(VOCABULARY) < 64
    assert loaded.decode([*loaded.encode(text), 1], skip_special_tokens=True) == text


def test_prompts_name_what_is_missing():
    assert render("plain", "1+1", TOKENIZER) == "1+1\n"
    assert "\\boxed{}" in render("plain_boxed", "1+1", TOKENIZER)
    with pytest.raises(PromptError, match="no chat template"):
        render("chat_boxed", "1+1", TOKENIZER)
    with pytest.raises(PromptError, match="unknown prompt template 'palin'"):
        render("palin", "1+1", TOKENIZER)


def test_chat_prompts_end_where_the_answer_begins():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
        "{% if enable_thinking is defined and not enable_thinking %}<no thinking>{% endif %}"
    )
    texts = {name: render(name, "1+1", tokenizer) for name in TEMPLATES}
    assert len(set(texts.values())) == len(TEMPLATES)
    for name in ("chat_boxed", "qwen_boxed"):
        assert texts[name].endswith("[assistant]<no thinking>")
        assert "\\boxed{}" in texts[name]
