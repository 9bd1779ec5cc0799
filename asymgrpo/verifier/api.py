"""From responses to verdicts: extraction, fast path, cache, pool."""

import atexit
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable

from asymgrpo.verifier.extract import extract_answer
from asymgrpo.verifier.pool import CPU_SECONDS, MEMORY_BYTES, WALL_SECONDS, Pool
from asymgrpo.verifier.verdict import MAX_ANSWER_CHARS, Verdict

CACHE_PAIRS = 1 << 18
"""Verdicts kept; the one that was used longest ago goes first."""

# No leading zero, no minus zero, at most 15 digits: here equal strings and equal numbers are the same thing.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")
# Forms that math-verify always reads, so that equal strings are correct (of unequal ones nothing is said).
_SIMPLE = re.compile(
    r"-?(?:[0-9]{1,15}\.[0-9]{1,15}|[1-9][0-9]{0,9}/[1-9][0-9]{0,9}"
    r"|\\[dt]?frac\{[1-9][0-9]{0,9}\}\{[1-9][0-9]{0,9}\}|[1-9]?[0-9]{0,9}\\(?:pi|sqrt\{[1-9][0-9]{0,9}\}))"
)

Key = tuple[str | None, str]  # the boxed answer, or None, and the bare reference answer: all that a verdict depends on


def fast_verdict(answer: str, reference: str) -> Verdict | None:
    """The verdict of two plain integers or two equal simple numbers, without math-verify; else None.

    >>> fast_verdict("12", "12"), fast_verdict("12", "-12"), fast_verdict("12", "12.0")
    (<Verdict.correct: 'correct'>, <Verdict.wrong: 'wrong'>, None)
    """
    if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(reference):
        return Verdict.correct if answer == reference else Verdict.wrong
    return Verdict.correct if answer == reference and _SIMPLE.fullmatch(answer) else None


class Verifier:
    """A pool of workers behind a cache of verdicts; safe to call from several threads."""

    def __init__(
        self,
        workers: int,
        cpu_seconds: float = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        wall_seconds: float = WALL_SECONDS,
    ):
        self.pool = Pool(workers, cpu_seconds, memory_bytes, wall_seconds)
        self.cache: OrderedDict[Key, Verdict] = OrderedDict()
        self.lock = threading.Lock()

    def verify_many(self, pairs: Iterable[tuple[str, str]]) -> list[Verdict]:
        """Verdicts of (response, reference answer) pairs, in their order, for responses that are not truncated."""
        keys = [_key(response, reference) for response, reference in pairs]
        with self.lock:
            verdicts = {key: self._known(key) for key in dict.fromkeys(keys)}
            hard = [(answer or "", reference) for (answer, reference), verdict in verdicts.items() if verdict is None]
            for pair, verdict in zip(hard, self.pool.judge_many(hard), strict=True):
                verdicts[pair] = self.cache[pair] = verdict
            while len(self.cache) > CACHE_PAIRS:
                self.cache.popitem(last=False)
        return [known for key in keys if (known := verdicts[key]) is not None]

    def _known(self, key: Key) -> Verdict | None:
        """The verdict if it needs no worker."""
        answer, reference = key
        if not answer or len(answer) > MAX_ANSWER_CHARS:
            return Verdict.unparsed
        fast = fast_verdict(answer, reference)
        if fast is None and key in self.cache:
            self.cache.move_to_end(key)
            return self.cache[key]
        return fast

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(response: str, reference: str) -> Key:
    """The answer of the response and the reference answer without any box of its own."""
    bare = (extract_answer(reference, reference) or reference).strip()
    answer = extract_answer(response, bare)
    return answer.strip() if answer else None, bare


_shared: dict[tuple[int, int], Verifier] = {}


def _shared_verifier(workers: int | None) -> Verifier:
    """The verifier of this process with so many workers; a forked child gets its own."""
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    key = (os.getpid(), count)
    if key not in _shared:
        _shared[key] = Verifier(count)
        atexit.register(_shared[key].close)
    return _shared[key]


def verify_many(pairs: Iterable[tuple[str, str]], workers: int | None = None) -> list[Verdict]:
    r"""Verdicts on (response, reference answer) pairs that were not cut (asymgrpo.verifier.grade), in their order.

    The last complete ``\boxed{...}`` counts; without one the verdict is unparsed. No pair of strings raises. `workers` None
    means one for each usable core.

    The workers start when a pair first needs one and are kept for the next call.

    >>> verify_many([(r"\boxed{1}", "1"), (r"\boxed{2}", "1")])
    [<Verdict.correct: 'correct'>, <Verdict.wrong: 'wrong'>]
    """
    return _shared_verifier(workers).verify_many(pairs)
