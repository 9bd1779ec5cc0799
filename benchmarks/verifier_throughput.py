r"""Verdicts per second: trivial, cached and unique pairs; one and two workers; math-verify in a plain loop.

    python -m benchmarks.verifier_throughput --pairs 400 --out benchmarks/verifier_throughput.json

Unique pairs are fractions, roots, polynomials, intervals, points and matrices with random numbers, half of them
right. Every measurement of them is taken three times, in turns, and the best is kept: other load on the machine
only ever takes away.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import typer

from asymgrpo.verifier import Verifier

Pairs = list[tuple[str, str]]

PLAIN_LOOP = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
from math_verify import parse, verify
pairs = json.load(sys.stdin)
start = time.perf_counter()
for answer, reference in pairs:
    verify(parse("\\\\boxed{" + reference + "}", parsing_timeout=0), parse("\\\\boxed{" + answer + "}", parsing_timeout=0),
           timeout_seconds=0)
print(time.perf_counter() - start)
"""


def unique_pairs(count: int, seed: int) -> Pairs:
    """(answer, reference answer) pairs without repetition and beyond the fast path."""
    rng = random.Random(seed)
    shapes: list[Callable[[int, int], tuple[str, str]]] = [
        lambda a, b: (rf"\dfrac{{{a}}}{{{b}}}", rf"\frac{{{a}}}{{{b}}}"),
        lambda a, b: (rf"{a}\cdot\sqrt{{{b}}}", rf"{a}\sqrt{{{b}}}"),
        lambda a, b: (f"(x-{a})(x+{b})", f"x^2+{b - a}x-{a * b}"),
        lambda a, b: (rf"\left[{a}, {a + b}\right)", f"[{a},{a + b})"),
        lambda a, b: (rf"\left({a}, \frac{{{b}}}{{2}}\right)", f"({a},{b / 2})"),
        lambda a, b: (
            rf"\begin{{bmatrix}} {a} \\ {b} \end{{bmatrix}}",
            rf"\begin{{pmatrix}} {a} \\ {b} \end{{pmatrix}}",
        ),
    ]
    pairs = []
    for index in range(count):
        a, b = rng.randint(2, 10**6), rng.randint(2, 10**6)
        answer, reference = shapes[index % len(shapes)](a, b)
        if index % 2:
            answer = shapes[index % len(shapes)](a, b + 1)[0]
        pairs.append((answer, reference))
    return pairs


def pool_seconds(pairs: Pairs, workers: int) -> float:
    """Wall time of unique pairs on warm workers."""
    with Verifier(workers) as verifier:
        verifier.pool.judge_many(unique_pairs(24 * workers, seed=1))
        start = time.perf_counter()
        verifier.pool.judge_many(pairs)
        return time.perf_counter() - start


def plain_seconds(pairs: Pairs) -> float:
    """Wall time of math-verify alone, in one process, without limits, rules or cleared caches."""
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_LOOP],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return float(done.stdout)


def easy_rates(count: int) -> dict[str, float]:
    """Trivial and cached verdicts per second, and the time of one small training batch of integers."""
    integers = [(f"We add them up. The answer is \\boxed{{{i % 100}}}.", "42") for i in range(count)]
    fractions = [(f"We get \\boxed{{\\frac{{{i % 7 + 1}}}{{3}}}}.", "2/3") for i in range(count)]
    with Verifier(1) as verifier:
        start = time.perf_counter()
        verifier.verify_many(integers)
        trivial = time.perf_counter() - start
        verifier.verify_many(fractions[:7])
        start = time.perf_counter()
        verifier.verify_many(fractions)
        cached = time.perf_counter() - start
        start = time.perf_counter()
        verifier.verify_many(integers[:128])
        batch = time.perf_counter() - start
    return {
        "trivial_per_second": round(count / trivial),
        "cached_per_second": round(count / cached),
        "batch_of_128_integers_milliseconds": round(1000 * batch, 2),
    }


def start_up_seconds() -> float:
    """Wall time of the first pair that needs a worker."""
    start = time.perf_counter()
    with Verifier(1) as verifier:
        verifier.verify_many([(r"\boxed{\frac{1}{2}}", "0.5")])
    return time.perf_counter() - start


def main(
    pairs: int = typer.Option(..., help="unique pairs"),
    out: Path = typer.Option(..., help="JSON to write"),
) -> None:
    """Measure and write."""
    work = unique_pairs(pairs, seed=0)
    seconds: dict[str, list[float]] = {"plain_loop": [], "one_worker": [], "two_workers": []}
    for _ in range(3):
        seconds["plain_loop"].append(plain_seconds(work))
        seconds["one_worker"].append(pool_seconds(work, 1))
        seconds["two_workers"].append(pool_seconds(work, 2))
    best = {name: min(values) for name, values in seconds.items()}
    result = {
        **easy_rates(100_000),
        **{f"unique_per_second_{name}": round(pairs / value, 1) for name, value in best.items()},
        "two_workers_over_one": round(best["one_worker"] / best["two_workers"], 2),
        "two_workers_over_plain_loop": round(best["plain_loop"] / best["two_workers"], 2),
        "start_up_seconds": round(start_up_seconds(), 2),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
    }
    with tempfile.NamedTemporaryFile("w", dir=out.parent, delete=False, encoding="utf-8") as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    os.chmod(file.name, 0o644)
    os.replace(file.name, out)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
