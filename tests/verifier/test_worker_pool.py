"""Workers are killable, and a verdict depends on its pair alone."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asymgrpo.errors import FailedError
from asymgrpo.verifier import Verdict, Verifier, verify_many
from asymgrpo.verifier.api import _SIMPLE, MAX_ANSWER_CHARS, fast_verdict
from asymgrpo.verifier.pool import Pool

HANG = (r"\boxed{9^{9^{9^9}}}", "5")
MIXED = [
    (r"\boxed{\frac{2}{4}}", "0.5"),
    (r"\boxed{x^2-1}", "(x-1)(x+1)"),
    (r"\boxed{[0,1)}", "[0,1]"),
    (r"\boxed{\sqrt{8}}", r"2\sqrt{2}"),
    (r"\boxed{\{3,1,2\}}", "1,2,3"),
    (r"\boxed{\frac{}{}}", "1"),
    (r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\boxed{\sin^2 x + \cos^2 x}", "1"),
    (r"\boxed{}", "1"),
    ("none", "1"),
    HANG,
]


def small(workers: int = 1, cpu_seconds: float = 0.5, wall_seconds: float = 60) -> Verifier:
    """A verifier with little patience."""
    return Verifier(workers, cpu_seconds, 1 << 29, wall_seconds)


def test_a_hang_is_a_timeout_and_the_next_pair_is_judged():
    with small() as verifier:
        assert verifier.verify_many([HANG, (r"\boxed{\frac12}", "0.5")]) == [Verdict.timeout, Verdict.correct]


@pytest.mark.parametrize(
    "answer",
    [
        r"10^{10^{10}}",
        r"(10^{9})! + x",
        "(" * 900 + "1" + ")" * 900,
        r"\frac{" * 60,
        r"\begin{pmatrix} 1 & 2 \\ 3",
        r"\left( \frac{1}{2 \right)",
        "\x00\x00",
        "\ud800\udfff",
        r"\sqrt[\sqrt[{2}]{3}",
        "\\",
        "$$$",
        "\n\n",
        "𝟙𝟚 ∑∫√",
    ],
)
def test_bad_answers_get_a_verdict_other_than_correct(verifier_of_little_patience, answer):
    verdict = verifier_of_little_patience.verify_many([(f"\\boxed{{{answer}}}", "5")])[0]
    assert isinstance(verdict, Verdict)
    assert verdict != Verdict.correct


@pytest.fixture(scope="module")
def verifier_of_little_patience():
    with small() as verifier:
        yield verifier


def test_a_memory_bomb_stays_within_the_limit():
    """Expanding this power takes gigabytes; the workers' whole group is watched from outside."""
    limit = 1 << 27
    with Verifier(1, cpu_seconds=5, memory_bytes=limit) as verifier:
        assert verifier.verify_many([(r"\boxed{\frac12}", "0.5")]) == [Verdict.correct]
        supervisor = psutil.Process(verifier.pool.slots.queue[-1].process.pid)
        before = supervisor.memory_info().rss
        highest, done = [before], threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                for process in supervisor.children():
                    with contextlib.suppress(psutil.Error):
                        highest.append(process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        verdict = verifier.verify_many([(r"\boxed{(x+y+z+w)^{200}}", "(a+b+c+d)^{200}")])[0]
        done.set()
        watcher.join()
        assert verdict in (Verdict.timeout, Verdict.wrong)
        assert before + limit / 2 < max(highest) < before + 1.5 * limit
        assert verifier.verify_many([(r"\boxed{\frac13}", "1/3")]) == [Verdict.correct]


def test_a_megabyte_costs_little_and_needs_no_worker():
    with small() as verifier:
        start = time.process_time()
        long = "x" * 1_000_000
        verdicts = verifier.verify_many([(f"{long}\\boxed{{7}}{long}", "7"), (f"\\boxed{{{long}}}", "7"), (long, "7")])
        assert verdicts == [Verdict.correct, Verdict.unparsed, Verdict.unparsed]
        assert time.process_time() - start < 1
        assert all(worker is None for worker in verifier.pool.slots.queue)


def test_longest_answer_is_judged_and_one_more_is_unparsed(verifier):
    digits = "1" * MAX_ANSWER_CHARS
    assert verifier.verify_many([(f"\\boxed{{{digits}}}", digits), (f"\\boxed{{{digits}1}}", digits)]) == [
        Verdict.correct,
        Verdict.unparsed,
    ]


def test_an_empty_reference_answer_is_never_correct(verifier):
    assert verifier.verify_many([(r"\boxed{\frac12}", ""), (r"\boxed{}", "")]) == [
        Verdict.wrong,
        Verdict.unparsed,
    ]


@pytest.mark.slow
def test_verdicts_do_not_depend_on_order_batch_or_workers():
    with small(workers=1) as one:
        alone = {pair: one.verify_many([pair])[0] for pair in MIXED}
    pairs = MIXED * 3
    for seed, workers in ((0, 1), (1, 2), (2, 3)):
        random.Random(seed).shuffle(pairs)
        with small(workers) as verifier:
            cut = seed * 5
            verdicts = verifier.verify_many(pairs[:cut]) + verifier.verify_many(pairs[cut:])
        assert verdicts == [alone[pair] for pair in pairs]


def test_time_in_which_a_worker_does_not_run_does_not_count():
    """A stopped worker is what a loaded machine looks like from inside."""
    with small(cpu_seconds=1) as verifier:
        verifier.verify_many([(r"\boxed{\frac12}", "0.5")])
        group = verifier.pool.slots.queue[-1].process.pid
        os.killpg(group, signal.SIGSTOP)
        threading.Timer(2.5, os.killpg, (group, signal.SIGCONT)).start()
        assert verifier.verify_many([(r"\boxed{\frac13}", "1/3")]) == [Verdict.correct]


@pytest.mark.slow
def test_a_silent_worker_is_replaced():
    with small(wall_seconds=6) as verifier:
        verifier.verify_many([(r"\boxed{\frac12}", "0.5")])
        os.killpg(verifier.pool.slots.queue[-1].process.pid, signal.SIGSTOP)
        assert verifier.verify_many([(r"\boxed{\frac13}", "1/3")]) == [Verdict.timeout]
        assert verifier.verify_many([(r"\boxed{\frac14}", "1/4")]) == [Verdict.correct]


@pytest.mark.parametrize("whom", ["the process that judges", "the whole worker"])
def test_a_worker_that_is_killed_is_an_error_and_no_verdict(whom):
    """As by a kernel short of memory: the pair has done nothing, and is judged when the command starts again."""
    pair = (r"\boxed{\frac13}", "1/3")
    with small(cpu_seconds=30) as verifier:
        verifier.verify_many([(r"\boxed{\frac12}", "0.5")])
        supervisor = psutil.Process(verifier.pool.slots.queue[-1].process.pid)
        for process in [*supervisor.children(), *([supervisor] if whom == "the whole worker" else [])]:
            process.kill()
        with pytest.raises(FailedError, match=r"SIGKILL.*memory"):
            verifier.verify_many([pair])
        assert verifier.verify_many([pair]) == [Verdict.correct]


def test_a_limit_of_address_space_that_leaves_a_pair_too_little_is_an_error_and_no_verdict():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "from asymgrpo.verifier import verify_many\n"
        r"print(verify_many([(r'\boxed{x+1}', '1+x')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"FailedError: .*976562 KiB.*ulimit -v.*raise", done.stderr)


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="at least 1 worker"):
        Pool(0, 1, 1 << 30, 1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-(10**15), 10**15), st.integers(-2, 2), st.sampled_from(["{}", "{}.0", "+{}", "0{}", " {} "]))
