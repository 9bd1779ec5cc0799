"""Ten thousand random pieces of LaTeX: every one gets a verdict, in bounded time."""

import random
import re
import time

import pytest

from asymgrpo.verifier import Verdict, Verifier

INPUTS = 10_000
CPU_SECONDS = 0.25
REFERENCE_ANSWERS = ["5", r"\frac{1}{2}", "x^2", "(1, 2)", "1, 2", "[0, 1)", r"\sqrt{2}"]

TOKENS = re.findall(
    r"\S+",
    r"""
    \frac \dfrac \sqrt \sqrt[3] \left( \right) \left[ \right) \text{or} \text{cm} \pi \infty \cup \cap \in \pm
    \cdot \times \le \ge \neq \begin{pmatrix} \end{pmatrix} & \\ \{ \} \binom \sum \int \log \sin ^ ^ _ { } { }
    ( ) [ ] , , ; = < > + - * / ! | % \% \$ $ ' . 0 1 2 3 5 12 100 1{,}000 2.5 x y n a i e \circ \overline{3}
    \x
    """,
)
SHAPES = [
    *(r"\frac{%s}{%s}", "(%s)+(%s)", "(%s)-%s", r"%s \cdot (%s)", r"\sqrt{%s} %s", "(%s)^{%s}", "(%s, %s)"),
    *("%s, %s", r"\{%s, %s\}", "[%s, %s)", r"\binom{%s}{%s}", "%s = %s", "%s < %s"),
    r"\begin{pmatrix} %s & %s \end{pmatrix}",
]


def random_latex(rng: random.Random) -> str:
    """Half of them well-formed expressions, half a heap of tokens."""
    if rng.random() < 0.5:
        return "".join(rng.choice(TOKENS) + rng.choice(["", " "]) for _ in range(rng.randint(1, 8)))
    return expression(rng, depth=rng.randint(0, 2))


def expression(rng: random.Random, depth: int) -> str:
    """A grammatical expression."""
    if depth == 0:
        return rng.choice(["x", "y", r"\pi", "2.5", *map(str, range(-3, 13))])
    inner = [expression(rng, rng.randint(0, depth - 1)) for _ in range(2)]
    return rng.choice(SHAPES) % tuple(inner)


@pytest.mark.slow
def test_random_latex():
    rng = random.Random(20260406)
    pairs = [(f"\\boxed{{{random_latex(rng)}}}", rng.choice(REFERENCE_ANSWERS)) for _ in range(INPUTS)]
    with Verifier(2, cpu_seconds=CPU_SECONDS) as verifier:
        start = time.perf_counter()
        verdicts = verifier.verify_many(pairs)
        seconds = time.perf_counter() - start
    assert len(verdicts) == INPUTS
    assert all(isinstance(verdict, Verdict) for verdict in verdicts)
    assert {Verdict.wrong, Verdict.unparsed} <= set(verdicts)
    assert seconds < 500  # one pair that is waited for without limit would take longer
