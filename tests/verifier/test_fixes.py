"""Every rule corrects something, and none raises."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.verifier import fixes, settlers

# rule: (answer, reference answer, the right verdict, which math-verify alone does not give)
FIXED = {
    "fold_unicode": ("∛2", r"\sqrt[3]{2}", "correct"),
    "unwrap": (r"\color{blue}{42}", "42", "correct"),
    "trim": ("42~", "42", "correct"),
    "drop_currency": ("USD 42", "42", "correct"),
    "spell_mixed": ("1 1/2", "1.5", "correct"),
    "plain_spaces": (r"x\hspace{2mm}+1", "x+1", "correct"),
    "spell_magnitude": ("6,000,000", r"6\text{ million}", "correct"),
    "drop_units": (r"42\,\frac{\text{km}}{\text{h}}", "42", "correct"),
    "spell_functions": ("exp(16)", "e^{16}", "correct"),
    "spell_degrees": (r"\sin(90^\circ-x)", r"\cos x", "correct"),
    "settle_ratio": ("1:6", "1:2:3", "wrong"),
    "settle_letters": ("B, A", r"\text{A,B}", "correct"),
    "drop_delimiters": (r"Therefore $x \gt 5$ holds", "x > 5", "correct"),
    "drop_final_point": ("204.", "204", "correct"),
    "join_thousands": (r"1\,000", "0", "wrong"),
    "list_neighbours": (r"5 \quad 6", "11", "wrong"),
    "spell_exponent": ("4.5e33", r"4.5 \times 10^{33}", "correct"),
    "brace_arguments": (r"7^\frac{1}{2}", r"\sqrt{7}", "correct"),
    "spell_repeating": (r"0.\overline{3}", r"\frac{1}{3}", "correct"),
    "rename_symbols": (r"90\degree", r"90^\circ", "correct"),
    "drop_word_units": ("1000 dollars", "1000", "correct"),
    "turn_chain": ("2 > x > 1", "1 < x < 2", "correct"),
    "unite_alternatives": (r"x<-1 \text{ or } x>3", r"(-\infty,-1)\cup(3,\infty)", "correct"),
    "settle_numeral": ("2516_7", "2516_8", "wrong"),
    "settle_choice": (r"\textbf{(C)}\ 42", r"\text{(C)}", "correct"),
    "settle_words": ("seat", "east", "wrong"),
    "settle_bound": ("> 5", "5", "wrong"),
    "readings": (r"28\%", "28", "correct"),
    "exact rationals": (
        r"\frac{2^{2008}-1}{3\cdot 2^{2007}-1}",
        r"\frac{2^{2009}-1}{3\cdot 2^{2008}-1}",
        "wrong",
    ),
    "relative decimals": ("0.0000002", "0.0000001", "wrong"),
    "relative decimals in a point": ("(0.0000002, 1)", "(0.0000001, 1)", "wrong"),
    "whole reference answers": ("2", r"\hbar \omega(v+1 / 2)-\frac{E_{0}^{2}}{2 m}", "wrong"),
    "letters that are no units": ("2", "2s", "wrong"),
    "relations to zero": ("0", "x + y + z = 0", "wrong"),
    "sizes of letters": ("1", r"\frac{R}{r}", "wrong"),
    "equal where defined": (r"\frac{1}{\sqrt n}", r"\sqrt{1/n}", "correct"),
    "values that are none": (r"m(\gamma^2-2)\sin^2\theta", r"m(\gamma^2-1)\sin^2\theta", "wrong"),
    "intervals": (r"-4 < x \le 4", "(-4, 4]", "correct"),
}


def test_every_rule_has_its_pair():
    rules = {rule.__name__ for rule in (*fixes.REWRITES, *settlers.SETTLERS, fixes.readings)}
    assert rules == {name for name in FIXED if " " not in name} - {"intervals"}


@pytest.mark.parametrize("name", FIXED)
def test_rule_corrects_math_verify(verifier, name):
    answer, reference, right = FIXED[name]
    assert verifier.pool.judge_many([(answer, reference)], with_fixes=False)[0] != right
    assert verifier.pool.judge_many([(answer, reference)])[0] == right


TOKENS = re.findall(
    r"\S+",
    r"""
    \frac \sqrt \left( \right) \text{ } { } ( ) [ ] , . ; $ % \% ^ _ < > \le = != 0 1 23 456 x or and e \,
    \quad \\ \overline{3} \degree \begin{pmatrix} & \end{pmatrix} | dollars \color \underline \phantom \text \; \! ~ \}
    \{ \sin ^\circ sqrt exp pi √ ² ½ € × km m/s \mathrm{m} \hspace \SI million : \mathbf \left. \bm \tag 1/2 ** \ldots
    """,
)
latex = st.lists(st.sampled_from([*TOKENS, " "]), max_size=12).map("".join)


@given(latex | st.text(max_size=30), latex | st.text(max_size=30))
def test_rules_never_raise(answer, reference):
    rewritten = fixes.rewrite(answer), fixes.rewrite(reference)
    assert settlers.settle(*rewritten) in ("correct", "wrong", None)
    assert len(fixes.readings(*rewritten)) in (1, 2)


@given(latex | st.text(max_size=30))
def test_equal_texts_are_never_settled_as_wrong(text):
    assert settlers.settle(text, text) != "wrong"


@given(latex | st.text(max_size=30))
def test_rules_do_not_blow_a_text_up(text):
    assert len(fixes.rewrite(text)) <= 12 * len(text) + 12


@given(st.from_regex(r"-?[1-9][0-9]{0,9}(\.[0-9]{1,6})?", fullmatch=True))
def test_plain_numbers_pass_unchanged(number):
    assert fixes.rewrite(number) == number