def test_fast_path_agrees_with_the_worker(verifier, reference, offset, spelling):
    answer = spelling.format(reference + offset)
    fast = fast_verdict(answer.strip(), str(reference))
    if fast is not None:
        assert verifier.pool.judge_many([(answer.strip(), str(reference))])[0] == fast


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.from_regex(_SIMPLE, fullmatch=True))
def test_equal_simple_numbers_are_correct_for_the_worker_too(verifier, number):
    assert fast_verdict(number, number) is Verdict.correct
    assert fast_verdict(number, number + "0") is None
    assert verifier.pool.judge_many([(number, number)])[0] is Verdict.correct


def test_fast_path_takes_integers_both_ways_and_little_else():
    assert fast_verdict("5", "5") is Verdict.correct
    assert fast_verdict("5", "-5") is Verdict.wrong
    assert [fast_verdict(text, "5") for text in ("05", "5.0", "-0", "+5", "٥", "5\n")] == [None] * 6


def test_a_batch_of_integers_starts_no_worker_and_is_quick():
    pairs = [(f"so \\boxed{{{i % 9}}}", "5") for i in range(128)]
    with small() as verifier:
        start = time.process_time()
        verdicts = verifier.verify_many(pairs)
        seconds = time.process_time() - start
        assert all(worker is None for worker in verifier.pool.slots.queue)
    assert verdicts.count(Verdict.correct) == sum(i % 9 == 5 for i in range(128))
    assert seconds < 0.05


def test_a_cached_verdict_asks_no_worker():
    with small() as verifier:
        first = verifier.verify_many([(r"\boxed{\frac12}", "0.5")])
        verifier.close()
        assert verifier.verify_many([(r"again \boxed{\frac12}", "0.5")]) == first
        assert all(worker is None for worker in verifier.pool.slots.queue)


def test_threads_may_share_it():
    results: list[Verdict] = []

    def work() -> None:
        results.extend(verify_many([(r"\boxed{\frac12}", "0.5"), (r"\boxed{\frac13}", "0.5")]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [Verdict.correct, Verdict.wrong] * 4


def test_caller_with_torch_threads_and_a_clean_exit():
    code = (
        "import torch; torch.set_num_threads(2); (torch.ones(300, 300) @ torch.ones(300, 300)).sum()\n"
        "from asymgrpo.verifier import grade\n"
        r"print(grade(r'\boxed{\frac12}', '0.5', cut=False))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "correct\n", "")


def test_importing_the_verifier_loads_nothing_heavy():
    code = (
        "import sys, asymgrpo.verifier, asymgrpo.verifier.second\n"
        "print([name for name in ('torch', 'sympy', 'math_verify', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
